//! What lets another process go on.

#[cfg(boost)]
mod boost;
mod condvars;
mod mutexes;
mod peers;
mod semaphores;
mod threads;

use pshared::futex::Futex;
use pshared::posix::Posix;
use pshared::pthread::{Pthread, PthreadPi};
use pshared::sysv::Sysv;

use super::Subject;
use super::files::{Flock, Ofd, Std};

pub use semaphores::CacheLine;

/// One of two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Side {
    Ping,
    Pong,
}

impl Side {
    pub fn pick<T>(self, [ping, pong]: &[T; 2]) -> &T {
        match self {
            Side::Ping => ping,
            Side::Pong => pong,
        }
    }
}

/// Two directions in which one process lets the other go on. It is `Ping`'s turn first.
pub trait HandOver: Subject {
    /// What one semaphore, or the condition variable without its mutex, takes of the memory that is shared; `None` if it is
    /// elsewhere.
    fn bytes() -> Option<usize>;

    /// Lets the other process go on.
    fn give(&self, to: Side);

    /// Waits until the other process has let `side` go on.
    fn wait(&self, side: Side);
}

/// Three mutexes, by which two processes can let each other go on in turn though only a holder can unlock.
pub trait ThreeLocks: Subject {
    type Guard<'a>;

    fn lock(&self, which: usize) -> Self::Guard<'_>;
}

/// Something that is done for each way to hand over.
pub trait VisitHandOvers {
    fn visit<S: HandOver>(&mut self);
}

/// Something that is done for each kind of mutex.
pub trait VisitThreeLocks {
    fn visit<S: ThreeLocks>(&mut self);
}

/// Goes through the semaphores, ours first.
pub fn semaphores(visitor: &mut impl VisitHandOvers) {
    visitor.visit::<semaphores::Semaphore<Futex>>();
    visitor.visit::<semaphores::Semaphore<Pthread>>();
    visitor.visit::<semaphores::Semaphore<Sysv>>();
    visitor.visit::<semaphores::Semaphore<Posix>>();
    visitor.visit::<semaphores::SemT>();
    visitor.visit::<semaphores::Semop>();
    #[cfg(boost)]
    visitor.visit::<boost::Semaphore>();
}

/// Goes through the condition variables and what does their work, ours first.
pub fn condvars(visitor: &mut impl VisitHandOvers) {
    visitor.visit::<condvars::Condvar<Futex>>();
    visitor.visit::<condvars::Condvar<Pthread>>();
    visitor.visit::<condvars::Condvar<PthreadPi>>();
    visitor.visit::<condvars::Condvar<Sysv>>();
    visitor.visit::<condvars::Condvar<Posix>>();
    visitor.visit::<condvars::PthreadCond>();
    visitor.visit::<peers::Rustix>();
    visitor.visit::<peers::RawSync>();
    visitor.visit::<peers::PosixSync>();
    #[cfg(boost)]
    visitor.visit::<boost::Condition>();
    visitor.visit::<threads::StdCondvar>();
    visitor.visit::<threads::ParkingLotCondvar>();
}

/// Goes through the mutexes, ours first.
pub fn mutexes(visitor: &mut impl VisitThreeLocks) {
    visitor.visit::<mutexes::Mutexes<Futex>>();
    visitor.visit::<mutexes::Mutexes<Pthread>>();
    visitor.visit::<mutexes::Mutexes<PthreadPi>>();
    visitor.visit::<mutexes::Mutexes<Sysv>>();
    visitor.visit::<mutexes::Mutexes<Posix>>();
    visitor.visit::<mutexes::PthreadMutexes<'p'>>();
    visitor.visit::<mutexes::PthreadMutexes<'r'>>();
    visitor.visit::<mutexes::PthreadMutexes<'i'>>();
    visitor.visit::<peers::RustixMutexes>();
    visitor.visit::<mutexes::Files<Flock>>();
    visitor.visit::<mutexes::Files<Ofd>>();
    visitor.visit::<mutexes::Files<Std>>();
    #[cfg(boost)]
    visitor.visit::<boost::Mutexes>();
    visitor.visit::<threads::StdMutexes>();
    visitor.visit::<threads::ParkingLotMutexes>();
}
