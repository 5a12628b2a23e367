#![doc = include_str!("../README.md")]

extern crate self as pshared;

pub mod backend;
mod cell;
mod data;
mod deadline;
mod error;
mod mutex;
mod poison;
pub mod region;
mod rwlock;
mod shm;
mod sys;

pub use cell::ShmCell;
pub use cell::layout::{Field, Type};
#[doc(hidden)]
pub use cell::safe::Resident;
pub use cell::safe::{ShmData, ShmSafe};
pub use data::{CapacityError, ShmString, ShmVec};
pub use deadline::{Deadline, Patience};
pub use error::{Cause, Error, LockError, LockResult, Mismatch, PoisonError, Result, TryLockError};
pub use mutex::Owner;
pub use pshared_derive::{ShmData, ShmSafe};
pub use rwlock::UpgradeError;
pub use shm::Shm;

/// The types with the backend as a parameter, for code that leaves the choice to its caller.
pub mod generic {
    pub use crate::mutex::{MappedMutexGuard, Mutex, MutexGuard};
    pub use crate::rwlock::{
        MappedRwLockReadGuard, MappedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockUpgradableReadGuard,
        RwLockWriteGuard,
    };
}

/// The types on the futex backend, which is also the default.
pub mod futex {
    pub use crate::backend::futex::Futex;

    /// [`generic::Mutex`](crate::generic::Mutex) on futexes.
    pub type Mutex<T> = crate::generic::Mutex<T, Futex>;
    /// The guard of a [`Mutex`].
    pub type MutexGuard<'a, T> = crate::generic::MutexGuard<'a, T, Futex>;
    /// The guard of a part of a [`Mutex`]'s data.
    pub type MappedMutexGuard<'a, T> = crate::generic::MappedMutexGuard<'a, T, Futex>;

    /// [`generic::RwLock`](crate::generic::RwLock) on futexes.
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

pub use futex::{MappedMutexGuard, Mutex, MutexGuard};
pub use futex::{
    MappedRwLockReadGuard, MappedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard,
};
