//! The backend on SysV semaphores: a set in the kernel is the bell of primitives whose owners are watched.
//!
//! A set outlives every process, and nothing ties it to the memory that names it. So each process that uses one says so
//! on a semaphore of the set, by an operation that the kernel undoes when the process ends (`set.rs`); [`sweep()`] removes
//! sets that nobody uses, and a bell whose set is gone makes a new one (`bell.rs`).

mod bell;
mod known;
mod set;
mod sweep;

pub(crate) use bell::SysvBell;
pub use sweep::sweep;

use super::watched;

/// The backend on SysV semaphores.
#[derive(Debug)]
pub enum Sysv {}

watched::watched_backend!(Sysv, "sysv", SysvBell);

static_assertions::const_assert_eq!(size_of::<SysvBell>(), 16);
static_assertions::const_assert!(size_of::<crate::sysv::Mutex<()>>() <= 64);
