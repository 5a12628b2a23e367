//! The gate: taking it, what its owner does with it, giving it back.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::{Caller, LET_IN, OPEN, QUIET, RwLock, Slot, WRITING};
use crate::backend::Refused;
use crate::backend::futex::held::Held;
use crate::backend::futex::rwlock::{GATE, Shared};
use crate::backend::futex::thread as own_thread;
use crate::backend::watched::Identity;
use crate::backend::watched::bell::{Bell, Heard};
use crate::backend::watched::owner::{OWNER_DIED, WAITERS, owner};

/// How long who has passed a ring on doesn't listen: somewhat longer than a sleeper takes to wake up.
const NAP: Duration = Duration::from_micros(100);

/// So often in one wait: who was let in and is dead doesn't hear.
const MOST_PASSED_ON: u32 = 8;

/// How a wait at the gate went on.
pub(super) enum Waited {
    Again,
    TooLate,
}

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
        loop {
            let gate = self.gate.load(Ordering::SeqCst);
            match owner(gate) {
                None if !self.gate.take(gate, caller.identity, 0) => {}
                None if gate & OWNER_DIED == 0 => return Ok(()),
                None => {
                    if self.phase.load(Ordering::SeqCst) == WRITING {
                        died();
                    }
                    self.phase.swap(QUIET, Ordering::SeqCst);
                    self.at_gate.wake_all(); // the dead one may have let in some that still sleep
                    return Ok(());
                }
                Some(owner) if owner == caller.identity => return Err(caller.patience.refuse_own()),
                Some(_) => match self.wait_at_gate(caller, || true)? {
                    Waited::Again => {}
                    Waited::TooLate => return Err(caller.is_too_late()),
                },
            }
        }
    }

    /// Waits until the gate is free, or `is_closed` doesn't hold any more.
    pub(super) fn wait_at_gate(&self, caller: Caller<'_>, is_closed: impl Fn() -> bool) -> Result<Waited, Refused> {
        let mut spin = self.at_gate.spin();
        let (mut rang, mut passed_on) = (false, 0);
        loop {
            let gate = self.gate.load(Ordering::SeqCst);
            if owner(gate).is_none() || !is_closed() {
                spin.paid();
                return Ok(Waited::Again);
            }
            let is_over = caller.is_out_of_time();
            if !is_over && spin.pause() {
                continue;
            }
            if is_over {
                if self.gate.bury_if_gone(gate) {
                    continue;
                }
                return Ok(Waited::TooLate);
            }
            let asleep = gate | WAITERS;
            if gate != asleep && !self.gate.replace(gate, asleep) {
                continue;
            }
            spin.failed();
            if rang && passed_on < MOST_PASSED_ON && self.used().any(|slot| slot.state.load(Ordering::SeqCst) == LET_IN)
            {
                self.at_gate.wake(1);
                thread::sleep(NAP); // not listening, or it would hear that itself
                (rang, passed_on) = (false, passed_on + 1);
                continue;
            }
            // Who lets in or opens looks for W after it has said so, and W was set before this look.
            let needed = || self.gate.load(Ordering::SeqCst) == asleep && is_closed();
            rang = self.at_gate.sleep_if(needed, caller.deadline())? == Heard::Ring;
            if self.at_gate.is_time_to_look() {
                self.gate.bury_if_gone(asleep);
            }
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
                if self.bury_gone_readers() {
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
            self.draining.sleep_if(needed, caller.deadline())?;
            if self.draining.is_time_to_look() {
                self.bury_gone_readers();
            }
            spin = self.draining.spin();
        }
    }

    /// Frees the slots of those that don't exist any more, all at once, so that many deaths take no longer than one. Says
    /// whether there were any.
    pub(super) fn bury_gone_readers(&self) -> bool {
        self.used().filter(|slot| slot.word.bury_if_gone(slot.word.load(Ordering::Relaxed))).count() > 0
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
        self.used().filter(|slot| slot.let_in()).count() > 0
    }

    /// Turns holding the gate into holding a slot; where there is none, into holding the gate open.
    pub(super) fn gate_into_slot(&self, held: Held) -> Shared {
        own_thread::with(|me| {
            let by_the_gate = Shared::new(held, GATE);
            let Some(identity) = me.identity().filter(|_| me.is_holder(held)) else { return by_the_gate };
            let own = self.own_slot(identity).filter(|at| self.nest(*at));
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
        own_thread::with(|me| {
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
        let rings = if self.let_in() { u32::MAX } else { 1 };
        if self.gate.release(identity) {
            // W before the ring: who hears that and takes the gate is to ring for the next.
            self.at_gate.wake_some(rings, || self.gate.mark_waiters());
        }
    }
}
