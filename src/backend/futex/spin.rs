//! Spinning before sleeping: how long, learned per lock.
//!
//! On two cores a hand-over costs tens of nanoseconds while the receiver spins and tens of microseconds once it sleeps;
//! where nobody can run meanwhile, every pause is lost. So each lock remembers how many looks at the word it took lately
//! until the lock came free, and a waiter spins a little longer than that. A spin that fails halves the estimate.

use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot_core::SpinWait;

/// Looks at the word that a waiter is always allowed.
const LEAST: u32 = 4;

/// Looks that it is never allowed to exceed: about 20 µs.
const MOST: u32 = 40;

/// A waiter's spinning.
pub(crate) struct Spin<'a> {
    /// The lock's estimate, in looks; a hint only, so any value is harmless.
    estimate: &'a AtomicU32,
    wait: SpinWait,
    looks: u32,
    limit: u32,
}

impl<'a> Spin<'a> {
    pub(crate) fn new(estimate: &'a AtomicU32) -> Spin<'a> {
        let limit = estimate.load(Ordering::Relaxed).min(MOST) * 2 + LEAST;
        Spin { estimate, wait: SpinWait::new(), looks: 0, limit: limit.min(MOST) }
    }

    /// Pauses, unless it has been long enough.
    pub(crate) fn pause(&mut self) -> bool {
        if self.looks >= self.limit {
            return false;
        }
        self.looks += 1;
        self.wait.spin_no_yield();
        true
    }

    /// The lock came free while spinning.
    pub(crate) fn paid(&self) {
        if self.looks > 0 {
            let estimate = self.estimate.load(Ordering::Relaxed).min(MOST);
            self.estimate.store((estimate * 7 + self.looks) / 8, Ordering::Relaxed);
        }
    }

    /// It didn't, and the waiter goes to sleep.
    pub(crate) fn failed(&self) {
        self.estimate.store(self.estimate.load(Ordering::Relaxed).min(MOST) / 2, Ordering::Relaxed);
    }
}
