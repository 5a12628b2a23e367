//! The condition variable: a sequence that notifications count up.
//!
//! # State
//!
//! | `sequence` | meaning |
//! |---|---|
//! | W (bit 0) | somebody may be asleep |
//! | bits 1… | notifications so far |
//!
//! # Invariants
//!
//! 1. A waiter reads the sequence while it holds the mutex and sleeps only while that is unchanged; so it misses nothing
//!    that comes after it gave the mutex up.
//! 2. A notification is one change of `sequence`; ringing comes after. A notifier killed in between, or a waiter killed with
//!    the ring, costs the others a slice: a sleeper that looks up and finds the sequence changed returns, though the
//!    notification may have been another's.
//! 3. W is cleared by who notifies and finds nobody counted asleep; a waiter is counted before it looks for the last time.
//!
//! # Limits
//!
//! Of two that notify at the same time, the one may count the other's ring as its own: then one of two waiters
//! notices within a slice. While notifications come one by one, each sleeper returns within a slice of the first. The sequence comes round after
//! 2³¹ notifications, which a waiter that doesn't run meanwhile takes for none.
//!
//! The protocol is `tests/models/watched.py`.

use std::sync::atomic::Ordering;

use super::bell::{Bell, Heard};
use super::waiting::{Waiting, deadline_of};
use crate::atomic::AtomicU32;
use crate::backend::futex::thread;
use crate::backend::{Acquired, RawCondvar, RawMutex, Refused, Waited};
use crate::deadline::{Deadline, Patience};
use crate::error::Result;

const WAITERS: u32 = 1;
const ONE: u32 = 2;

/// A condition variable. All zero when new and unsettled.
#[repr(C)]
#[derive(Debug)]
pub struct Condvar<B: Bell> {
    sequence: AtomicU32,
    spare: AtomicU32,
    waiting: Waiting<B>,
}

impl<B: Bell> Condvar<B> {
    fn notify(&self, count: u32) {
        let sequence = self.sequence.fetch_add(ONE, Ordering::SeqCst);
        if sequence & WAITERS == 0 {
            return;
        }
        if self.waiting.is_empty() {
            let now = sequence.wrapping_add(ONE);
            // Err: somebody else notifies, or begins to wait.
            let _ = self.sequence.compare_exchange(now, now & !WAITERS, Ordering::SeqCst, Ordering::Relaxed);
            if !self.waiting.is_empty() {
                self.sequence.fetch_or(WAITERS, Ordering::SeqCst); // who came in between counts on it
            }
        } else {
            self.waiting.wake(count);
        }
    }

    /// Waits until the sequence is no longer `entered`; says whether the time was up instead.
    fn wait_for_change(&self, entered: u32, patience: Patience) -> Result<bool, Refused> {
        let deadline = deadline_of(patience);
        let mut passes = 0;
        let mut spin = self.waiting.spin();
        loop {
            let sequence = self.sequence.load(Ordering::SeqCst);
            if sequence & !WAITERS != entered {
                spin.paid();
                return Ok(false);
            }
            let is_over = matches!(patience, Patience::None) || deadline.is_some_and(Deadline::has_passed);
            if !is_over && spin.pause() {
                continue;
            }
            if is_over {
                return Ok(true);
            }
            let asleep = entered | WAITERS;
            if sequence != asleep
                && self.sequence.compare_exchange(sequence, asleep, Ordering::SeqCst, Ordering::Relaxed).is_err()
            {
                continue;
            }
            spin.failed();
            let is_same = || self.sequence.load(Ordering::SeqCst) == asleep;
            if self.waiting.sleep_if(is_same, deadline)? == Heard::Ring && is_same() {
                self.waiting.pass_on(&mut passes);
            }
            spin = self.waiting.spin();
        }
    }
}

// SAFETY: wait ends with what RawMutex::lock_at_once or RawMutex::lock gave.
unsafe impl<M: RawMutex, B: Bell> RawCondvar<M> for Condvar<B> {
    const NEW: Self = Condvar { sequence: AtomicU32::new(0), spare: AtomicU32::new(0), waiting: Waiting::new() };

    unsafe fn wait(&self, mutex: &M, held: M::Held, patience: Patience) -> Result<Waited<M::Held>, Refused> {
        let entered = self.sequence.load(Ordering::SeqCst) & !WAITERS;
        let may = thread::with(|me| self.waiting.enter(me));
        // SAFETY: the caller's promise.
        unsafe { mutex.unlock(held) };
        may?;
        let timed_out = self.wait_for_change(entered, patience)?;
        let lock = match mutex.lock_at_once() {
            Some(held) => Acquired { held, owner_died: false },
            None => mutex.lock(Patience::Forever)?,
        };
        Ok(Waited { lock, timed_out })
    }

    #[inline]
    fn notify_one(&self) {
        self.notify(1);
    }

    #[inline]
    fn notify_all(&self) {
        self.notify(u32::MAX);
    }

    unsafe fn settle(&self) -> Result<()> {
        self.sequence.store(0, Ordering::Relaxed);
        // SAFETY: handed through.
        unsafe { self.waiting.settle() }
    }

    unsafe fn teardown(&self) {
        // SAFETY: handed through.
        unsafe { self.waiting.teardown() };
    }
}
