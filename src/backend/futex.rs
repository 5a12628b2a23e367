//! The futex backend: robust words that join the robust list which libc registered for the thread.

pub(crate) mod barrier;
pub(crate) mod condvar;
pub(crate) mod event;
pub(crate) mod held;
mod learned;
mod mutex;
pub(crate) mod once;
pub(crate) mod permits;
pub(crate) mod process;
pub(crate) mod publish;
pub(crate) mod relay;
pub(crate) mod robust;
pub(crate) mod rwlock;
pub(crate) mod semaphore;
pub(crate) mod slot;
pub(crate) mod spin;
pub(crate) mod thread;
mod wait_any;
mod watch;
mod yielding;

use crate::backend::Backend;

pub(crate) use robust::RobustWord;

/// The futex backend, the default: one word and a list node, no system call while nobody waits.
#[derive(Debug)]
pub enum Futex {}

impl Backend for Futex {
    const NAME: &'static str = "futex";
    type Mutex = RobustWord;
    type Semaphore = semaphore::FutexSemaphore;
    type Event = event::FutexEvent;
    type Condvar = condvar::Condvar;
    type Permits<const N: usize> = permits::Slots<N>;
    type Barrier<const N: usize> = barrier::Rounds<N>;
    type Once = once::OnceWord;
    type RwLock<const READERS: usize> = rwlock::RwLock<READERS>;
}
