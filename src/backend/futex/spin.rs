//! Spinning before sleeping: how long, learned per lock.
//!
//! # Why
//!
//! On two cores a hand-over costs tens of nanoseconds while the receiver spins and tens of microseconds once it sleeps;
//! where nobody can run meanwhile, every pause is lost. And each look at the word takes its cache line from the thread
//! that works behind it: two processes that do nothing but lock and unlock get three times as much done when the one
//! that waits looks first after 14 pauses instead of 2.
//!
//! # How
//!
//! A waiter looks after 14 pauses, then after 16, 32 and so on. Each lock remembers how many pauses it took lately until
//! it came free, and a waiter spends up to twice that and a few looks more. When spinning has failed several times in a
//! row, only one wait in some tries it again, and one in many for as long as a sleeper takes to wake up: of two that
//! only let each other run, each would otherwise find the other asleep for ever.

use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot_core::SpinWait;

/// Pauses before the first look: 2 + 4 + 8, three steps of [`SpinWait`].
const FIRST: u32 = 14;

/// Pauses that a wait is worth where nothing was learned: as far as the fifth look, some 9 µs.
const LEAST: u32 = FIRST + 16 + 32 + 64 + 128;

/// Pauses of one wait, at most: about what sleeping and being woken costs.
const MOST: u32 = 1022;

/// So many failures in a row are a sign that nobody runs meanwhile.
const HOPELESS: u32 = 4;

/// One wait in so many tries again nevertheless.
const RETRY: u32 = 32;

/// One wait in so many tries again for as long as it ever may.
const RETRY_FOR_LONG: u32 = 512;

/// A waiter's spinning.
pub(crate) struct Spin<'a> {
    /// What the lock has learned, see [`Learned`].
    memory: &'a AtomicU32,
    wait: SpinWait,
    spent: u32,
    limit: u32,
}

/// The pauses that it took lately, in the lower half of a word, and failures in a row, in the upper. Hints only: any
/// value is harmless, and one that is lost between two writers isn't missed.
#[derive(Clone, Copy)]
struct Learned {
    pauses: u32,
    failures: u32,
}

impl Learned {
    fn from(memory: &AtomicU32) -> Learned {
        let bits = memory.load(Ordering::Relaxed);
        Learned { pauses: (bits & 0xffff).min(MOST), failures: bits >> 16 }
    }

    fn store(self, memory: &AtomicU32) {
        memory.store(self.failures << 16 | self.pauses, Ordering::Relaxed);
    }

    fn limit(self) -> u32 {
        let usual = (self.pauses * 2 + LEAST).min(MOST);
        match self.failures {
            failures if failures < HOPELESS => usual,
            failures if failures.is_multiple_of(RETRY_FOR_LONG) => MOST,
            failures if failures.is_multiple_of(RETRY) => usual,
            _ => 0,
        }
    }
}

impl<'a> Spin<'a> {
    pub(crate) fn new(memory: &'a AtomicU32) -> Spin<'a> {
        Spin { memory, wait: SpinWait::new(), spent: 0, limit: Learned::from(memory).limit() }
    }

    /// Pauses, unless it has been long enough.
    pub(crate) fn pause(&mut self) -> bool {
        if self.spent >= self.limit {
            return false;
        }
        if self.spent == 0 {
            (0..3).for_each(|_| self.wait.spin_no_yield());
            self.spent = FIRST;
        } else {
            self.wait.spin_no_yield();
            self.spent = 2 * self.spent + 2; // the steps double: 14, 30, 62, …
        }
        true
    }

    /// The lock came free while spinning.
    pub(crate) fn paid(&self) {
        if self.spent > 0 {
            let (learned, spent) = (Learned::from(self.memory), self.spent.min(MOST));
            // What was learned without hope is worth nothing.
            let pauses = if learned.failures >= HOPELESS { spent } else { (learned.pauses * 7 + spent) / 8 };
            Learned { pauses, failures: 0 }.store(self.memory);
        }
    }

    /// It didn't, and the waiter goes to sleep.
    pub(crate) fn failed(&self) {
        let learned = Learned::from(self.memory);
        // From the top of its half it goes on below, still without hope.
        let failures = if learned.failures < 0xffff { learned.failures + 1 } else { HOPELESS };
        Learned { pauses: learned.pauses / 2, failures }.store(self.memory);
    }
}
