//! The contract between the primitives that users see and the backends that do the locking.
//!
//! A backend knows words, threads and system calls; it never sees cells, regions, data or poison. Here is what it has to
//! offer, primitive by primitive; its own files are in a folder with the same file names.

mod barrier;
mod condvar;
mod event;
pub mod futex;
mod mutex;
mod once;
mod permits;
pub mod posix;
pub mod pthread;
mod rwlock;
mod semaphore;
pub mod sysv;
mod wait_any;
pub(crate) mod watched;

pub use barrier::{Met, RawBarrier};
pub use condvar::{RawCondvar, Waited};
pub use event::RawEvent;
pub use mutex::{RawMutex, RawPthread};
pub use once::{Begun, Outcome, RawOnce};
pub use permits::RawPermits;
pub(crate) use rwlock::{MOST_GUARDS, TOO_MANY_GUARDS};
pub use rwlock::{RawRwLock, RawUpgradableRwLock};
pub use semaphore::{Posted, RawSemaphore};
pub use wait_any::{Awaited, WaitAny};

use crate::error::Error;

/// A family of primitives built on one mechanism of the system.
///
/// Generic code takes it as a parameter; users write the aliases of a module, as `pshared::posix::Mutex<T>`.
pub trait Backend: Send + Sync + 'static {
    /// The backend's name in fingerprints and tables.
    const NAME: &'static str;

    /// The backend's mutual exclusion.
    type Mutex: RawMutex;

    /// The backend's semaphore.
    type Semaphore: RawSemaphore;

    /// The backend's manual-reset event.
    type Event: RawEvent;

    /// The backend's condition variable.
    type Condvar: RawCondvar<Self::Mutex>;

    /// The backend's permits, `N` of them.
    type Permits<const N: usize>: RawPermits;

    /// The backend's barrier, with room for `N` that wait.
    type Barrier<const N: usize>: RawBarrier;

    /// The backend's way to do something once.
    type Once: RawOnce;

    /// The backend's shared and exclusive locking, for so many readers at a time.
    type RwLock<const READERS: usize>: RawUpgradableRwLock;
}

/// A lock that was taken.
#[derive(Clone, Copy, Debug)]
pub struct Acquired<H> {
    /// What unlocking needs.
    pub held: H,
    /// The owner before died while it held the lock; said once.
    pub owner_died: bool,
}

/// A lock that was not taken.
#[derive(Clone, Debug)]
pub enum Refused {
    /// It is held and the call doesn't wait.
    WouldBlock,
    /// It was held until the deadline.
    TimedOut,
    /// The calling thread holds it.
    WouldDeadlock,
    /// It can't be used.
    Failed(Error),
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        match refused {
            Refused::WouldBlock => Error::WouldBlock,
            Refused::TimedOut => Error::TimedOut,
            Refused::WouldDeadlock => Error::WouldDeadlock,
            Refused::Failed(error) => error,
        }
    }
}
