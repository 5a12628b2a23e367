//! Spinning before sleeping: how long, learned per lock.
//!
//! # Why
//!
//! On two cores a hand-over costs tens of nanoseconds while the receiver spins and tens of microseconds once it sleeps;
//! where nobody can run meanwhile, every pause is lost. And each look at the word takes its cache line from the thread
//! that works behind it: two processes that do nothing but lock and unlock get three times as much done when the one
//! that waits looks first after 7 pauses instead of 1.
//!
//! # How
//!
//! A waiter looks after 7 pauses, then after 8, 16 and so on, for as long as sleeping and being woken would cost. Less
//! than that, and one process that sleeps sends the other to sleep: it takes so long to come back that the other has given
//! up, and so to and fro. Each lock remembers how often in a row that was in vain. After a few times only one wait in some
//! tries again for a moment, and one in many for as long as ever. Where spinning is over, it yields:
//! [`yielding`](super::yielding).

use parking_lot_core::SpinWait;

use super::learned::{Learned, PAYS};
use super::yielding::Yielding;
use crate::atomic::Hint;

/// Pauses before the first look: 1 + 2 + 4, three steps of [`SpinWait`].
const FIRST: u32 = 7;

/// Pauses of one wait: somewhat more than it usually takes until a sleeper has been woken and has answered, some 37 µs.
const MOST: u32 = 1023;

/// Pauses of one that tries again without much hope: as far as the fifth look, some 5 µs.
const LEAST: u32 = FIRST + 8 + 16 + 32 + 64;

/// So many failures in a row are a sign that nobody runs meanwhile.
const HOPELESS: u16 = 4;

/// One wait in so many tries again nevertheless.
const RETRY: u16 = 32;

/// One wait in so many tries again for as long as it ever may.
const RETRY_FOR_LONG: u16 = 512;

/// The same where yielding pays, which says that they share a processor.
const RETRY_BESIDE_YIELDING: u16 = 4096;

/// A waiter's spinning.
pub(crate) struct Spin<'a> {
    learned: &'a Hint,
    wait: SpinWait,
    spent: u32,
    first: u32,
    limit: u32,
    yielding: Yielding,
}

/// The pauses that a wait is worth after what was learned.
fn limit(learned: Learned) -> u32 {
    let failures = learned.spinning;
    if cfg!(loom) {
        0 // each look would be one more branch
    } else if failures < HOPELESS {
        MOST
    } else if learned.yielding == PAYS {
        if failures.is_multiple_of(RETRY_BESIDE_YIELDING) { MOST } else { 0 }
    } else if failures.is_multiple_of(RETRY_FOR_LONG) {
        MOST
    } else if failures.is_multiple_of(RETRY) {
        LEAST
    } else {
        0
    }
}

impl<'a> Spin<'a> {
    pub(crate) fn new(hint: &'a Hint) -> Spin<'a> {
        let learned = Learned::load(hint);
        let yielding = Yielding::new(learned.yielding);
        Spin { learned: hint, wait: SpinWait::new(), spent: 0, first: FIRST, limit: limit(learned), yielding }
    }

    /// Looks after so many pauses first: one less than a power of two.
    pub(super) fn first_after(self, pauses: u32) -> Spin<'a> {
        Spin { first: pauses, ..self }
    }

    /// Pauses, unless it has been long enough.
    #[inline]
    pub(crate) fn pause(&mut self) -> bool {
        self.pause_awake() || self.yielding.pause()
    }

    /// The same without yielding.
    pub(super) fn pause_awake(&mut self) -> bool {
        if self.spent >= self.limit {
            return false;
        }
        if self.spent == 0 {
            while self.spent < self.first {
                self.wait.spin_no_yield();
                self.spent = 2 * self.spent + 1;
            }
        } else {
            self.wait.spin_no_yield();
            self.spent = 2 * self.spent + 1; // the steps double: 7, 15, 31, …
        }
        true
    }

    /// The lock came free meanwhile.
    pub(crate) fn paid(&self) {
        if self.yielding.was_tried() {
            self.learn_failure(self.yielding.paid());
        } else if self.spent > 0 {
            Learned { spinning: 0, ..Learned::load(self.learned) }.store(self.learned);
        }
    }

    /// It didn't, and the waiter goes to sleep.
    pub(crate) fn failed(&self) {
        self.learn_failure(self.yielding.failed());
    }

    /// Spinning has failed, and yielding is worth that.
    fn learn_failure(&self, yielding: u16) {
        // From the top it goes on at the first number without hope.
        let spinning = Learned::load(self.learned).spinning.checked_add(1).unwrap_or(HOPELESS);
        Learned { spinning, yielding }.store(self.learned);
    }
}
