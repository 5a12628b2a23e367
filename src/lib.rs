#![doc = include_str!("../README.md")]

extern crate self as pshared;

pub mod backend;
mod cell;
mod data;
mod deadline;
mod error;
mod mutex;
mod once;
mod once_lock;
mod poison;
mod reentrant_mutex;
pub mod region;
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
pub use once::OnceState;
pub use once_lock::SetError;
pub use pshared_derive::{ShmData, ShmSafe};
pub use shm::Shm;

/// The types with the backend as a parameter, for code that leaves the choice to its caller.
pub mod generic {
    pub use crate::mutex::{MappedMutexGuard, Mutex, MutexGuard};
    pub use crate::once::Once;
    pub use crate::once_lock::OnceLock;
    pub use crate::reentrant_mutex::{MappedReentrantMutexGuard, ReentrantMutex, ReentrantMutexGuard};
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
    /// [`generic::Once`](crate::generic::Once) on futexes.
    pub type Once = crate::generic::Once<Futex>;
    /// [`generic::OnceLock`](crate::generic::OnceLock) on futexes.
    pub type OnceLock<T> = crate::generic::OnceLock<T, Futex>;
    /// [`generic::ReentrantMutex`](crate::generic::ReentrantMutex) on futexes.
    pub type ReentrantMutex<T> = crate::generic::ReentrantMutex<T, Futex>;
    /// The guard of a [`ReentrantMutex`].
    pub type ReentrantMutexGuard<'a, T> = crate::generic::ReentrantMutexGuard<'a, T, Futex>;
    /// The guard of a part of a [`ReentrantMutex`]'s data.
    pub type MappedReentrantMutexGuard<'a, T> = crate::generic::MappedReentrantMutexGuard<'a, T, Futex>;
}

pub use futex::{MappedMutexGuard, Mutex, MutexGuard, Once, OnceLock};
pub use futex::{MappedReentrantMutexGuard, ReentrantMutex, ReentrantMutexGuard};
