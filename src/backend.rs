//! The contract between the primitives that users see and the backends that do the locking.
//!
//! A backend knows words, threads and system calls; it never sees cells, regions, data or poison.

pub mod futex;

use crate::deadline::Patience;
use crate::error::{Error, Result};

/// A family of primitives built on one mechanism of the system.
///
/// The only implementor so far is [`Futex`](futex::Futex); the parameter exists so that types keep their names when
/// more come.
pub trait Backend: Send + Sync + 'static {
    /// The backend's name in fingerprints and tables.
    const NAME: &'static str;

    /// The backend's mutual exclusion.
    type Mutex: RawMutex;

    /// The backend's way to do something once.
    type Once: RawOnce;
}

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

/// Something that is done once: who begins it completes it, or is replaced.
///
/// All zero bytes are one that nobody has begun and that isn't settled.
///
/// # Safety
///
/// - At most one [`Begun::Mine`] exists at any time between its beginning and its end, and none once it is complete: over
///   all threads of all processes that use it at the address where it was settled (of one process, while it isn't).
/// - Who is told that it is complete sees everything that was done before [`complete`](RawOnce::complete).
pub unsafe trait RawOnce: Send + Sync + Sized + 'static {
    /// One that nobody has begun, not settled.
    const NEW: Self;

    /// One that is complete, not settled.
    const COMPLETE: Self;

    /// What whoever has begun needs to end it; of the thread that began.
    type Held: Copy;

    /// Whether it is complete.
    fn is_complete(&self) -> bool;

    /// Makes it this thread's to do, unless it is complete; waits while another is at it.
    fn begin(&self, patience: Patience) -> Result<Begun<Self::Held>, Refused>;

    /// It is done: for good, and for everybody who waits.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`] in a child of the process that began: it is still the parent's to do.
    ///
    /// # Safety
    ///
    /// `held` came from [`begin`](RawOnce::begin) here, in this thread or in the one that this process was forked from,
    /// and was not used before.
    unsafe fn complete(&self, held: Self::Held) -> Result<()>;

    /// It isn't done, and is the next one's to do. Does nothing in a child of the process that began.
    ///
    /// # Safety
    ///
    /// As [`complete`](RawOnce::complete).
    unsafe fn give_up(&self, held: Self::Held);

    /// Whether `held` was got by the process that this one was forked from.
    fn is_inherited(&self, held: Self::Held) -> bool;

    /// Waits until it is complete, without doing it. While nobody is at it, `hopeless` is asked whether to go on: what it
    /// says may become true before [`give_up`](RawOnce::give_up), and then stays so.
    fn wait(&self, patience: Patience, hopeless: impl Fn() -> bool) -> Result<Outcome, Refused>;

    /// The thread that is at it.
    fn owner_thread(&self) -> Option<u32>;

    /// Makes it ready for other processes, complete or not.
    ///
    /// # Safety
    ///
    /// See [`Resident::settle`](crate::Resident::settle).
    unsafe fn settle(&self) -> Result<()>;

    /// The same, and not complete.
    ///
    /// # Safety
    ///
    /// See [`Resident::reset`](crate::Resident::reset).
    unsafe fn reset(&self) -> Result<()>;

    /// Gives back what the system holds for it.
    ///
    /// # Safety
    ///
    /// See [`Resident::teardown`](crate::Resident::teardown).
    unsafe fn teardown(&self);
}

/// What beginning something that is done once came to.
#[derive(Clone, Copy, Debug)]
pub enum Begun<H> {
    /// It is complete.
    Complete,
    /// It is this thread's to do.
    Mine(Acquired<H>),
}

/// How waiting for something that is done once ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is complete.
    Complete,
    /// There is no hope.
    Hopeless,
}

/// A lock that was taken.
#[derive(Clone, Copy, Debug)]
pub struct Acquired<H> {
    /// What unlocking needs.
    pub held: H,
    /// The owner before died while it held the lock; said once.
    pub owner_died: bool,
}

/// A lock that was not taken.
#[derive(Clone, Debug)]
pub enum Refused {
    /// It is held and the call doesn't wait.
    WouldBlock,
    /// It was held until the deadline.
    TimedOut,
    /// The calling thread holds it.
    WouldDeadlock,
    /// It can't be used.
    Failed(Error),
}
