//! Watching for something that another thread does at any moment: a permit posted, an event set.
//!
//! Unlike a lock's waiter ([`Spin`](super::spin::Spin)) who watches takes nothing from anybody by looking, so he looks after
//! each pause. Two who hand something to and fro settle in one of two ways: both watch, for tens of nanoseconds, or both
//! sleep, and then a watch pays only if it lasts as long as a sleeper takes to come. So a long watch is tried first, after
//! failures ever more seldom, and always after a success; where only one of them can run at a time it dies out.

use std::sync::atomic::Ordering;

use crate::atomic::Hint;

/// Pauses of a long watch: about what sleeping and being woken takes.
const LONG: u32 = 1024;

/// Pauses of any other: enough for an answer from one who watches.
const SHORT: u32 = 8;

/// Failures in a row after which long watches become seldom.
const FEW: u32 = 4;

/// After so many failures they become no more seldom; a power of two.
const MANY: u32 = 4096;

/// One thread's watching.
pub(super) struct Watch<'a> {
    /// Failures in a row, of all who watched; a hint only, so any value is harmless.
    failures: &'a Hint,
    left: u32,
}

impl<'a> Watch<'a> {
    pub(super) fn new(failures: &'a Hint) -> Watch<'a> {
        let so_far = failures.load(Ordering::Relaxed);
        let left = if cfg!(loom) {
            0 // each look would be one more branch
        } else if so_far < FEW || so_far.is_power_of_two() {
            LONG
        } else {
            SHORT
        };
        Watch { failures, left }
    }

    /// Pauses, unless it has been long enough.
    pub(super) fn pause(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        std::hint::spin_loop();
        true
    }

    /// It came while it was watched for.
    pub(super) fn paid(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// It didn't, and the thread goes to sleep.
    pub(super) fn failed(&self) {
        let so_far = self.failures.load(Ordering::Relaxed);
        let next = if so_far >= 2 * MANY - 1 { MANY } else { so_far + 1 };
        self.failures.store(next, Ordering::Relaxed);
    }
}
