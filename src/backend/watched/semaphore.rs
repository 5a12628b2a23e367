//! The semaphore: a count in a word, and a bell for those who wait.
//!
//! # State
//!
//! | `word` | meaning |
//! |---|---|
//! | value, bits 0–29 | permits that are there |
//! | W, bit 31 | somebody may be asleep |
//!
//! # Invariants
//!
//! 1. A permit is added and taken by one compare-exchange each; ringing comes after. A poster killed in between, or a
//!    waiter killed with the ring, costs the others a slice.
//! 2. W is cleared by who posts and finds nobody counted asleep; a waiter is counted before it looks for the last time.
//! 3. Posting touches this memory and nothing else, so a signal handler may.
//!
//! The protocol is `tests/models/watched.py`.

use std::sync::atomic::Ordering;

use super::bell::Bell;
use super::waiting::{Waiting, deadline_of};
use crate::atomic::AtomicU32;
use crate::backend::futex::thread;
use crate::backend::{Posted, RawSemaphore, Refused};
use crate::deadline::{Deadline, Patience};
use crate::error::Result;

const WAITERS: u32 = 1 << 31;
const VALUE: u32 = (1 << 30) - 1;

/// A semaphore. All zero it has no permits, room for as many as there can be, and is not settled.
#[repr(C)]
#[derive(Debug)]
pub struct Semaphore<B: Bell> {
    word: AtomicU32,
    /// [`VALUE`] less the maximum.
    withheld: AtomicU32,
    waiting: Waiting<B>,
}

impl<B: Bell> Semaphore<B> {
    const fn with(permits: u32, max: u32) -> Self {
        Semaphore { word: AtomicU32::new(permits), withheld: AtomicU32::new(VALUE - max), waiting: Waiting::new() }
    }

    fn take_one(&self) -> bool {
        let one_less = |word| (word & VALUE > 0).then(|| word - 1);
        self.word.fetch_update(Ordering::SeqCst, Ordering::Relaxed, one_less).is_ok()
    }

    #[cold]
    fn wake(&self, word: u32, permits: u32) {
        if self.waiting.is_empty() {
            // Err: somebody posts, takes or begins to wait.
            let _ = self.word.compare_exchange(word, word & !WAITERS, Ordering::SeqCst, Ordering::Relaxed);
            if !self.waiting.is_empty() {
                self.word.fetch_or(WAITERS, Ordering::SeqCst); // who came in between counts on it
            }
        } else {
            self.waiting.wake(permits);
        }
    }
}

// SAFETY: a permit is taken by the compare-exchange that takes 1 from the value, once; the value grows by posting only.
unsafe impl<B: Bell> RawSemaphore for Semaphore<B> {
    const MAX: u32 = VALUE;
    const TAKEN: Self = Semaphore::with(0, 1);
    const FREE: Self = Semaphore::with(1, 1);

    fn new(value: u32, max: u32) -> Self {
        Semaphore::with(value, max)
    }

    #[inline]
    fn take_at_once(&self) -> bool {
        self.waiting.check_settled().is_ok() && self.take_one()
    }

    fn take(&self, patience: Patience) -> Result<(), Refused> {
        thread::with(|me| self.waiting.enter(me))?;
        let deadline = deadline_of(patience);
        let mut spin = self.waiting.spin();
        loop {
            if self.take_one() {
                spin.paid();
                return Ok(());
            }
            let is_over = matches!(patience, Patience::None) || deadline.is_some_and(Deadline::has_passed);
            if !is_over && spin.pause() {
                continue;
            }
            if is_over {
                return Err(if deadline.is_some() { Refused::TimedOut } else { Refused::WouldBlock });
            }
            let word = self.word.load(Ordering::SeqCst);
            let asleep = word | WAITERS;
            let is_marked =
                word == asleep || self.word.compare_exchange(word, asleep, Ordering::SeqCst, Ordering::Relaxed).is_ok();
            if word & VALUE != 0 || !is_marked {
                continue;
            }
            spin.failed();
            self.waiting.sleep_if(|| self.word.load(Ordering::SeqCst) == asleep, deadline)?;
            spin = self.waiting.spin();
        }
    }

    fn post(&self, permits: u32) -> Result<Posted> {
        self.waiting.check_settled()?;
        let max = self.max();
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let has_room = permits <= max.saturating_sub(word & VALUE);
            // Without room the word is written as it is: whoever takes a permit later sees what this thread did.
            let new = if has_room { word + permits } else { word };
            match self.word.compare_exchange(word, new, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) if !has_room => return Ok(Posted::Full),
                Ok(_) if new & WAITERS != 0 => self.wake(new, permits),
                Ok(_) => {}
                Err(other) => {
                    word = other;
                    continue;
                }
            }
            return Ok(Posted::Done);
        }
    }

    fn value(&self) -> u32 {
        self.word.load(Ordering::Relaxed) & VALUE
    }

    fn max(&self) -> u32 {
        VALUE.saturating_sub(self.withheld.load(Ordering::Relaxed))
    }

    unsafe fn settle(&self) -> Result<()> {
        self.word.store(self.value(), Ordering::Relaxed);
        // SAFETY: handed through.
        unsafe { self.waiting.settle() }
    }

    unsafe fn teardown(&self) {
        // SAFETY: handed through.
        unsafe { self.waiting.teardown() };
    }
}
