//! Readers: claiming a slot, the gate before them, waiting there, leaving.

use std::sync::atomic::Ordering;

use super::gate::wake_all;
use super::visit::Visit;
use super::{CROWDED, INSIDE, OPEN, RwLock, Shared, Slot, WAITING, WRITING, bit};
use crate::atomic::fence;
use crate::backend::futex::held::Held;
use crate::backend::futex::relay::sleep_on_any;
use crate::backend::futex::robust::{ABOVE_EVERY_ID, Kind, OWNER_DIED, SLICE, WAITERS, cannot_sleep, owner};
use crate::backend::futex::thread::{self, Thread};
use crate::backend::{MOST_GUARDS, RawRwLock, Refused, TOO_MANY_GUARDS};
use crate::deadline::{Deadline, Patience};
use crate::sys::futex::{self, Expected, WAIT_ANY_MAX, Wake};
use crate::sys::robust_list::LINK_AT;

/// Pauses of a reader at a closed gate before it looks again, nearly two microseconds. Short writes come close together then,
/// while their processor has the lock's cache lines; where two processes read and write, that doubles what both get done.
const ASIDE: u32 = 63;

/// How a reader with a slot fared at the gate.
enum AtGate {
    /// It is inside.
    In,
    /// Others wait for a slot: it has given its own back.
    Crowded,
}

/// A slot in which a thread reads already.
pub(super) enum Own {
    /// On its list, at this place of its record.
    Listed { place: usize, slot: usize },
    /// Of a lock that isn't settled.
    Unlisted(usize),
}

/// How a wait went on.
enum Waited {
    Again,
    TimedOut,
}

impl<const READERS: usize> RwLock<READERS> {
    /// Takes the lock for reading, in a thread whose state may be stale.
    pub(super) fn read_contended(&self, me: &Thread, patience: Patience, died: &dyn Fn()) -> Result<Shared, Refused> {
        let visit = self.enter(me).map_err(Refused::Failed)?;
        if let Some(own) = self.own_slot(visit) {
            return self.nest(me, own).ok_or(Refused::Failed(TOO_MANY_GUARDS));
        }
        let gate = self.gate.word().load(Ordering::Acquire);
        if owner(gate) == me.tid()
            && self.phase.load(Ordering::Relaxed) != OPEN
            && !self.gate.bury_if_gone(gate, visit.kind())
        {
            return Err(patience.refuse_own());
        }
        let is_closed = owner(gate) != 0 && self.phase.load(Ordering::Relaxed) != OPEN;
        if is_closed
            && !matches!(patience, Patience::None)
            && self.stand_aside()
            && let Some(shared) = self.read_at_once()
        {
            return Ok(shared);
        }
        visit.reserve().map_err(Refused::Failed)?;
        if self.gate.owner_died() {
            self.repair(me, died);
        }
        loop {
            let Some(shared) = self.claim(visit) else { return self.read_crowded(visit, patience, died) };
            match self.pass_gate(visit, shared, patience, died)? {
                AtGate::In => return Ok(shared),
                AtGate::Crowded => self.wait_outside(visit, patience, died)?,
            }
        }
    }

    /// Leaves a writer alone for a moment, without a slot that it would have to look at. Says whether the gate came free.
    fn stand_aside(&self) -> bool {
        let mut spin = self.gate.spin().first_after(ASIDE);
        let came_free = spin.pause_awake() && self.gate.word().load(Ordering::Relaxed) == 0;
        if came_free {
            spin.paid();
        }
        came_free
    }

    /// The slot in which this thread reads already. The record is asked first, whatever `settled` says (invariant 10).
    pub(super) fn own_slot(&self, visit: Visit<'_>) -> Option<Own> {
        let me = visit.me;
        let entries = self.entries();
        if let Some((place, entry)) = me.entry_within(&entries) {
            return Some(Own::Listed { place, slot: (entry - LINK_AT - entries.start) / size_of::<Slot>() });
        }
        let is_own = |slot: &usize| self.slots[*slot].word.owner() == Some(me.tid());
        match visit.kind() {
            Kind::Unsettled => self.used(self.used.load(Ordering::Relaxed)).find(is_own).map(Own::Unlisted),
            _ => None,
        }
    }

    /// One more read of this thread in the slot that it has; `None` if they can't be counted.
    pub(super) fn nest(&self, me: &Thread, own: Own) -> Option<Shared> {
        match own {
            Own::Listed { place, slot } => Some(Shared::new(me.hold_again(place), slot as u32)),
            Own::Unlisted(slot) => {
                let more = |nested: u32| nested.checked_add(1).filter(|nested| *nested < MOST_GUARDS);
                self.slots[slot].nested.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
                Some(Shared::new(me.held_unlinked(), slot as u32))
            }
        }
    }

    /// Takes a free slot, if there is one.
    pub(super) fn claim(&self, visit: Visit<'_>) -> Option<Shared> {
        let me = visit.me;
        let first = me.slot() as usize % READERS;
        let shared = (first..READERS).chain(0..first).find_map(|at| self.claim_slot(visit, at))?;
        if shared.slot() as usize != first {
            me.set_slot(shared.slot());
        }
        Some(shared)
    }

    fn claim_slot(&self, visit: Visit<'_>, at: usize) -> Option<Shared> {
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
        visit.set_pending(&slot.word);
        if !slot.word.try_take(visit.me, word, false) {
            visit.clear_pending();
            return None;
        }
        if word & OWNER_DIED != 0 {
            slot.state.store(INSIDE, Ordering::SeqCst);
            slot.nested.store(0, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst); // claimed before the gate is looked at (invariant 2)
        Some(Shared::new(visit.taken(&slot.word), at as u32))
    }

    fn slot(&self, shared: Shared) -> &Slot {
        &self.slots[shared.slot() as usize]
    }

    /// From a claimed slot to reading. Refused, the slot is given back.
    fn pass_gate(
        &self,
        visit: Visit<'_>,
        shared: Shared,
        patience: Patience,
        died: &dyn Fn(),
    ) -> Result<AtGate, Refused> {
        let (me, slot) = (visit.me, self.slot(shared));
        loop {
            let gate = self.gate.word().load(Ordering::SeqCst);
            if owner(gate) == 0 {
                // By what was seen: another may have taken D out by now and not told of it yet. It is QUIET after that.
                if gate & OWNER_DIED != 0 && self.phase.load(Ordering::SeqCst) == WRITING {
                    died();
                }
                self.come_in(visit);
                return Ok(AtGate::In);
            }
            if owner(gate) >= ABOVE_EVERY_ID {
                self.free_slot(me, slot, shared.held());
                died(); // nobody knows what the owner was doing
                return Err(self.gate.give_up_corrupt(gate));
            }
            let phase = self.phase.load(Ordering::SeqCst);
            if phase == OPEN {
                self.come_in(visit);
                return Ok(AtGate::In);
            }
            if matches!(patience, Patience::None) {
                if me.may_ask(&self.gate) && self.gate.bury_if_gone(gate, visit.kind()) {
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
            match self.wait_at_gate(visit, slot, patience, died) {
                _ if slot.state.swap(INSIDE, Ordering::SeqCst) != WAITING => {
                    self.come_in(visit); // let in, perhaps just before the time was up
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
    fn come_in(&self, visit: Visit<'_>) {
        let gate = self.gate.word().load(Ordering::SeqCst);
        if owner(gate) == 0 && gate & WAITERS != 0 {
            wake_all(&self.gate);
        }
        visit.clear_pending();
    }

    /// Waits with a slot until this reader is let in, or the gate is free or open.
    fn wait_at_gate(
        &self,
        visit: Visit<'_>,
        slot: &Slot,
        patience: Patience,
        died: &dyn Fn(),
    ) -> Result<Waited, Refused> {
        let word = self.gate.word();
        let mut spin = self.gate.spin().first_after(ASIDE);
        visit.set_pending(&self.gate); // woken and killed, the kernel wakes another
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
                if visit.me.may_ask(&self.gate) && self.gate.bury_if_gone(gate, visit.kind()) {
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
                Ok(Wake::TimedOut) => self.ask_for_gate(visit, gate, died)?,
                Ok(_) => {}
                Err(errno) => return Err(Refused::Failed(cannot_sleep(errno))),
            }
            spin = self.gate.spin();
        }
    }

    /// After a second of sleep at the gate: does its owner still exist?
    fn ask_for_gate(&self, visit: Visit<'_>, gate: u32, died: &dyn Fn()) -> Result<(), Refused> {
        if owner(gate) >= ABOVE_EVERY_ID {
            died(); // nobody knows what the owner was doing
            return Err(self.gate.give_up_corrupt(gate));
        }
        self.gate.bury_if_gone(gate, visit.kind());
        Ok(())
    }

    /// Waits without a slot while the gate's owner waits for one.
    fn wait_outside(&self, visit: Visit<'_>, patience: Patience, died: &dyn Fn()) -> Result<(), Refused> {
        let word = self.gate.word();
        visit.set_pending(&self.gate);
        loop {
            let gate = word.load(Ordering::SeqCst);
            if owner(gate) == 0 || self.phase.load(Ordering::SeqCst) != CROWDED {
                self.come_in(visit);
                return Ok(());
            }
            let deadline = deadline_of(patience);
            if deadline.is_some_and(Deadline::has_passed) {
                visit.clear_pending();
                return Err(Refused::TimedOut);
            }
            if gate & WAITERS == 0 {
                let _ = word.compare_exchange(gate, gate | WAITERS, Ordering::SeqCst, Ordering::Relaxed);
                continue;
            }
            match futex::wait(word, gate, Some(Deadline::or_slice(deadline, SLICE))) {
                Ok(Wake::TimedOut) => self.ask_for_gate(visit, gate, died).inspect_err(|_| visit.clear_pending())?,
                Ok(_) => {}
                Err(errno) => {
                    visit.clear_pending();
                    return Err(Refused::Failed(cannot_sleep(errno)));
                }
            }
        }
    }

    /// The reader too many: takes the gate, so that nobody comes before it, and waits for any slot.
    #[cold]
    fn read_crowded(&self, visit: Visit<'_>, patience: Patience, died: &dyn Fn()) -> Result<Shared, Refused> {
        let me = visit.me;
        if matches!(patience, Patience::None) {
            self.slots.iter().filter(|slot| me.may_ask(&slot.word)).for_each(|slot| self.ask_for_slot(visit, slot));
            let shared = self.claim(visit).ok_or(Refused::WouldBlock)?;
            return self.pass_gate(visit, shared, patience, died).map(|_| shared);
        }
        if self.slots.iter().any(|slot| self.is_of_a_namesake(visit, slot)) {
            return Err(patience.refuse_own());
        }
        let gate = self.take_gate(me, patience, died)?;
        self.phase.swap(CROWDED, Ordering::SeqCst);
        // Once more, as the gate has joined the list.
        let found = visit.reserve().map_err(Refused::Failed).and_then(|()| self.wait_for_slot(visit, patience));
        self.give_back(me, gate);
        found
    }

    fn wait_for_slot(&self, visit: Visit<'_>, patience: Patience) -> Result<Shared, Refused> {
        loop {
            if let Some(shared) = self.claim(visit) {
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
                Ok(Wake::TimedOut) => self.slots.iter().for_each(|slot| self.ask_for_slot(visit, slot)),
                Ok(_) => {}
                Err(errno) => return Err(Refused::Failed(cannot_sleep(errno))),
            }
        }
    }

    /// Whether a slot that this thread didn't claim names it, as no dead thread's does: waiting for that is for ever.
    fn is_of_a_namesake(&self, visit: Visit<'_>, slot: &Slot) -> bool {
        let word = slot.word.word().load(Ordering::SeqCst);
        owner(word) == visit.me.tid() && !slot.word.bury_if_gone(word, visit.kind())
    }

    /// Does the slot's owner still exist?
    fn ask_for_slot(&self, visit: Visit<'_>, slot: &Slot) {
        let word = slot.word.word().load(Ordering::Relaxed);
        if owner(word) != 0 {
            slot.word.bury_if_gone(word, visit.kind());
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
            let held = shared.held();
            let Some(slot) = self.slots.get(shared.slot() as usize) else { return self.unlock_gate(held) };
            let was_nested = if held.is_linked() { me.hold_less(&slot.word) } else { slot.read_less() };
            if !was_nested {
                self.free_slot(me, slot, held);
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
