//! The relay: where waiters sleep so that a wake-up isn't lost with the one that got it.
//!
//! # Why
//!
//! A thread that is woken and killed before it has done anything takes the wake-up along. But when a thread dies while
//! `list_op_pending` names a word whose owner part is 0, the kernel wakes one sleeper on that word. So a waiter announces
//! the relay, a word that is always 0, and sleeps on the relay and on the word that it really waits for: dead or alive,
//! each sleeper that was woken hands on or uses what it got.
//!
//! # Rules
//!
//! 1. The relay comes first in the array of `futex_waitv` and wakes go to the relay, so each wake takes another sleeper:
//!    one that was woken through any other word would still be queued on the relay and take a second wake-up there.
//! 2. The announcement stands from before the first look at the real word until after the last.
//! 3. A waiter that was woken looks at the real word before its clock.
//!
//! # Limits
//!
//! Without `futex_waitv` (Linux before 5.16, or a filter that forbids it; noticed at the first call) a sleeper queues on
//! the relay alone. A change between its last look and its sleep goes unnoticed then, so it sleeps in short slices.
//!
//! The models are those of what sleeps there: `tests/models/semaphore.py`, `permits.py` and `barrier.py`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;

use super::thread::Thread;
use crate::atomic::AtomicU32;
use crate::deadline::Deadline;
use crate::sys::futex::{self, Change, Expected, Wake};

/// How long a sleeper without `futex_waitv` may miss a change.
const BLIND_SLICE: Duration = Duration::from_millis(10);

/// Whether the system refuses `futex_waitv` to this process.
static BLIND: AtomicBool = AtomicBool::new(false);

/// A word that is always 0.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Relay(AtomicU32);

impl Relay {
    pub(crate) const fn new() -> Relay {
        Relay(AtomicU32::new(0))
    }

    /// Has the kernel wake another sleeper if this thread dies; until [`Thread::clear_pending`].
    #[inline]
    pub(crate) fn announce(&self, me: &Thread) {
        me.set_pending_word(&self.0);
    }

    /// The relay's part of the array for [`sleep`](Relay::sleep), its first.
    #[inline]
    pub(crate) fn expected(&self) -> Expected<'_> {
        Expected::new(&self.0, 0)
    }

    /// Sleeps until a wake-up through the relay or a change of one of the words, of which the relay is the first.
    /// May end early, as [`Wake::Interrupted`].
    pub(crate) fn sleep(&self, words: &[Expected<'_>], until: Option<TimeSpec>) -> Result<Wake, Errno> {
        self.sleep_and_tell(words, until).map(|(ended, _)| ended)
    }

    /// The same, and by which of the words it was woken, where the system says so.
    pub(crate) fn sleep_and_tell(
        &self,
        words: &[Expected<'_>],
        until: Option<TimeSpec>,
    ) -> Result<(Wake, Option<usize>), Errno> {
        let ended = sleep_on_all(words, until);
        if matches!(ended, Ok((Wake::Changed, _))) && self.0.load(Ordering::Relaxed) != 0 {
            self.clear(); // somebody scribbled over it: nobody could ever sleep here again
        }
        ended
    }

    /// Puts its 0 there.
    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Wakes at most `count` sleepers and says how many there were.
    pub(crate) fn wake(&self, count: i32) -> Result<usize, Errno> {
        futex::wake(&self.0, count)
    }

    /// Changes `word` and wakes at most `count` sleepers, as one step; says how many there were.
    pub(crate) fn wake_and_change(&self, count: i32, word: &AtomicU32, change: Change) -> Result<usize, Errno> {
        futex::wake_and_change(&self.0, count, word, change)
    }
}

/// Sleeps on all the words; without `futex_waitv` on the first only, for a slice, if none has changed. May end early, as
/// [`Wake::Interrupted`]. Says which word woke it, where the system does.
pub(super) fn sleep_on_all(words: &[Expected<'_>], until: Option<TimeSpec>) -> Result<(Wake, Option<usize>), Errno> {
    if let Some(ended) = wait_any(words, until) {
        return ended;
    }
    let unchanged = words.iter().all(Expected::holds);
    let Some(first) = words.first().filter(|_| unchanged) else { return Ok((Wake::Changed, None)) };
    let slice = Deadline::slice(BLIND_SLICE);
    let earlier = until.filter(|until| *until <= slice);
    match first.wait(Some(earlier.unwrap_or(slice)))? {
        Wake::TimedOut if earlier.is_none() => Ok((Wake::Interrupted, None)),
        ended => Ok((ended, None)),
    }
}

/// The same, for whom it is all one which word woke him. Never ends early: who sleeps in slices to look for dead owners
/// would otherwise never come to the end of one where `futex_waitv` is missing.
pub(super) fn sleep_on_any(words: &[Expected<'_>], until: Option<TimeSpec>) -> Result<Wake, Errno> {
    loop {
        match sleep_on_all(words, until)? {
            (Wake::Interrupted, _) => {}
            (ended, _) => return Ok(ended),
        }
    }
}

/// Sleeps on all the words at once; `None` if the system can't.
pub(super) fn wait_any(
    words: &[Expected<'_>],
    until: Option<TimeSpec>,
) -> Option<Result<(Wake, Option<usize>), Errno>> {
    if BLIND.load(Ordering::Relaxed) {
        return None;
    }
    match futex::wait_any(words, until) {
        Err(Errno::ENOSYS | Errno::EPERM) => {
            BLIND.store(true, Ordering::Relaxed);
            None
        }
        ended => Some(ended),
    }
}
