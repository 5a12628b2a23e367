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

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;

use super::thread::Thread;
use crate::deadline::Deadline;
use crate::sys::futex::{self, Change, Expected, Wake};

/// How long a sleeper without `futex_waitv` may miss a change.
const BLIND_SLICE: Duration = Duration::from_millis(10);

/// Whether the system refused `futex_waitv` to this process.
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
        sleep_on_any(words, (&self.0, 0), until)
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

/// Sleeps until a wake-up through one of the words or a change of one, of which `first` is the first. May end early, as
/// [`Wake::Interrupted`].
pub(super) fn sleep_on_any(
    words: &[Expected<'_>],
    first: (&AtomicU32, u32),
    until: Option<TimeSpec>,
) -> Result<Wake, Errno> {
    if !BLIND.load(Ordering::Relaxed) {
        match futex::wait_any(words, until) {
            Err(Errno::ENOSYS | Errno::EPERM) => BLIND.store(true, Ordering::Relaxed),
            ended => return ended,
        }
    }
    if !words.iter().all(Expected::holds) {
        return Ok(Wake::Changed);
    }
    let slice = Deadline::slice(BLIND_SLICE);
    let earlier = until.filter(|until| *until <= slice);
    match futex::wait(first.0, first.1, Some(earlier.unwrap_or(slice)))? {
        Wake::TimedOut if earlier.is_none() => Ok(Wake::Interrupted),
        ended => Ok(ended),
    }
}
