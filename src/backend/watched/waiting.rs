//! The waiting of a primitive whose owners are watched: sleeping in slices, and waking who sleeps.
//!
//! # Why
//!
//! A wake-up is lost with a waiter that is killed with it, or with a waker that is killed before it; and nobody is told when an
//! owner dies. Where the kernel doesn't mend that, a sleeper does: it sleeps in slices, and after each it looks at the
//! words, and whether their owners still exist. So whatever is lost costs a slice, not more.
//!
//! # Invariants
//!
//! 1. A sleeper is counted before it looks at the words for the last time; who changes a word looks at the count after
//!    that. So either the sleeper sees the change, or the changer the sleeper. (SeqCst on both.)
//! 2. There are never more rings to hear than sleepers were counted: rings for nobody don't pile up. A sleeper that is
//!    killed stays counted, so later ones may be woken for nothing, each death at most once a ring.
//! 3. A sleeper that was woken looks at the words before it looks at its clock.
//! 4. After each sleep, whether or not it heard a ring, a sleeper looks after the owners if nobody has done so for half a
//!    slice. So a death is noticed where rings keep coming as well, within a slice and a half. Who doesn't wait, or not any more, and would have to, looks every time: some ten microseconds.
//!
//! The models are `tests/models/watched.py` and the others whose names begin so.

use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::sys::time::TimeValLike;

use super::bell::{Bell, Heard};
use super::identity::Identity;
use crate::atomic::{AtomicU32, Hint};
use crate::backend::Refused;
use crate::backend::futex::process;
use crate::backend::futex::spin::Spin;
use crate::backend::futex::thread::{self, Thread};
use crate::deadline::{Deadline, Patience};
use crate::error::{Error, Result};
use crate::sys::{clock, keeping_errno};

/// How long a sleeper sleeps before it looks by itself.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// So many milliseconds are between two looks at the owners.
const APART: u32 = SLICE.as_millis() as u32 / 2;

/// So many are woken at once; more notice within a slice.
const MOST_RINGS: u32 = 4096;

/// So often a sleeper passes on what it heard in another's place.
const MOST_PASSES: u32 = 16;

/// A bell, and what is known of those who wait. All zero when unsettled.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Waiting<B: Bell> {
    /// The pid namespace that the owners' ids belong to; 0 where this isn't (yet) in shared memory.
    settled: AtomicU32,
    /// Sleepers, and those that were killed while they slept.
    sleepers: AtomicU32,
    /// See [`Spin`].
    estimate: Hint,
    /// When somebody last looked after the owners, in milliseconds.
    looked: Hint,
    bell: B,
}

impl<B: Bell> Waiting<B> {
    pub(super) const fn new() -> Self {
        Waiting {
            settled: AtomicU32::new(0),
            sleepers: AtomicU32::new(0),
            estimate: Hint::new(0),
            looked: Hint::new(0),
            bell: B::NEW,
        }
    }

    /// Who this thread is, if it may use the primitive and nothing has to be found out: for the ways of the uncontended.
    #[inline(always)]
    pub(super) fn enter_at_once(&self, me: &Thread) -> Option<Identity> {
        let identity = me.identity()?;
        (self.settled.load(Ordering::Relaxed) == me.namespace()).then_some(identity)
    }

    /// Who this thread is, if it may use the primitive.
    pub(super) fn enter(&self, me: &Thread) -> Result<Identity, Refused> {
        let identity = me.find_identity().map_err(Refused::Failed)?;
        self.check_settled().map_err(Refused::Failed)?;
        match self.settled.load(Ordering::Relaxed) {
            settled if settled == me.namespace() => Ok(identity),
            settled => {
                let (theirs, ours) = (u64::from(settled), u64::from(me.namespace()));
                Err(Refused::Failed(Error::PidNamespace { what: "the lock".into(), theirs, ours }))
            }
        }
    }

    /// [`Error::NotInCell`] unless it is in shared memory.
    #[inline]
    pub(super) fn check_settled(&self) -> Result<()> {
        if self.settled.load(Ordering::Relaxed) != 0 { Ok(()) } else { Err(Error::NotInCell { backend: B::BACKEND }) }
    }

    pub(super) fn spin(&self) -> Spin<'_> {
        Spin::new(&self.estimate)
    }

    /// Whether this thread may use the primitive: only then do the ids in it mean what they mean here.
    pub(super) fn is_open_here(&self) -> bool {
        thread::with(|me| self.enter(me)).is_ok()
    }

    /// Sleeps until somebody rings, the slice is over, or the deadline has come, unless by now there is no need to. Ask
    /// [`is_time_to_look`](Waiting::is_time_to_look) afterwards, however it ended.
    pub(super) fn sleep_if(&self, needed: impl FnOnce() -> bool, deadline: Option<Deadline>) -> Result<Heard, Refused> {
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let heard = if needed() { self.bell.wait(Deadline::or_slice(deadline, SLICE)) } else { Ok(Heard::Ring) };
        // Err: somebody scribbled over it, and 0 is as good as anything.
        let _ = self.sleepers.fetch_update(Ordering::SeqCst, Ordering::Relaxed, |count| count.checked_sub(1));
        heard.map_err(Refused::Failed)
    }

    /// Wakes so many sleepers, if there are as many; after the change that they are to see. May be called from a signal
    /// handler. What fails here costs a slice, and the next sleeper says what it is.
    pub(super) fn wake(&self, count: u32) {
        self.wake_some(count, || ());
    }

    /// The same; `leaves` is called before, if there are more sleepers than there will be rings to hear.
    #[cold]
    pub(super) fn wake_some(&self, count: u32, leaves: impl FnOnce()) {
        let sleepers = self.sleepers.load(Ordering::SeqCst);
        if sleepers == 0 {
            return;
        }
        let unheard = keeping_errno(|| self.bell.unheard()).unwrap_or(0);
        let room = sleepers.min(MOST_RINGS).saturating_sub(unheard);
        let rings = count.min(room);
        if sleepers > unheard.saturating_add(rings) {
            leaves();
        }
        let _ = keeping_errno(|| self.bell.ring(rings));
    }

    /// For a sleeper that heard a ring though nothing has changed since it came: that was for one who came before it and
    /// hasn't heard it yet. Rings again and lets the other go first, `passes` times at most, for it may be nobody's.
    #[cold]
    pub(super) fn pass_on(&self, passes: &mut u32) {
        if *passes < MOST_PASSES && self.sleepers.load(Ordering::SeqCst) > 0 {
            *passes += 1;
            let _ = self.bell.ring(1);
            std::thread::yield_now();
        }
    }

    /// Whether it is this thread's turn to look whether the owners still exist: half a slice after the last look, however
    /// many wait, and however often they are woken meanwhile.
    pub(super) fn is_time_to_look(&self) -> bool {
        let now = clock::monotonic().num_milliseconds() as u32;
        let looked = self.looked.load(Ordering::Relaxed);
        now.wrapping_sub(looked) >= APART
            && self.looked.compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Wakes all sleepers.
    pub(super) fn wake_all(&self) {
        self.wake(u32::MAX);
    }

    /// Whether nobody is asleep, nor was killed asleep.
    pub(super) fn is_empty(&self) -> bool {
        self.sleepers.load(Ordering::SeqCst) == 0
    }

    /// # Safety
    ///
    /// As [`Bell::settle`].
    pub(super) unsafe fn settle(&self) -> Result<()> {
        let namespace = process::pid_namespace()?;
        // SAFETY: handed through.
        unsafe { self.bell.settle() }?;
        self.sleepers.store(0, Ordering::Relaxed);
        self.settled.store(namespace as u32, Ordering::Relaxed);
        Ok(())
    }

    /// # Safety
    ///
    /// As [`Bell::teardown`].
    pub(super) unsafe fn teardown(&self) {
        if self.check_settled().is_ok() {
            // SAFETY: handed through.
            unsafe { self.bell.teardown() };
        }
    }
}

/// The moment until which a patient one waits.
pub(crate) fn deadline_of(patience: Patience) -> Option<Deadline> {
    match patience {
        Patience::Until(deadline) => Some(deadline),
        Patience::Forever | Patience::None => None,
    }
}
