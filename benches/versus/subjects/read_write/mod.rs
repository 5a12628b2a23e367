//! Locks for readers and writers.

#[cfg(boost)]
mod boost;
mod files;
mod floor;
mod ours;
mod peers;
mod pthread;
mod threads;

use pshared::futex::Futex;
use pshared::posix::Posix;
use pshared::pthread::Pthread;
use pshared::sysv::Sysv;

use super::Subject;

pub use floor::OwnLines;

/// A lock for readers and writers, with two numbers that it guards and that are equal whenever nobody writes.
pub trait ReadWrite: Subject {
    /// What a lock takes of the memory that is shared, without the numbers; `None` if it is elsewhere.
    fn bytes() -> Option<usize>;

    fn reading<R>(&self, f: impl FnOnce(&[u64; 2]) -> R) -> R;

    fn writing<R>(&self, f: impl FnOnce(&mut [u64; 2]) -> R) -> R;
}

/// Something that is done for each lock for readers and writers.
pub trait VisitReadWrites {
    fn visit<S: ReadWrite>(&mut self);
}

/// Goes through them, ours first.
pub fn read_writes(visitor: &mut impl VisitReadWrites) {
    visitor.visit::<ours::RwLock<Futex>>();
    visitor.visit::<ours::RwLock<Pthread>>();
    visitor.visit::<ours::RwLock<Sysv>>();
    visitor.visit::<ours::RwLock<Posix>>();
    visitor.visit::<pthread::RwLock>();
    visitor.visit::<peers::Rustix>();
    visitor.visit::<peers::RawSync>();
    visitor.visit::<peers::PosixSync>();
    visitor.visit::<files::Flock>();
    visitor.visit::<files::Ofd>();
    #[cfg(boost)]
    visitor.visit::<boost::SharableMutex>();
    visitor.visit::<threads::Std>();
    visitor.visit::<threads::ParkingLot>();
}
