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
use crate::backend::Backend;

/// The backend on SysV semaphores.
#[derive(Debug)]
pub enum Sysv {}

impl Backend for Sysv {
    const NAME: &'static str = "sysv";
    type Mutex = watched::mutex::Mutex<SysvBell>;
    type Semaphore = watched::semaphore::Semaphore<SysvBell>;
    type Event = watched::event::Event<SysvBell>;
    type Condvar = watched::condvar::Condvar<SysvBell>;
    type Permits<const N: usize> = watched::permits::Permits<SysvBell, N>;
    type Barrier<const N: usize> = watched::barrier::Barrier<SysvBell, N>;
    type Once = watched::once::Once<SysvBell>;
    type RwLock<const READERS: usize> = watched::rwlock::RwLock<SysvBell, READERS>;
}

static_assertions::const_assert_eq!(size_of::<SysvBell>(), 16);
static_assertions::const_assert!(size_of::<crate::sysv::Mutex<()>>() <= 64);
