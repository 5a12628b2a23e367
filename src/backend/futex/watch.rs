//! Watching for something that another thread does at any moment: a permit posted, an event set.
//!
//! Unlike a lock's waiter ([`Spin`](super::spin::Spin)) who watches takes nothing from anybody by looking, so he looks after
//! each pause. Two who hand something to and fro settle in one of two ways: both watch, for tens of nanoseconds, or both
//! sleep, and then a watch pays only if it lasts as long as a sleeper takes to come. So a long watch is tried first, after
//! failures ever more seldom, and always after a success; where only one of them can run at a time it dies out, and they
//! yield ([`yielding`](super::yielding)).

use super::learned::{Learned, PAYS};
use super::yielding::Yielding;
use crate::atomic::Hint;

/// Pauses of a long watch: about what sleeping and being woken takes.
const LONG: u32 = 1024;

/// Pauses of any other: enough for an answer from one who watches.
const SHORT: u32 = 8;

/// Failures in a row after which long watches become seldom.
const FEW: u16 = 4;

/// After so many failures they become no more seldom; a power of two.
const MANY: u16 = 4096;

/// One thread's watching.
pub(super) struct Watch<'a> {
    learned: &'a Hint,
    left: u32,
    yielding: Yielding,
}

impl<'a> Watch<'a> {
    pub(super) fn new(hint: &'a Hint) -> Watch<'a> {
        let Learned { spinning, yielding } = Learned::load(hint);
        let left = if cfg!(loom) {
            0 // each look would be one more branch
        } else if spinning < FEW || spinning.is_power_of_two() {
            LONG
        } else if yielding == PAYS {
            0 // who is on the same processor doesn't answer while this one watches
        } else {
            SHORT
        };
        Watch { learned: hint, left, yielding: Yielding::new(yielding) }
    }

    /// Pauses, unless it has been long enough.
    pub(super) fn pause(&mut self) -> bool {
        if self.left == 0 {
            return self.yielding.pause();
        }
        self.left -= 1;
        std::hint::spin_loop();
        true
    }

    /// It came while it was watched for.
    pub(super) fn paid(&self) {
        if self.yielding.was_tried() {
            return self.learn_failure(self.yielding.paid());
        }
        Learned { spinning: 0, ..Learned::load(self.learned) }.store(self.learned);
    }

    /// It didn't, and the thread goes to sleep.
    pub(super) fn failed(&self) {
        self.learn_failure(self.yielding.failed());
    }

    /// Watching has failed, and yielding is worth that.
    fn learn_failure(&self, yielding: u16) {
        let so_far = Learned::load(self.learned).spinning;
        let spinning = if so_far >= 2 * MANY - 1 { MANY } else { so_far + 1 };
        Learned { spinning, yielding }.store(self.learned);
    }
}
