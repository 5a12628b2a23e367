//! The atomics that the protocols are made of: core's, or under the cfg `loom` those of a model checker, which goes through
//! every order of steps and every value that a load may see.

#[cfg(loom)]
pub(crate) use crate::modelled::atomic::{AtomicU32, AtomicU64, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, fence};

/// A word whose value nothing depends on but how long somebody spins: never modelled.
pub(crate) use std::sync::atomic::AtomicU32 as Hint;
