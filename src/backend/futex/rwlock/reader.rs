//! Readers: claiming a slot, the gate before them, waiting there, leaving.

use std::sync::atomic::{Ordering, fence};

use super::gate::wake_all;
use super::{CROWDED, INSIDE, OPEN, RwLock, Shared, Slot, WAITING, bit};
use crate::backend::Refused;
use crate::backend::futex::held::Held;
use crate::backend::futex::relay::sleep_on_any;
use crate::backend::futex::robust::{ABOVE_EVERY_ID, OWNER_DIED, SLICE, WAITERS, cannot_sleep, owner};
use crate::backend::futex::thread::{self, Thread};
use crate::deadline::{Deadline, Patience};
use crate::sys::futex::{self, Expected, WAIT_ANY_MAX, Wake};
use crate::sys::robust_list::LINK_AT;

/// How a reader with a slot fared at the gate.
enum AtGate {
    /// It is inside.
    In,
    /// Others wait for a slot: it has given its own back.
    Crowded,
}

/// How a wait went on.
enum Waited {
    Again,
    TimedOut,
}

impl<const READERS: usize> RwLock<READERS> {
    /// Takes the lock for reading, in a thread whose state may be stale.
    pub(super) fn read_contended(&self, me: &Thread, patience: Patience, died: &dyn Fn()) -> Result<Shared, Refused> {
        self.enter(me).map_err(Refused::Failed)?;
        if let Some(at) = self.own_slot(me) {
            return Ok(self.nest(me, at));
        }
        let gate = self.gate.word().load(Ordering::Acquire);
        if owner(gate) == me.tid()
            && self.phase.load(Ordering::Relaxed) != OPEN
            && !self.gate.bury_if_gone(gate, self.kind())
        {
            return Err(patience.refuse_own());
        }
        if self.is_settled() {
            me.reserve().map_err(Refused::Failed)?;
        }
        if self.gate.owner_died() {
            self.repair(me, died);
        }
        loop {
            let Some(shared) = self.claim(me) else { return self.read_crowded(me, patience, died) };
            match self.pass_gate(me, shared, patience, died)? {
                AtGate::In => return Ok(shared),
                AtGate::Crowded => self.wait_outside(me, patience, died)?,
            }
        }
    }

    /// The slot in which this thread reads already.
    pub(super) fn own_slot(&self, me: &Thread) -> Option<usize> {
        if self.is_settled() {
            let start = self.slots.as_ptr().addr();
            let entry = me.entry_within(&(start..start + size_of_val(&self.slots)))?;
            return Some((entry - LINK_AT - start) / size_of::<Slot>());
        }
        self.used(self.used.load(Ordering::Relaxed)).find(|at| self.slots[*at].word.owner() == Some(me.tid()))
    }

    /// One more read of this thread in the slot that it has.
    pub(super) fn nest(&self, me: &Thread, at: usize) -> Shared {
        self.slots[at].nested.fetch_add(1, Ordering::Relaxed);
        let held = if self.is_settled() { me.held_linked() } else { me.held_unlinked() };
        Shared::new(held, at as u32)
    }

    /// Takes a free slot, if there is one.
    pub(super) fn claim(&self, me: &Thread) -> Option<Shared> {
        let first = me.slot() as usize % READERS;
        let shared = (first..READERS).chain(0..first).find_map(|at| self.claim_slot(me, at))?;
        if shared.slot() as usize != first {
            me.set_slot(shared.slot());
        }
        Some(shared)
    }

    fn claim_slot(&self, me: &Thread, at: usize) -> Option<Shared> {
        let slot = &self.slots[at];
        let mut word = slot.word.word().load(Ordering::Relaxed);
        if owner(word) >= ABOVE_EVERY_ID && slot.word.replace(word, word & WAITERS | OWNER_DIED) {
            word = word & WAITERS | OWNER_DIED; // scribbled; readers poison nothing
        }
        if owner(word) != 0 {
            return None;
        }
        if self.used.load(Ordering::SeqCst) & bit(at) == 0 {
            self.used.fetch_or(bit(at), Ordering::SeqCst);
        }
        if self.is_settled() {
            me.set_pending(&slot.word);
        }
        if !slot.word.try_take(me, word, false) {
            if self.is_settled() {
                me.clear_pending();
            }
            return None;
        }
        if word & OWNER_DIED != 0 {
            slot.state.store(INSIDE, Ordering::SeqCst);
            slot.nested.store(0, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst); // claimed before the gate is looked at (invariant 2)
        let held = slot.word.taken(me, self.is_settled());
        Some(Shared::new(held, at as u32))
    }

    fn slot(&self, shared: Shared) -> &Slot {
        &self.slots[shared.slot() as usize]
    }

    /// From a claimed slot to reading. Refused, the slot is given back.
    fn pass_gate(&self, me: &Thread, shared: Shared, patience: Patience, died: &dyn Fn()) -> Result<AtGate, Refused> {
        let slot = self.slot(shared);
        loop {
            let gate = self.gate.word().load(Ordering::SeqCst);
            if owner(gate) == 0 {
                if self.died_writing() {
                    died();
                }
                self.come_in(me);
                return Ok(AtGate::In);
            }
            if owner(gate) >= ABOVE_EVERY_ID {
                self.free_slot(me, slot, shared.held());
                died(); // nobody knows what the owner was doing
                return Err(self.gate.give_up_corrupt(gate));
            }
            let phase = self.phase.load(Ordering::SeqCst);
            if phase == OPEN {
                self.come_in(me);
                return Ok(AtGate::In);
            }
            if matches!(patience, Patience::None) {
                if me.may_ask(&self.gate) && self.gate.bury_if_gone(gate, self.kind()) {
                    continue;
                }
                self.free_slot(me, slot, shared.held());
                return Err(Refused::WouldBlock);
            }
            if phase == CROWDED {
                self.free_slot(me, slot, shared.held());
                return Ok(AtGate::Crowded);
            }
            slot.state.store(WAITING, Ordering::SeqCst);
            if slot.word.word().load(Ordering::SeqCst) & WAITERS != 0 {
                wake_all(&slot.word); // a writer that waited for this slot
            }
            match self.wait_at_gate(me, slot, patience, died) {
                _ if slot.state.swap(INSIDE, Ordering::SeqCst) != WAITING => {
                    self.come_in(me); // let in, perhaps just before the time was up
                    return Ok(AtGate::In);
                }
                Ok(Waited::Again) => {}
                Ok(Waited::TimedOut) => {
                    self.free_slot(me, slot, shared.held());
                    return Err(Refused::TimedOut);
                }
                Err(refused) => {
                    self.free_slot(me, slot, shared.held());
                    return Err(refused);
                }
            }
        }
    }

    /// Inside: passes on a wake-up that was perhaps meant for others (invariant 7).
    fn come_in(&self, me: &Thread) {
        let gate = self.gate.word().load(Ordering::SeqCst);
        if owner(gate) == 0 && gate & WAITERS != 0 {
            wake_all(&self.gate);
        }
        if self.is_settled() {
            me.clear_pending();
        }
    }

    /// Waits with a slot until this reader is let in, or the gate is free or open.
    fn wait_at_gate(&self, me: &Thread, slot: &Slot, patience: Patience, died: &dyn Fn()) -> Result<Waited, Refused> {
        let word = self.gate.word();
        let mut spin = self.gate.spin();
        if self.is_settled() {
            me.set_pending(&self.gate); // woken and killed, the kernel wakes another
        }
        loop {
            let gate = word.load(Ordering::SeqCst);
            let goes_on = || owner(gate) == 0 || self.phase.load(Ordering::SeqCst) == OPEN;
            if slot.state.load(Ordering::SeqCst) != WAITING || goes_on() {
                spin.paid();
                return Ok(Waited::Again);
            }
            if spin.pause() {
                continue;
            }
            let deadline = deadline_of(patience);
            if deadline.is_some_and(Deadline::has_passed) {
                if me.may_ask(&self.gate) && self.gate.bury_if_gone(gate, self.kind()) {
                    continue;
                }
                return Ok(Waited::TimedOut);
            }
            if gate & WAITERS == 0 {
                // Everything is looked at once more after it: who opens the gate looks for W after it has said so.
                let _ = word.compare_exchange(gate, gate | WAITERS, Ordering::SeqCst, Ordering::Relaxed);
                continue;
            }
            spin.failed();
            let words = [Expected::new(word, gate), Expected::new(&slot.state, WAITING)];
            match sleep_on_any(&words, Some(Deadline::or_slice(deadline, SLICE))) {
                Ok(Wake::TimedOut) => self.ask_for_gate(gate, died)?,
                Ok(_) => {}
                Err(errno) => return Err(Refused::Failed(cannot_sleep(errno))),
            }
            spin = self.gate.spin();
        }
    }

    /// After a second of sleep at the gate: does its owner still exist?
    fn ask_for_gate(&self, gate: u32, died: &dyn Fn()) -> Result<(), Refused> {
        if owner(gate) >= ABOVE_EVERY_ID {
            died(); // nobody knows what the owner was doing
            return Err(self.gate.give_up_corrupt(gate));
        }
        self.gate.bury_if_gone(gate, self.kind());
        Ok(())
    }

    /// Waits without a slot while the gate's owner waits for one.
    fn wait_outside(&self, me: &Thread, patience: Patience, died: &dyn Fn()) -> Result<(), Refused> {
        let word = self.gate.word();
        let leave = || {
            if self.is_settled() {
                me.clear_pending();
            }
        };
        if self.is_settled() {
            me.set_pending(&self.gate);
        }
        loop {
            let gate = word.load(Ordering::SeqCst);
            if owner(gate) == 0 || self.phase.load(Ordering::SeqCst) != CROWDED {
                self.come_in(me);
                return Ok(());
            }
            let deadline = deadline_of(patience);
            if deadline.is_some_and(Deadline::has_passed) {
                leave();
                return Err(Refused::TimedOut);
            }
            if gate & WAITERS == 0 {
                let _ = word.compare_exchange(gate, gate | WAITERS, Ordering::SeqCst, Ordering::Relaxed);
                continue;
            }
            match futex::wait(word, gate, Some(Deadline::or_slice(deadline, SLICE))) {
                Ok(Wake::TimedOut) => self.ask_for_gate(gate, died).inspect_err(|_| leave())?,
                Ok(_) => {}
                Err(errno) => {
                    leave();
                    return Err(Refused::Failed(cannot_sleep(errno)));
                }
            }
        }
    }

    /// The reader too many: takes the gate, so that nobody comes before it, and waits for any slot.
    #[cold]
    fn read_crowded(&self, me: &Thread, patience: Patience, died: &dyn Fn()) -> Result<Shared, Refused> {
        if matches!(patience, Patience::None) {
            self.slots.iter().filter(|slot| me.may_ask(&slot.word)).for_each(|slot| self.ask_for_slot(slot));
            let shared = self.claim(me).ok_or(Refused::WouldBlock)?;
            return self.pass_gate(me, shared, patience, died).map(|_| shared);
        }
        if self.slots.iter().any(|slot| self.is_of_a_namesake(me, slot)) {
            return Err(patience.refuse_own());
        }
        let gate = self.take_gate(me, patience, died)?;
        self.phase.swap(CROWDED, Ordering::SeqCst);
        let found = match self.is_settled().then(|| me.reserve()) {
            Some(Err(error)) => Err(Refused::Failed(error)),
            _ => self.wait_for_slot(me, patience),
        };
        self.give_back(me, gate);
        found
    }

    fn wait_for_slot(&self, me: &Thread, patience: Patience) -> Result<Shared, Refused> {
        loop {
            if let Some(shared) = self.claim(me) {
                return Ok(shared);
            }
            let deadline = deadline_of(patience);
            if deadline.is_some_and(Deadline::has_passed) {
                return Err(Refused::TimedOut);
            }
            let mut words = Vec::with_capacity(READERS.min(WAIT_ANY_MAX));
            let unchanged = self.slots.iter().all(|slot| {
                let word = slot.word.word();
                let seen = word.load(Ordering::SeqCst);
                let marked = seen | WAITERS;
                let is_marked = owner(seen) != 0
                    && word.compare_exchange(seen, marked, Ordering::SeqCst, Ordering::Relaxed).is_ok();
                // After W: a reader that begins to wait here later sees it and wakes this one.
                slot.state.swap(INSIDE, Ordering::SeqCst);
                if words.len() < WAIT_ANY_MAX {
                    words.push((word, marked));
                }
                is_marked
            });
            if self.gate.word().load(Ordering::SeqCst) & WAITERS != 0 {
                wake_all(&self.gate); // who was let in by that
            }
            if !unchanged {
                continue;
            }
            let expected: Vec<_> = words.iter().map(|(word, value)| Expected::new(word, *value)).collect();
            let slice = if READERS > WAIT_ANY_MAX { SLICE / 100 } else { SLICE };
            match sleep_on_any(&expected, Some(Deadline::or_slice(deadline, slice))) {
                Ok(Wake::TimedOut) => self.slots.iter().for_each(|slot| self.ask_for_slot(slot)),
                Ok(_) => {}
                Err(errno) => return Err(Refused::Failed(cannot_sleep(errno))),
            }
        }
    }

    /// Whether a slot that this thread didn't claim names it, as no dead thread's does: waiting for that is for ever.
    fn is_of_a_namesake(&self, me: &Thread, slot: &Slot) -> bool {
        let word = slot.word.word().load(Ordering::SeqCst);
        owner(word) == me.tid() && !slot.word.bury_if_gone(word, self.kind())
    }

    /// Does the slot's owner still exist?
    fn ask_for_slot(&self, slot: &Slot) {
        let word = slot.word.word().load(Ordering::Relaxed);
        if owner(word) != 0 {
            slot.word.bury_if_gone(word, self.kind());
        }
    }

    /// Gives back the gate, or a slot that isn't the only lock of its thread or is read in more than once.
    #[cold]
    #[inline(never)]
    pub(super) fn unlock_elsewhere(&self, shared: Shared) {
        thread::with(|me| {
            if !me.is_holder(shared.held()) {
                return;
            }
            let Some(slot) = self.slots.get(shared.slot() as usize) else { return self.unlock_gate(shared.held()) };
            match slot.nested.load(Ordering::Relaxed) {
                0 => self.free_slot(me, slot, shared.held()),
                nested => slot.nested.store(nested - 1, Ordering::Relaxed),
            }
        });
    }

    fn free_slot(&self, me: &Thread, slot: &Slot, held: Held) {
        if held.is_linked() {
            me.set_pending(&slot.word);
            me.unlink(&slot.word);
        }
        self.free(me, slot);
        if held.is_linked() {
            me.clear_pending();
        }
    }

    /// Gives back a slot that is announced and not on the list.
    #[cold]
    #[inline(never)]
    pub(super) fn step_out(&self, slot: &Slot) {
        thread::with(|me| {
            self.free(me, slot);
            me.clear_pending();
        });
    }

    pub(super) fn free(&self, me: &Thread, slot: &Slot) {
        let free = |word| (owner(word) == me.tid()).then_some(word & WAITERS);
        // Err means that somebody scribbled over it: what stands there is left for others to make out.
        if slot
            .word
            .word()
            .fetch_update(Ordering::Release, Ordering::Relaxed, free)
            .is_ok_and(|word| word & WAITERS != 0)
        {
            wake_all(&slot.word);
        }
    }
}

fn deadline_of(patience: Patience) -> Option<Deadline> {
    match patience {
        Patience::Until(deadline) => Some(deadline),
        Patience::Forever | Patience::None => None,
    }
}
