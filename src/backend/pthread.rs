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
use super::{Backend, watched};

/// The backend's name in errors.
const NAME: &str = "POSIX threads";

/// The backend on POSIX threads.
#[derive(Debug)]
pub enum Pthread {}

/// The same with priority inheritance (`PTHREAD_PRIO_INHERIT`) for its mutexes.
#[derive(Debug)]
pub enum PthreadPi {}

macro_rules! bundle {
    ($backend:ty, $name:literal, $mutex:ty) => {
        impl Backend for $backend {
            const NAME: &'static str = $name;
            type Mutex = $mutex;
            type Semaphore = watched::semaphore::Semaphore<SemBell>;
            type Event = watched::event::Event<SemBell>;
            type Condvar = watched::condvar::Condvar<SemBell>;
            type Permits<const N: usize> = watched::permits::Permits<SemBell, N>;
            type Barrier<const N: usize> = watched::barrier::Barrier<SemBell, N>;
            type Once = watched::once::Once<SemBell>;
            type RwLock<const READERS: usize> = watched::rwlock::RwLock<SemBell, READERS>;
        }
    };
}

bundle!(Pthread, "pthread", mutex::Mutex<false>);
bundle!(PthreadPi, "pthread-pi", mutex::Mutex<true>);
