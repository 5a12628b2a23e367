//! What is compared: a type each, behind a trait for what it does.

#[macro_use]
pub mod ours; // first, with the macro for names

#[cfg(boost)]
pub mod boost;
pub mod files;
pub mod floor;
pub mod hand_over;
pub mod peers;
pub mod pthread;
pub mod read_write;
pub mod semaphores;
pub mod threads;

use pshared::futex::Futex;
use pshared::posix::Posix;
use pshared::pthread::{Pthread, PthreadPi};
use pshared::sysv::Sysv;

/// How the names of those begin that do less than a lock, and are measured for what they cost.
pub const FLOOR: &str = "floor: ";

/// How the names of those begin that are only for threads.
pub const THREADS: &str = "threads only: ";

/// Who a subject is between.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    Processes,
    /// The threads of one process: a reference, as it does less.
    Threads,
}

/// Something that is measured, by a name of its own.
pub trait Subject: Sized + 'static {
    const NAME: &'static str;
    const REACH: Reach = Reach::Processes;

    /// A new one that others can open by `name`.
    fn create(name: &str) -> Self;

    /// One that another process created, or another thread.
    fn open(name: &str) -> Self;

    /// Notes what a killed run would leave behind that isn't found by `name`; see `left_over.rs`.
    fn note(&self) {}

    /// Removes what is left of it, by who created it.
    fn remove(name: &str) {
        crate::place::remove(name);
    }
}

/// Mutual exclusion, with a number that it guards.
pub trait Lock: Subject {
    /// What a lock takes of the memory that is shared, without the number; `None` if it is elsewhere.
    const BYTES: Option<usize>;

    /// Runs `f` with the lock held, also if its last holder died.
    fn section<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R;
}

/// Something that is done for each lock.
pub trait VisitLocks {
    fn visit<S: Lock>(&mut self);
}

/// Goes through the locks, ours first.
pub fn locks(visitor: &mut impl VisitLocks) {
    visitor.visit::<ours::Mutex<Futex>>();
    visitor.visit::<ours::Mutex<Pthread>>();
    visitor.visit::<ours::Mutex<PthreadPi>>();
    visitor.visit::<ours::Mutex<Sysv>>();
    visitor.visit::<ours::Mutex<Posix>>();
    visitor.visit::<floor::Exchange>();
    visitor.visit::<pthread::Mutex<'p'>>();
    visitor.visit::<pthread::Mutex<'r'>>();
    visitor.visit::<pthread::Mutex<'i'>>();
    visitor.visit::<semaphores::PosixSemaphore>();
    visitor.visit::<semaphores::SysvSemaphore>();
    visitor.visit::<files::Locked<files::Flock>>();
    visitor.visit::<files::Locked<files::Ofd>>();
    visitor.visit::<files::Locked<files::Std>>();
    visitor.visit::<peers::Iceoryx>();
    visitor.visit::<peers::PosixSync>();
    visitor.visit::<peers::RawSync>();
    visitor.visit::<peers::RustixFutexSync>();
    #[cfg(boost)]
    visitor.visit::<boost::Mutex>();
    visitor.visit::<threads::Std>();
    visitor.visit::<threads::ParkingLot>();
}
