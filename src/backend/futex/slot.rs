//! A robust word as one of several slots, whose sleepers wait for whichever comes first and not on this one alone.
//!
//! Taking and giving back are those of [`robust`](super::robust), without the waiting: who has a slot is on record with
//! the kernel, and whom to wake is the business of the protocol that the slots are for.
//!
//! The models are those of what the slots are for: `tests/models/permits.py` and `barrier.py`.

use std::sync::atomic::Ordering;

use super::held::Held;
use super::robust::{ABOVE_EVERY_ID, Kind, OWNER_DIED, RobustWord, WAITERS, owner};
use super::thread::Thread;
use crate::backend::{Acquired, Refused};
use crate::error::Error;

/// How a slot is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// By the threads of this process: it never comes near the robust list.
    Process,
    /// By every process of the pid namespace.
    Namespace,
}

/// What an attempt to take a slot came to.
pub(super) enum Attempt {
    Taken(Acquired<Held>),
    /// Somebody has it.
    Busy,
    /// It changed meanwhile.
    Changed,
}

impl RobustWord {
    /// How this slot is used, in a thread with a fresh state.
    pub(super) fn reach(&self, me: &Thread) -> Result<Reach, Refused> {
        match self.namespace() {
            0 => Ok(Reach::Process),
            settled if settled == me.namespace() => Ok(Reach::Namespace),
            settled => {
                let (theirs, ours) = (u64::from(settled), u64::from(me.namespace()));
                Err(Refused::Failed(Error::PidNamespace { what: "the lock".into(), theirs, ours }))
            }
        }
    }

    /// Takes the slot if it looks free, and announces it only then. `with` is set in the word besides what it inherits.
    ///
    /// Needs room on the list; leaves the announcement on the slot, unless it is busy.
    pub(super) fn attempt(&self, me: &Thread, reach: Reach, with: u32) -> Result<Attempt, Refused> {
        let word = self.word().load(Ordering::Relaxed);
        if owner(word) >= ABOVE_EVERY_ID {
            return Err(self.give_up_corrupt(word));
        }
        if owner(word) != 0 {
            return Ok(Attempt::Busy);
        }
        if reach == Reach::Namespace {
            if me.has(self) {
                // Free, and on this thread's list: somebody scribbled over a slot that this thread has.
                return Err(self.give_up_corrupt(word));
            }
            me.set_pending(self);
        }
        if !self.try_take(me, word, with & WAITERS != 0) {
            return Ok(Attempt::Changed);
        }
        let held = self.taken(me, reach == Reach::Namespace);
        Ok(Attempt::Taken(Acquired { held, owner_died: word & OWNER_DIED != 0 }))
    }

    /// Gives the slot back and calls `then` with what its word was, while the slot is still announced. Does nothing in a
    /// child of the process that took it, nor to a slot that somebody scribbled over.
    ///
    /// # Safety
    ///
    /// This thread, or the one it was forked from, got `held` from this slot and hasn't used it.
    #[inline]
    pub(super) unsafe fn give_back(&self, me: &Thread, held: Held, then: impl FnOnce(u32)) {
        if !me.is_holder(held) {
            return;
        }
        if held.is_linked() {
            me.set_pending(self);
            me.unlink(self);
        }
        let free = |word| (owner(word) == me.tid()).then_some(word & WAITERS);
        if let Ok(word) = self.word().fetch_update(Ordering::Release, Ordering::Relaxed, free) {
            then(word);
        }
        if held.is_linked() {
            me.clear_pending();
        }
    }
}

impl Reach {
    /// What the oracle is asked about.
    pub(super) fn kind(self) -> Kind {
        match self {
            Reach::Process => Kind::Unsettled,
            Reach::Namespace => Kind::Lock,
        }
    }
}
