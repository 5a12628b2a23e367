#![doc = include_str!("../README.md")]

extern crate self as pshared;

mod atomic;
pub mod backend;
mod barrier;
mod cell;
mod condvar;
mod data;
mod deadline;
mod error;
mod event;
#[cfg(loom)]
#[doc(hidden)]
pub mod modelled;
mod mutex;
mod once;
mod once_lock;
mod permits;
mod poison;
mod reentrant_mutex;
pub mod region;
mod rwlock;
mod semaphore;
mod shm;
mod sys;
mod wait_any;

pub use barrier::BarrierWaitResult;
pub use cell::ShmCell;
pub use cell::layout::{Field, Type};
#[doc(hidden)]
pub use cell::safe::Resident;
pub use cell::safe::{ShmData, ShmSafe};
pub use condvar::WaitTimeoutResult;
pub use data::{CapacityError, ShmString, ShmVec};
pub use deadline::{Deadline, Patience};
pub use error::{Cause, Error, LockError, LockResult, Mismatch, PoisonError, Result, TryLockError};
pub use mutex::Owner;
pub use once::OnceState;
pub use once_lock::SetError;
pub use pshared_derive::{ShmData, ShmSafe};
pub use rwlock::UpgradeError;
pub use shm::Shm;

/// The types with the backend as a parameter, for code that leaves the choice to its caller.
pub mod generic {
    pub use crate::barrier::Barrier;
    pub use crate::condvar::Condvar;
    pub use crate::event::Event;
    pub use crate::mutex::{MappedMutexGuard, Mutex, MutexGuard};
    pub use crate::once::Once;
    pub use crate::once_lock::OnceLock;
    pub use crate::permits::{Permit, Permits};
    pub use crate::reentrant_mutex::{MappedReentrantMutexGuard, ReentrantMutex, ReentrantMutexGuard};
    pub use crate::rwlock::{
        MappedRwLockReadGuard, MappedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockUpgradableReadGuard,
        RwLockWriteGuard,
    };
    pub use crate::semaphore::Semaphore;
    pub use crate::wait_any::{Waitable, try_wait_any, wait_any, wait_any_until};
}

/// The types of a backend, without the parameter.
macro_rules! family {
    ($on:literal, $backend:ty) => {
        #[doc = concat!("[`generic::Barrier`](crate::generic::Barrier) on ", $on, ".")]
        pub type Barrier<const N: usize> = crate::generic::Barrier<$backend, N>;
        #[doc = concat!("[`generic::Condvar`](crate::generic::Condvar) on ", $on, ".")]
        pub type Condvar = crate::generic::Condvar<$backend>;
        #[doc = concat!("[`generic::Event`](crate::generic::Event) on ", $on, ".")]
        pub type Event = crate::generic::Event<$backend>;
        #[doc = concat!("[`generic::Mutex`](crate::generic::Mutex) on ", $on, ".")]
        pub type Mutex<T> = crate::generic::Mutex<T, $backend>;
        /// The guard of a [`Mutex`].
        pub type MutexGuard<'a, T> = crate::generic::MutexGuard<'a, T, $backend>;
        /// The guard of a part of a [`Mutex`]'s data.
        pub type MappedMutexGuard<'a, T> = crate::generic::MappedMutexGuard<'a, T, $backend>;
        #[doc = concat!("[`generic::Once`](crate::generic::Once) on ", $on, ".")]
        pub type Once = crate::generic::Once<$backend>;
        #[doc = concat!("[`generic::OnceLock`](crate::generic::OnceLock) on ", $on, ".")]
        pub type OnceLock<T> = crate::generic::OnceLock<T, $backend>;
        #[doc = concat!("[`generic::Permits`](crate::generic::Permits) on ", $on, ".")]
        pub type Permits<const N: usize> = crate::generic::Permits<$backend, N>;
        /// One of the [`Permits`].
        pub type Permit<'a, const N: usize> = crate::generic::Permit<'a, $backend, N>;
        #[doc = concat!("[`generic::ReentrantMutex`](crate::generic::ReentrantMutex) on ", $on, ".")]
        pub type ReentrantMutex<T> = crate::generic::ReentrantMutex<T, $backend>;
        /// The guard of a [`ReentrantMutex`].
        pub type ReentrantMutexGuard<'a, T> = crate::generic::ReentrantMutexGuard<'a, T, $backend>;
        /// The guard of a part of a [`ReentrantMutex`]'s data.
        pub type MappedReentrantMutexGuard<'a, T> = crate::generic::MappedReentrantMutexGuard<'a, T, $backend>;
        #[doc = concat!("[`generic::RwLock`](crate::generic::RwLock) on ", $on, ".")]
        pub type RwLock<T, const READERS: usize = 64> = crate::generic::RwLock<T, $backend, READERS>;
        /// The guard of a reader of an [`RwLock`].
        pub type RwLockReadGuard<'a, T, const READERS: usize = 64> =
            crate::generic::RwLockReadGuard<'a, T, $backend, READERS>;
        /// The guard of a writer of an [`RwLock`].
        pub type RwLockWriteGuard<'a, T, const READERS: usize = 64> =
            crate::generic::RwLockWriteGuard<'a, T, $backend, READERS>;
        /// The guard of an upgradable reader of an [`RwLock`].
        pub type RwLockUpgradableReadGuard<'a, T, const READERS: usize = 64> =
            crate::generic::RwLockUpgradableReadGuard<'a, T, $backend, READERS>;
        /// The guard of a reader of a part of an [`RwLock`]'s data.
        pub type MappedRwLockReadGuard<'a, T, const READERS: usize = 64> =
            crate::generic::MappedRwLockReadGuard<'a, T, $backend, READERS>;
        /// The guard of a writer of a part of an [`RwLock`]'s data.
        pub type MappedRwLockWriteGuard<'a, T, const READERS: usize = 64> =
            crate::generic::MappedRwLockWriteGuard<'a, T, $backend, READERS>;
        #[doc = concat!("[`generic::Semaphore`](crate::generic::Semaphore) on ", $on, ".")]
        pub type Semaphore = crate::generic::Semaphore<$backend>;
    };
}

/// The types on the futex backend, which is also the default.
pub mod futex {
    use std::time::{Duration, Instant};

    pub use crate::backend::futex::Futex;
    use crate::error::Result;
    use crate::generic::{self, Waitable};

    family!("futexes", Futex);

    /// [`generic::wait_any`] on futexes.
    #[inline]
    pub fn wait_any(things: &[&dyn Waitable<Futex>], timeout: Duration) -> Result<usize> {
        generic::wait_any(things, timeout)
    }

    /// [`generic::wait_any_until`] on futexes.
    #[inline]
    pub fn wait_any_until(things: &[&dyn Waitable<Futex>], deadline: Instant) -> Result<usize> {
        generic::wait_any_until(things, deadline)
    }

    /// [`generic::try_wait_any`] on futexes.
    #[inline]
    pub fn try_wait_any(things: &[&dyn Waitable<Futex>]) -> Result<usize> {
        generic::try_wait_any(things)
    }
}

/// The types on POSIX threads: robust `pthread_mutex_t`s, which programs in C can take too.
pub mod pthread {
    pub use crate::backend::pthread::{Pthread, PthreadPi};

    family!("POSIX threads", Pthread);

    /// [`generic::Mutex`](crate::generic::Mutex) on POSIX threads, with priority inheritance: who holds it runs with the
    /// priority of the most important one that waits for it.
    pub type PiMutex<T> = crate::generic::Mutex<T, PthreadPi>;
    /// The guard of a [`PiMutex`].
    pub type PiMutexGuard<'a, T> = crate::generic::MutexGuard<'a, T, PthreadPi>;
    /// A [`Condvar`] for [`PiMutex`]es.
    pub type PiCondvar = crate::generic::Condvar<PthreadPi>;
}

/// The types on POSIX semaphores.
pub mod posix {
    pub use crate::backend::posix::{NamedSemaphore, Posix};

    family!("POSIX semaphores", Posix);
}

/// The types on SysV semaphores.
pub mod sysv {
    pub use crate::backend::sysv::{Sysv, sweep};

    family!("SysV semaphores", Sysv);
}

pub use futex::{
    Barrier, Condvar, Event, MappedMutexGuard, MappedReentrantMutexGuard, Mutex, MutexGuard, Once, OnceLock, Permit,
    Permits, ReentrantMutex, ReentrantMutexGuard, Semaphore,
};
pub use futex::{
    MappedRwLockReadGuard, MappedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard,
};
pub use futex::{try_wait_any, wait_any, wait_any_until};
