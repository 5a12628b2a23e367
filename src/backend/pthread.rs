//! The backend on POSIX threads: robust, process-shared `pthread_mutex_t`s in the cell.
//!
//! # What isn't taken from libc
//!
//! | of libc | why not |
//! |---|---|
//! | `pthread_cond_t` | a signalled waiter that is killed takes the signal along; before glibc 2.41, once a waiter was killed, `pthread_cond_signal` itself may hang |
//! | `pthread_rwlock_t` | a killed holder is never released, and a killed waiter may be handed the lock |
//! | `pthread_barrier_t`, `pthread_once_t` | whoever dies inside leaves the others waiting |
//!
//! So only the mutex is libc's, with its waiting mended (`mutex`). What sleeps without a holder that could die sleeps on
//! a `sem_t`, which is in the same library, in slices: see `watched`.

mod mutex;

use super::posix::SemBell;
use super::watched;

/// The backend's name in errors.
const NAME: &str = "POSIX threads";

/// The backend on POSIX threads.
#[derive(Debug)]
pub enum Pthread {}

/// The same with priority inheritance (`PTHREAD_PRIO_INHERIT`) for its mutexes.
#[derive(Debug)]
pub enum PthreadPi {}

watched::watched_backend!(Pthread, "pthread", SemBell, mutex::Mutex<false>);
watched::watched_backend!(PthreadPi, "pthread-pi", SemBell, mutex::Mutex<true>);
