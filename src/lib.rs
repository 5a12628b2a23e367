//! Process-shared synchronization primitives that survive the death of any process.

extern crate self as pshared;

pub mod cell;
mod error;
pub mod region;
mod sys;

pub use cell::layout::{Field, Type};
#[doc(hidden)]
pub use cell::safe::Resident;
pub use cell::safe::{ShmData, ShmSafe};
pub use error::{Cause, Error, LockError, LockResult, Mismatch, PoisonError, Result, TryLockError};
