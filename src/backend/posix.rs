//! The backend on POSIX semaphores: a `sem_t` in the cell is the bell of primitives whose owners are watched.

mod bell;
mod named;

pub(crate) use bell::SemBell;
pub use named::NamedSemaphore;

use super::watched;

/// The backend on POSIX semaphores.
///
/// They have no owners and tell of no death. So what owns something here is a thread's name in a word, which others look
/// after, and a semaphore in the cell only wakes them: what is lost with somebody who is killed costs 50 ms.
///
/// A [`Semaphore`](crate::posix::Semaphore) isn't a bare `sem_t` either, and no C program can post it: a `sem_t` takes one
/// permit at a time, so posting several would be several steps, with a death in between; it has no maximum below 2^31 - 1;
/// and one that was scribbled over can't be told. To share a count with a program in C, take a
/// [`NamedSemaphore`].
#[derive(Debug)]
pub enum Posix {}

#[cfg(target_pointer_width = "64")]
mod sizes {
    use crate::posix::{Barrier, Once, Permits};

    // A sem_t of glibc and musl has 32 bytes, and what stands beside it 16.
    static_assertions::const_assert_eq!(size_of::<Permits<4>>(), 80);
    static_assertions::const_assert_eq!(size_of::<Barrier<4>>(), 176);
    static_assertions::const_assert_eq!(size_of::<Once>(), 64);
}

watched::watched_backend!(Posix, "posix", SemBell);

static_assertions::const_assert_eq!(size_of::<watched::rwlock::RwLock<SemBell, 64>>(), 128 + 64 * 64);
