#![doc = include_str!("../README.md")]

extern crate self as pshared;

pub mod backend;
mod barrier;
mod cell;
mod condvar;
mod data;
mod deadline;
mod error;
mod event;
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

/// The types on the futex backend, which is also the default.
pub mod futex {
    use std::time::{Duration, Instant};

    pub use crate::backend::futex::Futex;
    use crate::error::Result;
    use crate::generic::{self, Waitable};

    /// [`generic::Condvar`] on futexes.
    pub type Condvar = crate::generic::Condvar<Futex>;
    /// [`generic::Mutex`] on futexes.
    pub type Mutex<T> = crate::generic::Mutex<T, Futex>;
    /// The guard of a [`Mutex`].
    pub type MutexGuard<'a, T> = crate::generic::MutexGuard<'a, T, Futex>;
    /// The guard of a part of a [`Mutex`]'s data.
    pub type MappedMutexGuard<'a, T> = crate::generic::MappedMutexGuard<'a, T, Futex>;
    /// [`generic::Semaphore`] on futexes.
    pub type Semaphore = crate::generic::Semaphore<Futex>;
    /// [`generic::Event`] on futexes.
    pub type Event = crate::generic::Event<Futex>;

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
    /// [`generic::Barrier`] on futexes.
    pub type Barrier<const N: usize> = crate::generic::Barrier<Futex, N>;
    /// [`generic::Permits`] on futexes.
    pub type Permits<const N: usize> = crate::generic::Permits<Futex, N>;
    /// One of the [`Permits`].
    pub type Permit<'a, const N: usize> = crate::generic::Permit<'a, Futex, N>;
    /// [`generic::Once`] on futexes.
    pub type Once = crate::generic::Once<Futex>;
    /// [`generic::OnceLock`] on futexes.
    pub type OnceLock<T> = crate::generic::OnceLock<T, Futex>;
    /// [`generic::ReentrantMutex`] on futexes.
    pub type ReentrantMutex<T> = crate::generic::ReentrantMutex<T, Futex>;
    /// The guard of a [`ReentrantMutex`].
    pub type ReentrantMutexGuard<'a, T> = crate::generic::ReentrantMutexGuard<'a, T, Futex>;
    /// The guard of a part of a [`ReentrantMutex`]'s data.
    pub type MappedReentrantMutexGuard<'a, T> = crate::generic::MappedReentrantMutexGuard<'a, T, Futex>;

    /// [`generic::RwLock`] on futexes.
    pub type RwLock<T, const READERS: usize = 64> = crate::generic::RwLock<T, Futex, READERS>;
    /// The guard of a reader of an [`RwLock`].
    pub type RwLockReadGuard<'a, T, const READERS: usize = 64> = crate::generic::RwLockReadGuard<'a, T, Futex, READERS>;
    /// The guard of a writer of an [`RwLock`].
    pub type RwLockWriteGuard<'a, T, const READERS: usize = 64> =
        crate::generic::RwLockWriteGuard<'a, T, Futex, READERS>;
    /// The guard of an upgradable reader of an [`RwLock`].
    pub type RwLockUpgradableReadGuard<'a, T, const READERS: usize = 64> =
        crate::generic::RwLockUpgradableReadGuard<'a, T, Futex, READERS>;
    /// The guard of a reader of a part of an [`RwLock`]'s data.
    pub type MappedRwLockReadGuard<'a, T, const READERS: usize = 64> =
        crate::generic::MappedRwLockReadGuard<'a, T, Futex, READERS>;
    /// The guard of a writer of a part of an [`RwLock`]'s data.
    pub type MappedRwLockWriteGuard<'a, T, const READERS: usize = 64> =
        crate::generic::MappedRwLockWriteGuard<'a, T, Futex, READERS>;
}

pub use futex::{
    Barrier, Condvar, Event, MappedMutexGuard, MappedReentrantMutexGuard, Mutex, MutexGuard, Once, OnceLock, Permit,
    Permits, ReentrantMutex, ReentrantMutexGuard, Semaphore,
};
pub use futex::{
    MappedRwLockReadGuard, MappedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard,
};
pub use futex::{try_wait_any, wait_any, wait_any_until};
