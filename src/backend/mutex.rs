//! Mutual exclusion, as the primitives need it of a backend.

use super::{Acquired, Refused};
use crate::deadline::Patience;
use crate::error::Result;

/// Mutual exclusion without data.
///
/// All zero bytes are an unlocked lock that isn't settled.
///
/// # Safety
///
/// At most one [`Acquired`] exists at any time between its acquisition and its release, over all threads of all
/// processes that use the lock at the address where it was settled (of one process, while it is not settled).
pub unsafe trait RawMutex: Send + Sync + Sized + 'static {
    /// An unlocked lock, not settled.
    const UNLOCKED: Self;

    /// What the holder needs to unlock; of the thread that locked.
    type Held: Copy;

    /// Takes the lock if nobody has it, nobody waits, no owner died in it, and the backend has nothing else to do: the
    /// way of every uncontended lock, to be inlined. `None` says nothing; ask [`lock`](RawMutex::lock).
    fn lock_at_once(&self) -> Option<Self::Held>;

    /// Takes the lock.
    fn lock(&self, patience: Patience) -> Result<Acquired<Self::Held>, Refused>;

    /// Gives the lock back. Does nothing in a child of the process that took it.
    ///
    /// # Safety
    ///
    /// `held` came from [`lock`](RawMutex::lock) on this lock, in this thread or in the thread that this process was
    /// forked from, and was not given back before.
    unsafe fn unlock(&self, held: Self::Held);

    /// `held` with the one bit set that it keeps for the guard: a guard of two words stays in registers, one of three
    /// goes through memory.
    fn mark(held: Self::Held) -> Self::Held;

    /// Whether that bit is set.
    fn is_marked(held: Self::Held) -> bool;

    /// Whether `held` was got by the process that this one was forked from.
    fn is_inherited(&self, held: Self::Held) -> bool;

    /// What the calling thread got when it took the lock, unmarked, if it holds the lock.
    fn held_here(&self) -> Option<Self::Held>;

    /// Whether somebody holds the lock.
    fn is_locked(&self) -> bool;

    /// Whether the last owner died and nobody has taken the lock since.
    fn owner_died(&self) -> bool;

    /// Forgets that the last owner died, if nobody has taken the lock since.
    fn forget_death(&self);

    /// The thread that holds the lock.
    fn owner_thread(&self) -> Option<u32>;

    /// The process that holds the lock, where the system can tell.
    fn owner_process(&self) -> Option<u32>;

    /// Makes the lock ready for other processes.
    ///
    /// # Safety
    ///
    /// See [`Resident::settle`](crate::Resident::settle).
    unsafe fn settle(&self) -> Result<()>;

    /// Gives back what the system holds for the lock.
    ///
    /// # Safety
    ///
    /// See [`Resident::teardown`](crate::Resident::teardown).
    unsafe fn teardown(&self);
}

/// A lock that is a `pthread_mutex_t`, which programs in C can take as well.
///
/// # Safety
///
/// What [`as_pthread`](RawPthread::as_pthread) returns is inside of `self`; settled, it is a robust, process-shared mutex
/// of the C library, and who has that has the lock.
pub unsafe trait RawPthread: RawMutex {
    /// The `pthread_mutex_t`.
    fn as_pthread(&self) -> *mut std::ffi::c_void;
}
