//! The gate: taking it, what its owner does with it, giving it back.

use std::sync::atomic::Ordering;

use super::{Caller, INSIDE, OPEN, QUIET, RwLock, Slot, WAITING, WRITING};
use crate::backend::Refused;
use crate::backend::futex::held::Held;
use crate::backend::futex::rwlock::{GATE, Shared};
use crate::backend::futex::thread;
use crate::backend::watched::Identity;
use crate::backend::watched::bell::{Bell, Heard};
use crate::backend::watched::owner::{OWNER_DIED, WAITERS, owner};

impl<B: Bell, const READERS: usize> RwLock<B, READERS> {
    /// Takes the lock for writing, in a thread that may have to wait for it.
    pub(super) fn write_contended(&self, caller: Caller<'_>, died: &dyn Fn()) -> Result<Held, Refused> {
        if self.own_slot(caller.identity).is_some() {
            return Err(caller.patience.refuse_own()); // it would wait for its own read
        }
        self.take_gate(caller, died)?;
        self.drain(caller).inspect_err(|_| self.give_back(caller.identity))?;
        self.begin_writing();
        Ok(caller.me.held_unlinked())
    }

    /// Takes the gate, and sees to what a dead owner has left (invariant 6). Closed from then on.
    pub(super) fn take_gate(&self, caller: Caller<'_>, died: &dyn Fn()) -> Result<(), Refused> {
        let mut spin = self.at_gate.spin();
        let mut waiters = 0;
        loop {
            let gate = self.gate.load(Ordering::SeqCst);
            let Some(owner) = owner(gate) else {
                if !self.gate.take(gate, caller.identity, waiters) {
                    continue;
                }
                spin.paid();
                if gate & OWNER_DIED != 0 {
                    if self.phase.load(Ordering::SeqCst) == WRITING {
                        died();
                    }
                    self.phase.swap(QUIET, Ordering::SeqCst);
                    self.at_gate.wake_all(); // the dead one may have let in some that still sleep
                }
                return Ok(());
            };
            if owner == caller.identity {
                return Err(caller.patience.refuse_own());
            }
            let is_over = caller.is_out_of_time();
            if !is_over && spin.pause() {
                continue;
            }
            if is_over {
                if caller.me.may_ask(&self.gate) && self.gate.bury_if_gone(gate) {
                    continue;
                }
                return Err(caller.is_too_late());
            }
            let asleep = gate | WAITERS;
            if gate != asleep && !self.gate.replace(gate, asleep) {
                continue;
            }
            spin.failed();
            let needed = || self.gate.load(Ordering::SeqCst) == asleep;
            if self.at_gate.sleep_if(needed, caller.deadline())? == Heard::Nothing {
                self.gate.bury_if_gone(asleep);
            }
            waiters = WAITERS; // there may be more who sleep, and the ring was for one
            spin = self.at_gate.spin();
        }
    }

    /// Takes the gate from a dead owner and gives it back, if nobody else does.
    #[cold]
    pub(super) fn repair(&self, caller: Caller<'_>, died: &dyn Fn()) -> Result<(), Refused> {
        self.take_gate(caller, died)?;
        self.give_back(caller.identity);
        Ok(())
    }

    /// Waits until no reader is inside. The gate is this thread's and closed.
    pub(super) fn drain(&self, caller: Caller<'_>) -> Result<(), Refused> {
        self.used().try_for_each(|slot| self.drain_slot(caller, slot))
    }

    fn drain_slot(&self, caller: Caller<'_>, slot: &Slot) -> Result<(), Refused> {
        let mut spin = self.draining.spin();
        loop {
            let word = slot.word.load(Ordering::SeqCst);
            let Some(owner) = owner(word).filter(|_| !slot.is_waiting()) else {
                spin.paid();
                return Ok(());
            };
            if owner == caller.identity {
                return Err(caller.patience.refuse_own()); // it claimed none: somebody scribbled
            }
            let is_over = caller.is_out_of_time();
            if !is_over && spin.pause() {
                continue;
            }
            if is_over {
                if caller.me.may_ask(&self.slots) && self.bury_gone_readers() {
                    continue;
                }
                return Err(caller.is_too_late());
            }
            let asleep = word | WAITERS;
            if word != asleep && !slot.word.replace(word, asleep) {
                continue;
            }
            spin.failed();
            // The state once more: a reader that steps back looks for W after it has said so.
            let needed = || slot.word.load(Ordering::SeqCst) == asleep && !slot.is_waiting();
            if self.draining.sleep_if(needed, caller.deadline())? == Heard::Nothing {
                self.bury_gone_readers();
            }
            spin = self.draining.spin();
        }
    }

    /// Frees the slots of those that don't exist any more, all at once, so that many deaths take no longer than one. Says
    /// whether there were any.
    pub(super) fn bury_gone_readers(&self) -> bool {
        self.used().fold(false, |any, slot| slot.word.bury_if_gone(slot.word.load(Ordering::Relaxed)) || any)
    }

    /// Lets readers in from now on. The gate is this thread's.
    pub(super) fn open_gate(&self) {
        self.phase.swap(OPEN, Ordering::SeqCst);
        if self.gate.load(Ordering::SeqCst) & WAITERS != 0 {
            self.let_in();
            self.at_gate.wake_all();
        }
    }

    /// Lets in who waits with a slot; says whether anybody did. The gate is this thread's, and the data isn't written.
    fn let_in(&self) -> bool {
        let let_in = |slot: &Slot| slot.is_waiting() && slot.state.swap(INSIDE, Ordering::SeqCst) == WAITING;
        self.used().fold(false, |any, slot| let_in(slot) || any)
    }

    /// Turns holding the gate into holding a slot; where there is none, into holding the gate open.
    pub(super) fn gate_into_slot(&self, held: Held) -> Shared {
        thread::with(|me| {
            let by_the_gate = Shared::new(held, GATE);
            let Some(identity) = me.identity().filter(|_| me.is_holder(held)) else { return by_the_gate };
            let own = self.own_slot(identity).inspect(|at| self.nest(*at));
            match own.or_else(|| self.claim(me, identity)) {
                Some(at) => {
                    self.give_back(identity);
                    Shared::new(me.held_unlinked(), at as u32)
                }
                None => {
                    self.open_gate();
                    by_the_gate
                }
            }
        })
    }

    /// Gives the gate back, if it is of this process.
    #[cold]
    pub(super) fn unlock_gate(&self, held: Held) {
        thread::with(|me| {
            if let Some(identity) = me.identity().filter(|_| me.is_holder(held)) {
                self.give_back(identity);
            }
        });
    }

    #[cold]
    #[inline(never)]
    pub(super) fn give_back(&self, identity: Identity) {
        self.phase.swap(QUIET, Ordering::SeqCst);
        if !self.gate.release_at_once(identity) {
            self.free_gate_contended(identity);
        }
    }

    /// Frees the gate, quiet already, where somebody may sleep.
    #[cold]
    #[inline(never)]
    pub(super) fn free_gate_contended(&self, identity: Identity) {
        if owner(self.gate.load(Ordering::SeqCst)) != Some(identity) {
            return; // somebody scribbled over it; what stands there is left for waiters to make out
        }
        let any_let_in = self.let_in();
        if self.gate.release(identity) {
            if any_let_in { self.at_gate.wake_all() } else { self.at_gate.wake(1) }
        }
    }
}
