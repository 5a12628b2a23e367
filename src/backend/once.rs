//! Doing something once, as the primitives need it of a backend.

use super::{Acquired, Refused};
use crate::deadline::Patience;
use crate::error::Result;

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
    /// [`Error::Inherited`](crate::Error::Inherited) in a child of the process that began: it is still the parent's to do.
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
