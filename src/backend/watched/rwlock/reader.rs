//! Readers: claiming a slot, the gate before them, waiting there, leaving.

use std::sync::atomic::Ordering;

use super::gate::Waited;
use super::{CROWDED, Caller, INSIDE, OPEN, RwLock, Slot, WAITING, WRITING, bit};
use crate::backend::futex::rwlock::Shared;
use crate::backend::futex::thread::Thread;
use crate::backend::watched::Identity;
use crate::backend::watched::bell::Bell;
use crate::backend::watched::owner::{OWNER_DIED, WAITERS, owner};
use crate::backend::{MOST_GUARDS, Refused, TOO_MANY_GUARDS};
use crate::deadline::Patience;

/// How a reader with a slot fared at the gate.
enum AtGate {
    /// It is inside.
    In,
    /// Others wait for a slot: it has given its own back.
    Crowded,
}

impl<B: Bell, const READERS: usize> RwLock<B, READERS> {
    /// Takes the lock for reading, in a thread that may have to wait for it.
    pub(super) fn read_contended(&self, caller: Caller<'_>, died: &dyn Fn()) -> Result<Shared, Refused> {
        let shared = |at| Shared::new(caller.me.held_unlinked(), at as u32);
        if let Some(at) = self.own_slot(caller.identity) {
            return if self.nest(at) { Ok(shared(at)) } else { Err(Refused::Failed(TOO_MANY_GUARDS)) };
        }
        let gate = self.gate.load(Ordering::SeqCst);
        if owner(gate) == Some(caller.identity) && self.phase.load(Ordering::SeqCst) != OPEN {
            return Err(caller.patience.refuse_own());
        }
        if self.gate_owner_died() {
            // Err: somebody else has taken it by now.
            let _ = self.repair(Caller { patience: Patience::None, ..caller }, died);
        }
        loop {
            let Some(at) = self.claim(caller.me, caller.identity) else {
                return self.read_crowded(caller, died).map(shared);
            };
            match self.pass_gate(caller, &self.slots[at], died)? {
                AtGate::In => return Ok(shared(at)),
                AtGate::Crowded => self.wait_outside(caller)?,
            }
        }
    }

    /// The slot in which this thread reads already.
    pub(super) fn own_slot(&self, identity: Identity) -> Option<usize> {
        let used = self.used.load(Ordering::SeqCst);
        let is_own =
            |at: &usize| used & bit(*at) != 0 && owner(self.slots[*at].word.load(Ordering::Relaxed)) == Some(identity);
        (0..READERS).find(is_own)
    }

    /// One more read of this thread in the slot that it has; says whether it could be counted.
    pub(super) fn nest(&self, at: usize) -> bool {
        let more = |nested: u32| nested.checked_add(1).filter(|nested| *nested < MOST_GUARDS);
        self.slots[at].nested.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Takes a free slot, if there is one.
    pub(super) fn claim(&self, me: &Thread, identity: Identity) -> Option<usize> {
        let first = me.slot() as usize % READERS;
        let at = (first..READERS).chain(0..first).find(|at| self.claim_slot(identity, *at))?;
        if at != first {
            me.set_slot(at as u32);
        }
        Some(at)
    }

    fn claim_slot(&self, identity: Identity, at: usize) -> bool {
        let slot = &self.slots[at];
        let word = slot.word.load(Ordering::Relaxed);
        if owner(word).is_some() {
            return false;
        }
        if self.used.load(Ordering::SeqCst) & bit(at) == 0 {
            self.used.fetch_or(bit(at), Ordering::SeqCst);
        }
        if !slot.word.take(word, identity, 0) {
            return false;
        }
        if word & OWNER_DIED != 0 {
            slot.state.store(INSIDE, Ordering::SeqCst);
            slot.nested.store(0, Ordering::Relaxed);
        }
        true
    }

    /// From a claimed slot to reading. Refused, the slot is given back.
    fn pass_gate(&self, caller: Caller<'_>, slot: &Slot, died: &dyn Fn()) -> Result<AtGate, Refused> {
        loop {
            let gate = self.gate.load(Ordering::SeqCst);
            if owner(gate).is_none() {
                // By what was seen: another may have taken D out by now and not told of it yet. It is QUIET after that.
                if gate & OWNER_DIED != 0 && self.phase.load(Ordering::SeqCst) == WRITING {
                    died();
                }
                self.come_in();
                return Ok(AtGate::In);
            }
            let phase = self.phase.load(Ordering::SeqCst);
            if phase == OPEN {
                return Ok(AtGate::In);
            }
            if matches!(caller.patience, Patience::None) {
                if self.gate.bury_if_gone(gate) {
                    continue;
                }
                self.step_out(slot, caller.identity);
                return Err(Refused::WouldBlock);
            }
            if phase == CROWDED {
                self.step_out(slot, caller.identity);
                return Ok(AtGate::Crowded);
            }
            slot.state.store(WAITING, Ordering::SeqCst);
            if slot.word.load(Ordering::SeqCst) & WAITERS != 0 {
                self.draining.wake(1); // a writer that waited for this slot
            }
            let waited = self.wait_at_gate(caller, || slot.is_waiting() && self.phase.load(Ordering::SeqCst) != OPEN);
            if slot.state.swap(INSIDE, Ordering::SeqCst) != WAITING {
                self.come_in(); // let in, perhaps just before the time was up
                return Ok(AtGate::In);
            }
            match waited {
                Ok(Waited::Again) => {}
                Ok(Waited::TooLate) => {
                    self.step_out(slot, caller.identity);
                    return Err(caller.is_too_late());
                }
                Err(refused) => {
                    self.step_out(slot, caller.identity);
                    return Err(refused);
                }
            }
        }
    }

    /// Inside: sees to it that nobody misses a ring that was perhaps meant for others (invariant 8).
    fn come_in(&self) {
        while !self.at_gate.is_empty() {
            let gate = self.gate.load(Ordering::SeqCst);
            if owner(gate).is_none() {
                self.at_gate.wake(1);
                return;
            }
            if gate & WAITERS != 0 || self.gate.replace(gate, gate | WAITERS) {
                return;
            }
        }
    }

    /// Waits without a slot while the gate's owner waits for one.
    fn wait_outside(&self, caller: Caller<'_>) -> Result<(), Refused> {
        match self.wait_at_gate(caller, || self.phase.load(Ordering::SeqCst) == CROWDED)? {
            Waited::Again => Ok(()), // and passes a ring on when it is inside
            Waited::TooLate => Err(caller.is_too_late()),
        }
    }

    /// The reader too many: takes the gate, so that nobody comes before it, and waits for any slot.
    #[cold]
    fn read_crowded(&self, caller: Caller<'_>, died: &dyn Fn()) -> Result<usize, Refused> {
        if matches!(caller.patience, Patience::None) {
            self.bury_gone_readers();
            let at = self.claim(caller.me, caller.identity).ok_or(Refused::WouldBlock)?;
            return match self.pass_gate(caller, &self.slots[at], died)? {
                AtGate::In => Ok(at),
                AtGate::Crowded => Err(Refused::WouldBlock),
            };
        }
        self.take_gate(caller, died)?;
        self.phase.swap(CROWDED, Ordering::SeqCst);
        let found = self.wait_for_slot(caller);
        self.give_back(caller.identity);
        found
    }

    fn wait_for_slot(&self, caller: Caller<'_>) -> Result<usize, Refused> {
        loop {
            if let Some(at) = self.claim(caller.me, caller.identity) {
                return Ok(at);
            }
            if caller.is_out_of_time() {
                if self.bury_gone_readers() {
                    continue;
                }
                return Err(caller.is_too_late());
            }
            let is_marked = |word: u64| owner(word).is_some() && word & WAITERS != 0;
            for slot in &self.slots {
                let word = slot.word.load(Ordering::SeqCst);
                if owner(word).is_some() && !is_marked(word) {
                    slot.word.replace(word, word | WAITERS);
                }
                // After W: a reader that begins to wait here later sees it and wakes this one.
                slot.let_in();
            }
            if self.gate.load(Ordering::SeqCst) & WAITERS != 0 {
                self.at_gate.wake_all(); // who was let in by that
            }
            let needed =
                || self.slots.iter().all(|slot| is_marked(slot.word.load(Ordering::SeqCst)) && !slot.is_waiting());
            self.draining.sleep_if(needed, caller.deadline())?;
            if self.draining.is_time_to_look() {
                self.bury_gone_readers();
            }
        }
    }

    /// Gives back the gate, or a slot that is read in more than once.
    #[cold]
    #[inline(never)]
    pub(super) fn unlock_elsewhere(&self, identity: Identity, shared: Shared) {
        let Some(slot) = self.slots.get(shared.slot() as usize) else { return self.give_back(identity) };
        match slot.nested.load(Ordering::Relaxed) {
            0 => self.step_out(slot, identity),
            nested => slot.nested.store(nested - 1, Ordering::Relaxed),
        }
    }

    /// Gives a slot back, and wakes the gate's owner if it waits for that.
    #[cold]
    #[inline(never)]
    pub(super) fn step_out(&self, slot: &Slot, identity: Identity) {
        if slot.word.release(identity) {
            self.draining.wake(1);
        }
    }
}
