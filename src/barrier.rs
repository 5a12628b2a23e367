//! `Barrier<N>`: threads and processes that wait for each other, and are told when one of them never comes again.

use std::fmt;
use std::mem::offset_of;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use crate::backend::{Backend, Met, RawBarrier};
use crate::cell::layout::Type;
use crate::cell::safe::{Resident, ShmSafe};
use crate::deadline::Patience;
use crate::error::{Error, LockError, Result};

/// A point where a number of threads wait until all have come, again and again: between processes when it stands in a
/// cell, between threads anywhere.
///
/// Write [`pshared::Barrier`](crate::Barrier), the same with the backend chosen. The calls are those of
/// [`std::sync::Barrier`], with an outcome: a participant that **dies while it waits breaks** the barrier for the others (on
/// futexes at once, on other backends within a tenth of a second), and so does one that gives up. Everybody who waits, and
/// everybody who comes, gets [`BarrierBroken`](Error::BarrierBroken) then, until somebody calls [`reset`](Barrier::reset).
///
/// A round is completed for all of its participants or broken for all of them, except that who gives up is told
/// [`TimedOut`](Error::TimedOut) instead.
///
/// `N` is the room: how many may wait at once. The number of participants is chosen when the barrier is made, up to `N`.
/// With more threads than that going through it, leave some more room.
///
/// ```
/// use pshared::{Barrier, Error, Shm};
/// use std::{thread, time::Duration};
///
/// # let name = format!("doc-barrier-{}", std::process::id());
/// let start = Shm::create(&name, || Barrier::<8>::new(2))?;
///
/// let leaders = thread::scope(|scope| {
///     let other = scope.spawn(|| start.wait().unwrap().is_leader());
///     [start.wait().unwrap().is_leader(), other.join().unwrap()]
/// });
/// assert!(leaders[0] != leaders[1]);
///
/// // The other one doesn't come:
/// assert!(matches!(start.wait_timeout(Duration::from_millis(10)), Err(Error::TimedOut)));
/// assert!(matches!(start.wait(), Err(Error::BarrierBroken)));
/// start.reset()?;
/// # Shm::<Barrier<8>>::remove(&name)?;
/// # Ok::<(), pshared::Error>(())
/// ```
///
/// # Not in a cell
///
/// On the stack, in a `static` or in an `Arc` it is a barrier for the threads of one process, and may be moved while
/// nobody waits.
///
/// # Limits
///
/// - Only who waits is known: a participant that dies before it comes is missed by nobody but those who wait with a
///   time limit. One that dies on its way out, after the round was completed, breaks nothing.
/// - Not for signal handlers.
/// - Waiting counts as one of the 2048 locks in cells that a thread can have.
/// - One that comes while all `N` places are taken, by some that are about to leave, looks for a free one a thousand times
///   a second.
///
/// # Size
///
/// On futexes 32 bytes, and 48 for each place.
#[repr(C)]
pub struct Barrier<B: Backend, const N: usize> {
    raw: B::Barrier<N>,
    /// 0 stands for `N`.
    participants: u32,
}

/// What [`Barrier::wait`] says of a round that was completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult {
    leader: bool,
}

impl BarrierWaitResult {
    /// Whether this thread is the one of its round to do what one is to do: `true` for exactly one of them.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.leader
    }
}

// Nothing is guarded, so a panic leaves nothing half-done.
impl<B: Backend, const N: usize> UnwindSafe for Barrier<B, N> {}
impl<B: Backend, const N: usize> RefUnwindSafe for Barrier<B, N> {}

impl<B: Backend, const N: usize> Barrier<B, N> {
    /// A barrier for `participants`, at least one and at most `N`.
    ///
    /// # Errors
    ///
    /// [`Participants`](Error::Participants) for another number.
    pub const fn new(participants: usize) -> Result<Self> {
        if participants == 0 || participants > N {
            return Err(Error::Participants { wanted: participants, room: N });
        }
        Ok(Self::with(participants as u32))
    }

    /// A barrier for `N` participants; `N` is not 0. For statics, where an error can't be handled.
    pub const fn full() -> Self {
        Self::with(0)
    }

    const fn with(participants: u32) -> Self {
        const { assert!(0 < N && N < 1 << 20, "a barrier has room for at least one, and less than 2^20") };
        Barrier { raw: B::Barrier::EMPTY, participants }
    }

    /// Waits until all participants have come, as long as it takes.
    ///
    /// # Errors
    ///
    /// - [`BarrierBroken`](Error::BarrierBroken): a participant died or gave up while it waited, or the barrier was reset
    ///   meanwhile, or it was broken before.
    /// - Others as in [`Error`]: the barrier can't be used.
    pub fn wait(&self) -> Result<BarrierWaitResult> {
        self.wait_with(Patience::Forever)
    }

    /// Waits until all participants have come, for at most `timeout`, by the monotonic clock. Then it gives up, which
    /// breaks the barrier. A time beyond what the clock can express is for ever.
    ///
    /// # Errors
    ///
    /// As [`wait`](Barrier::wait), and [`TimedOut`](Error::TimedOut), never before the time is up.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<BarrierWaitResult> {
        self.wait_with(Patience::for_duration(timeout))
    }

    /// Waits until all participants have come, until `deadline` at most, as [`wait_timeout`](Barrier::wait_timeout).
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](Barrier::wait_timeout).
    pub fn wait_until(&self, deadline: Instant) -> Result<BarrierWaitResult> {
        self.wait_with(Patience::until(deadline))
    }

    fn wait_with(&self, patience: Patience) -> Result<BarrierWaitResult> {
        match self.raw.wait(self.participants(), patience) {
            Ok(Met::AsLeader) => Ok(BarrierWaitResult { leader: true }),
            Ok(Met::AsOther) => Ok(BarrierWaitResult { leader: false }),
            Ok(Met::Broken) => Err(Error::BarrierBroken),
            Err(refused) => Err(LockError::<()>::from(refused).into()),
        }
    }

    /// Makes a broken barrier whole. Those who wait at this moment, if any, get [`BarrierBroken`](Error::BarrierBroken);
    /// whoever comes afterwards begins a new round. Does nothing to a whole barrier at which nobody waits.
    ///
    /// # Errors
    ///
    /// As in [`Error`]: the barrier can't be used.
    pub fn reset(&self) -> Result<()> {
        self.raw.reset()
    }

    /// Whether whoever comes now is told that the barrier is broken. Asking repairs nothing.
    pub fn is_broken(&self) -> bool {
        self.raw.is_broken()
    }

    /// How many wait at this moment, in a round that isn't over.
    pub fn waiting(&self) -> usize {
        self.raw.waiting()
    }

    /// How many take part in a round.
    pub fn participants(&self) -> usize {
        match self.participants as usize {
            0 => N,
            some => some.min(N), // who scribbles over it gets no larger one
        }
    }
}

/// Shows the numbers, and never waits.
impl<B: Backend, const N: usize> fmt::Debug for Barrier<B, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("waiting", &self.waiting())
            .field("participants", &self.participants())
            .field("broken", &self.is_broken())
            .finish_non_exhaustive()
    }
}

// SAFETY: repr(C) over the backend's words, which are for shared use and hold no address that is followed, and a number
// that never changes. There is one lock to show.
unsafe impl<B: Backend, const N: usize> ShmSafe for Barrier<B, N> {
    const TYPE: Type = Type::lock::<Self, u32>("Barrier", B::NAME, N, offset_of!(Self, participants));

    fn each_lock(&self, visit: &mut dyn FnMut(&dyn Resident) -> Result<()>) -> Result<()> {
        visit(self)
    }
}

impl<B: Backend, const N: usize> Resident for Barrier<B, N> {
    unsafe fn settle(&self) -> Result<()> {
        // SAFETY: handed through.
        unsafe { self.raw.settle() }
    }

    unsafe fn teardown(&self) {
        // SAFETY: handed through.
        unsafe { self.raw.teardown() }
    }

    unsafe fn reset(&self) -> Result<()> {
        // SAFETY: handed through. Who waited is gone with the boot, and so is its round.
        unsafe { self.raw.settle() }
    }

    fn each_owner(&self, see: &mut dyn FnMut(u32)) {
        self.raw.each_owner(see);
    }
}

static_assertions::const_assert_eq!(size_of::<Barrier<crate::backend::futex::Futex, 4>>(), 224);
static_assertions::const_assert_eq!(align_of::<Barrier<crate::backend::futex::Futex, 4>>(), 8);
static_assertions::assert_impl_all!(Barrier<crate::backend::futex::Futex, 4>: Send, Sync, RefUnwindSafe);
