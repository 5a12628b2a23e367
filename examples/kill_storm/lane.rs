//! The books of the counting semaphores: what was posted, less what was taken.
//!
//! A process that is killed between taking a permit and noting it has taken one that the books don't show; killed before
//! it took it, it hasn't. Nobody can tell which, so a call is announced before it is made, and note and announcement are
//! one word: what remains open is at most the one call of each victim, on its lane. There are several lanes, so that most
//! have nothing open when they are balanced, and balancing closes what was open: nothing adds up.

use std::sync::atomic::{AtomicI64, Ordering};

use pshared::ShmSafe;

/// So many counting semaphores there are,
pub const LANES: usize = 8;
/// and this one has room for a few permits only.
pub const LIMITED: usize = 0;
pub const LIMIT: u32 = 4;

/// What one process did to one semaphore: permits posted less permits taken, and below 8 bits what it is about to add.
#[repr(transparent)]
#[derive(ShmSafe)]
pub struct Lane(AtomicI64);

impl Lane {
    pub const fn new() -> Lane {
        Lane(AtomicI64::new(0))
    }

    /// What is noted.
    pub fn net(&self) -> i64 {
        self.0.load(Ordering::Acquire) >> 8
    }

    /// What is announced: so many are about to be posted, or taken if it is negative.
    pub fn open(&self) -> i8 {
        self.0.load(Ordering::Acquire) as i8
    }

    /// Makes a call that adds `amount` if it succeeds.
    pub fn book<E>(&self, amount: i8, call: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let net = self.net();
        self.0.store(net << 8 | i64::from(amount as u8), Ordering::SeqCst);
        let outcome = call();
        let added = if outcome.is_ok() { i64::from(amount) } else { 0 };
        self.0.store((net + added) << 8, Ordering::SeqCst);
        outcome
    }

    /// Forgets what is announced, whose process has ended, and says what it was.
    pub fn close(&self) -> i8 {
        let open = self.open();
        self.0.store(self.net() << 8, Ordering::SeqCst);
        open
    }
}

/// The balance of one semaphore, when nobody is at it.
///
/// `expected` is what it must have but for the calls in `open`, each of which was made or not. Returns what they came to
/// (to be added from now on), and whether that is possible.
pub fn balance(value: i64, expected: i64, open: &[i8]) -> (i64, bool) {
    let difference = value - expected;
    let mut sums = vec![0];
    for amount in open {
        let more: Vec<i64> = sums.iter().map(|sum| sum + i64::from(*amount)).collect();
        sums.extend(more);
        sums.sort_unstable();
        sums.dedup();
    }
    (difference, sums.contains(&difference))
}
