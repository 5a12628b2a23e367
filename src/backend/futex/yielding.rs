//! Yielding before sleeping: for those who share a processor with whom they wait for.
//!
//! # Why
//!
//! On one processor spinning is in vain, and a hand-over by sleeping costs a sleep with its timer, a wake-up and a switch of
//! processes. `sched_yield` is one call and the switch, and the other, finding nobody asleep, wakes nobody: less than half.
//! But who yields beside others that compute comes back when they have had their share, after milliseconds, where the
//! kernel prefers a sleeper that is woken.
//!
//! # How
//!
//! A waiter whose spinning is over yields a few times and looks after each. Each lock remembers how often in a row that was
//! in vain, and after a few times it is tried ever more seldom. Who was away for long has met somebody who computes, which
//! says nothing of the lock: his process doesn't yield for a while then, at no lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::time::TimeSpec;

use super::learned::PAYS;
use crate::sys::clock;

/// Yields of one wait: with two on a processor the first is enough, with more of them the next in turn may be another.
const MOST: u32 = 2;

/// Who was away for so long has yielded to somebody who computes. No hand-over takes as long, nor a process's turn at the
/// work between two of them, or sleeping would cost little beside it.
const AWAY: Duration = Duration::from_micros(100);

/// So many times as long as it was away a process doesn't yield: so it loses one part in so many.
const REST: u64 = 50;

/// Until when this process doesn't yield, in nanoseconds of the monotonic clock.
static RESTING_UNTIL: AtomicU64 = AtomicU64::new(0);

/// Failures in a row after which it is tried more seldom.
const FEW: u16 = 4;

/// After so many it becomes no more seldom; a power of two.
const MANY: u16 = 4096;

/// A waiter's yielding.
pub(super) struct Yielding {
    /// What was learned before: see [`Learned`](super::learned::Learned).
    failures: u16,
    left: u32,
    tried: bool,
    was_away: bool,
}

impl Yielding {
    pub(super) fn new(failures: u16) -> Yielding {
        let worth_it = failures == PAYS || failures < FEW || failures.is_power_of_two();
        let left = if worth_it && !cfg!(loom) { MOST } else { 0 };
        Yielding { failures, left, tried: false, was_away: false }
    }

    /// Yields, unless it was often enough.
    pub(super) fn pause(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let before = nanos(clock::monotonic());
        // A hint as well: a process that yields once too often loses a moment.
        if before < RESTING_UNTIL.load(Ordering::Relaxed) {
            self.left = 0;
            return false;
        }
        self.tried = true;
        std::thread::yield_now();
        let after = nanos(clock::monotonic());
        let away = after.saturating_sub(before);
        if away > AWAY.as_nanos() as u64 {
            RESTING_UNTIL.store(after.saturating_add(away.saturating_mul(REST)), Ordering::Relaxed);
            self.was_away = true;
            self.left = 0;
        }
        true
    }

    #[inline]
    pub(super) fn was_tried(&self) -> bool {
        self.tried
    }

    /// What is to be remembered if it came meanwhile.
    pub(super) fn paid(&self) -> u16 {
        match (self.tried, self.was_away) {
            (true, true) => 1,
            (true, false) => PAYS,
            (false, _) => self.failures,
        }
    }

    /// What is to be remembered if it didn't.
    pub(super) fn failed(&self) -> u16 {
        match self.failures {
            failures if !self.tried && (failures < FEW || failures == PAYS) => failures,
            PAYS => 1,
            failures if failures >= 2 * MANY - 1 => MANY,
            failures => failures + 1,
        }
    }
}

fn nanos(moment: TimeSpec) -> u64 {
    Duration::from(moment).as_nanos() as u64 // lasts five centuries
}
