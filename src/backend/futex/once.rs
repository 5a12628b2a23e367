//! What is done once: a [published](super::publish) word, and waiting for it without doing it.
//!
//! # Why
//!
//! Who may do the thing takes a word that nobody owns. Who only waits sleeps beside it, also while nobody is at work, and
//! may be the one that the kernel wakes for a dead owner: then it must hand that on to one that may do it.
//!
//! # State
//!
//! The states of the published word. Besides, W may be set where nobody is at work: somebody waits for one to come.
//!
//! # Invariants
//!
//! 1. Who may do it sleeps with every bit of the futex's bitset, a waiter with [`WAITER`] only. A waiter that was woken
//!    and finds nobody at work wakes one that has [`DOER`], so waiters don't go on waking each other.
//! 2. A waiter asks whether there is hope after it has seen W set by an Acquire, and sleeps only if the word has not
//!    changed: hope is given up before the word is released, which wakes one if W is set.
//! 3. A waiter that leaves without hope wakes another, or clears W where nobody sleeps. So W isn't left for one that has
//!    asked before and is about to sleep on it.
//! 4. While a thread waits, `list_op_pending` names the word, as for everybody who sleeps on one.
//!
//! # Memory orderings
//!
//! READY is stored after a Release fence, and read by an Acquire. All else is the robust word's.
//!
//! # Limits
//!
//! As the robust word's: a death that the kernel doesn't tell is noticed within a second by whoever waits.
//!
//! The model is `tests/models/once.py`.

use std::sync::atomic::Ordering;

use super::held::Held;
use super::robust::{self, ABOVE_EVERY_ID, Kind, READY, RobustWord, SLICE, WAITERS};
use super::thread::{self, Thread};
use crate::backend::{Begun, Outcome, RawMutex, RawOnce, Refused};
use crate::deadline::{Deadline, Patience};
use crate::error::Result;
use crate::sys::futex::{self, Bits, Wake};

/// A sleeper that takes the word when it is free. The other bits say the same: there are none of a third kind.
const DOER: Bits = 1 << 0;
/// A sleeper that never takes it.
const WAITER: Bits = 1 << 1;

/// A robust word that is published once. 40 bytes, all zero when nobody has begun and it isn't settled.
#[repr(transparent)]
#[derive(Debug)]
pub struct OnceWord(RobustWord);

// SAFETY: RobustWord's invariant 1, where READY is an owner that never goes; it is stored by the owner only.
unsafe impl RawOnce for OnceWord {
    const NEW: Self = OnceWord(RobustWord::new());
    const COMPLETE: Self = OnceWord(RobustWord::holding(READY));
    type Held = Held;

    #[inline]
    fn is_complete(&self) -> bool {
        self.0.is_ready()
    }

    #[cold]
    fn begin(&self, patience: Patience) -> Result<Begun<Held>, Refused> {
        if self.0.is_ready() {
            return Ok(Begun::Complete);
        }
        match thread::with(|me| self.0.acquire_contended(me, patience, Kind::Publication)) {
            Ok(acquired) => Ok(Begun::Mine(acquired)),
            Err(_) if self.0.is_ready() => Ok(Begun::Complete),
            Err(refused) => Err(refused),
        }
    }

    unsafe fn complete(&self, held: Held) -> Result<()> {
        // SAFETY: handed through.
        unsafe { self.0.publish(held) }
    }

    unsafe fn give_up(&self, held: Held) {
        // SAFETY: handed through.
        unsafe { self.0.release(held) };
    }

    fn is_inherited(&self, held: Held) -> bool {
        held.is_inherited()
    }

    fn wait(&self, patience: Patience, hopeless: impl Fn() -> bool) -> Result<Outcome, Refused> {
        if self.0.is_ready() {
            return Ok(Outcome::Complete);
        }
        thread::with(|me| {
            me.refresh().map_err(Refused::Failed)?;
            let settled = self.0.namespace();
            if settled == 0 {
                return self.wait_for(me, patience, Kind::UnsettledPublication, &hopeless);
            }
            robust::check_namespace(me, settled)?;
            me.set_pending(&self.0); // invariant 4
            let ended = self.wait_for(me, patience, Kind::Publication, &hopeless);
            me.clear_pending();
            ended
        })
    }

    fn owner_thread(&self) -> Option<u32> {
        self.0.owner().filter(|owner| *owner != READY)
    }

    unsafe fn settle(&self) -> Result<()> {
        let complete = self.0.is_ready();
        // SAFETY: handed through.
        unsafe { self.0.settle() }?;
        if complete {
            self.0.word().store(READY, Ordering::Relaxed); // nobody else sees it yet
        }
        Ok(())
    }

    unsafe fn reset(&self) -> Result<()> {
        // SAFETY: handed through.
        unsafe { self.0.settle() }
    }

    unsafe fn teardown(&self) {
        // SAFETY: handed through.
        unsafe { self.0.teardown() };
    }
}

impl OnceWord {
    #[cold]
    fn wait_for(
        &self,
        me: &Thread,
        patience: Patience,
        kind: Kind,
        hopeless: &impl Fn() -> bool,
    ) -> Result<Outcome, Refused> {
        let mut woken = false;
        loop {
            // Acquire: of READY, and of what was noted before the word was released (invariant 2).
            let word = self.0.word().load(Ordering::Acquire);
            let owner = robust::owner(word);
            if owner == READY {
                return Ok(Outcome::Complete);
            }
            if owner >= ABOVE_EVERY_ID {
                return Err(self.0.give_up_corrupt(word));
            }
            if owner == me.tid() {
                // Of this thread, unless an earlier one of the same id died here unnoticed.
                if self.0.bury_if_gone(word, kind) {
                    woken = true;
                    continue;
                }
                return Err(patience.refuse_own());
            }
            if word & WAITERS == 0 && !self.mark(word) {
                continue;
            }
            let word = word | WAITERS;
            if owner == 0 && hopeless() {
                self.0.wake_one(); // invariant 3
                return Ok(Outcome::Hopeless);
            }
            if owner == 0 && woken {
                // It can't fail on a mapped, aligned word; if it did, the others would look up within a second.
                let _ = futex::wake_only(DOER, self.0.word(), 1); // invariant 1
                woken = false;
                continue;
            }
            // The word was looked at since the last sleep; only now the clock.
            let deadline = match patience {
                Patience::None => return Err(Refused::WouldBlock),
                Patience::Until(deadline) if deadline.has_passed() => return Err(Refused::TimedOut),
                Patience::Until(deadline) => Some(deadline),
                Patience::Forever => None,
            };
            woken = match futex::wait_as(WAITER, self.0.word(), word, Some(Deadline::or_slice(deadline, SLICE))) {
                Ok(Wake::Woken) => true,
                // What is buried wakes nobody by itself, so this is as good as having been woken for it.
                Ok(Wake::TimedOut) => owner != 0 && self.0.bury_if_gone(word, kind),
                Ok(Wake::Changed | Wake::Interrupted) => false,
                Err(errno) => return Err(Refused::Failed(robust::cannot_sleep(errno))),
            };
        }
    }

    /// Sets W in the word as it was seen. Acquire: see [`wait_for`](OnceWord::wait_for).
    fn mark(&self, word: u32) -> bool {
        self.0.word().compare_exchange(word, word | WAITERS, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }
}
