//! The gate: taking it, what its owner does with it, giving it back.

use std::sync::atomic::Ordering;

use super::visit::Visit;
use super::{GATE, INSIDE, OPEN, QUIET, RwLock, Shared, Slot, WAITING, WRITING};
use crate::atomic::fence;
use crate::backend::futex::held::Held;
use crate::backend::futex::robust::{
    ABOVE_EVERY_ID, Kind, OWNER_DIED, RobustWord, SLICE, WAITERS, WAITERS_BIT, cannot_sleep, owner,
};
use crate::backend::futex::thread::{self, Thread};
use crate::backend::{Acquired, Refused};
use crate::deadline::{Deadline, Patience};
use crate::error::Error;
use crate::sys::futex::{self, Wake};

/// How often a writer looks whether the readers are out before it makes ready to sleep: 31 pauses, a microsecond.
const SOON: u32 = 5;

impl<const READERS: usize> RwLock<READERS> {
    /// Takes the lock for writing, in a thread whose state may be stale.
    pub(super) fn write_contended(&self, me: &Thread, patience: Patience, died: &dyn Fn()) -> Result<Held, Refused> {
        let visit = self.enter(me).map_err(Refused::Failed)?;
        if self.own_slot(visit).is_some() {
            return Err(patience.refuse_own()); // it would wait for its own read
        }
        let held = self.take_gate(me, patience, died)?;
        match self.drain(visit, patience) {
            Ok(()) => {
                self.begin_writing();
                Ok(held)
            }
            Err(refused) => {
                self.give_back(me, held);
                Err(refused)
            }
        }
    }

    /// Takes the gate, and sees to what a dead owner has left (invariant 6). Closed from then on.
    pub(super) fn take_gate(&self, me: &Thread, patience: Patience, died: &dyn Fn()) -> Result<Held, Refused> {
        let Acquired { held, owner_died } =
            self.gate.acquire_contended(me, patience, Kind::Lock).inspect_err(|why| {
                if matches!(why, Refused::Failed(Error::Corrupted { .. })) {
                    died(); // nobody knows what the owner was doing
                }
            })?;
        if owner_died {
            if self.phase.load(Ordering::Relaxed) == WRITING {
                died();
            }
            self.phase.swap(QUIET, Ordering::SeqCst);
            if self.gate.word().load(Ordering::Relaxed) & WAITERS != 0 {
                wake_all(&self.gate);
            }
        }
        fence(Ordering::SeqCst); // closed before the slots are looked at (invariant 2)
        Ok(held)
    }

    /// Takes the gate from a dead owner and gives it back, if nobody else does.
    #[cold]
    pub(super) fn repair(&self, me: &Thread, died: &dyn Fn()) {
        if self.enter(me).is_ok()
            && let Ok(held) = self.take_gate(me, Patience::None, died)
        {
            self.give_back(me, held);
        }
    }

    /// Waits until no reader is inside. The gate is this thread's and closed.
    pub(super) fn drain(&self, visit: Visit<'_>, patience: Patience) -> Result<(), Refused> {
        self.used(self.used.load(Ordering::SeqCst)).try_for_each(|at| self.drain_slot(visit, &self.slots[at], patience))
    }

    /// Waits for a moment until no reader is inside; otherwise gives the gate back. It is this thread's and closed.
    #[cold]
    #[inline(never)]
    pub(super) fn is_soon_drained(&self, gate: Held) -> bool {
        let mut spin = self.gate.spin().first_after(1);
        for _ in 0..SOON {
            if !spin.pause_awake() {
                break;
            }
            if self.is_drained() {
                spin.paid();
                return true;
            }
        }
        self.unlock_gate(gate);
        false
    }

    fn drain_slot(&self, visit: Visit<'_>, slot: &Slot, patience: Patience) -> Result<(), Refused> {
        let (me, kind) = (visit.me, visit.kind());
        let mut spin = self.gate.spin().first_after(1);
        loop {
            let word = slot.word.word().load(Ordering::SeqCst);
            if owner(word) == 0 || slot.state.load(Ordering::SeqCst) == WAITING {
                spin.paid();
                return Ok(());
            }
            if owner(word) >= ABOVE_EVERY_ID {
                slot.word.replace(word, OWNER_DIED); // scribbled; readers poison nothing
                continue;
            }
            if owner(word) == me.tid() {
                // This thread claimed no slot: a dead one of its id did, or somebody scribbled.
                if slot.word.bury_if_gone(word, kind) {
                    continue;
                }
                return Err(patience.refuse_own());
            }
            let ask = || me.may_ask(&slot.word) && slot.word.bury_if_gone(word, kind);
            let deadline = match patience {
                Patience::Forever => None,
                Patience::Until(deadline) => Some(deadline),
                Patience::None if ask() => continue,
                Patience::None => return Err(Refused::WouldBlock),
            };
            // Awake, for nobody gets in meanwhile: yielding might take as long as somebody else computes.
            if spin.pause_awake() {
                continue;
            }
            if deadline.is_some_and(Deadline::has_passed) {
                if ask() {
                    continue;
                }
                return Err(Refused::TimedOut);
            }
            if word & WAITERS == 0 {
                // The state is looked at once more after it: a reader that steps back looks for W after it has said so.
                let _ = slot.word.word().compare_exchange(word, word | WAITERS, Ordering::SeqCst, Ordering::Relaxed);
                continue;
            }
            spin.failed();
            match futex::wait(slot.word.word(), word, Some(Deadline::or_slice(deadline, SLICE))) {
                Ok(Wake::TimedOut) => drop(slot.word.bury_if_gone(word, kind)),
                Ok(_) => {}
                Err(errno) => return Err(Refused::Failed(cannot_sleep(errno))),
            }
            spin = self.gate.spin().first_after(1);
        }
    }

    /// Lets readers in from now on. The gate is this thread's.
    pub(super) fn open_gate(&self) {
        self.phase.swap(OPEN, Ordering::SeqCst);
        if self.gate.word().load(Ordering::SeqCst) & WAITERS != 0 {
            self.let_in();
            wake_all(&self.gate);
        }
    }

    /// Lets in who waits with a slot; says whether anybody did. The gate is this thread's, and the data isn't written.
    pub(super) fn let_in(&self) -> bool {
        let bits = self.used.load(Ordering::SeqCst);
        self.used(bits).map(|at| &self.slots[at]).fold(false, |any, slot| {
            let waits = slot.state.load(Ordering::SeqCst) == WAITING
                && slot.state.swap(INSIDE, Ordering::SeqCst) == WAITING
                && slot.word.owner().is_some();
            any | waits
        })
    }

    /// Turns holding the gate into holding a slot; where there is none, into holding the gate open.
    pub(super) fn gate_into_slot(&self, held: Held) -> Shared {
        thread::with(|me| {
            let by_the_gate = Shared::new(held, GATE);
            if !me.is_holder(held) {
                return by_the_gate;
            }
            let visit = self.enter_by_gate(me, held);
            // Before the gate leaves the record, whose places it would move.
            if let Some(shared) = self.own_slot(visit).and_then(|own| self.nest(me, own)) {
                self.give_back(me, held);
                return shared;
            }
            let claimed = visit.reserve().ok().and_then(|()| self.claim(visit));
            match claimed {
                Some(shared) => {
                    self.give_back(me, held);
                    shared
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
    #[inline(never)]
    pub(super) fn unlock_gate(&self, held: Held) {
        thread::with(|me| {
            if me.is_holder(held) {
                self.give_back(me, held);
            }
        });
    }

    pub(super) fn give_back(&self, me: &Thread, held: Held) {
        self.phase.swap(QUIET, Ordering::SeqCst);
        if held.is_linked() {
            me.set_pending(&self.gate);
            me.unlink(&self.gate);
        }
        self.free_gate(me);
        if held.is_linked() {
            me.clear_pending();
        }
    }

    /// Frees a gate that isn't on this thread's list any more, where somebody may sleep.
    #[cold]
    #[inline(never)]
    pub(super) fn free_gate_contended(&self) {
        thread::with(|me| {
            self.free_gate(me);
            me.clear_pending();
        });
    }

    fn free_gate(&self, me: &Thread) {
        let word = self.gate.word();
        if word.compare_exchange(me.tid(), 0, Ordering::Release, Ordering::Relaxed).is_ok() {
            return;
        }
        if owner(word.load(Ordering::Relaxed)) != me.tid() {
            return; // somebody scribbled over it; what stands there is left for waiters to make out
        }
        if self.let_in() {
            wake_all(&self.gate); // before it is free (invariant 5)
        }
        let free = |word| (owner(word) == me.tid()).then_some(word & WAITERS);
        if word.fetch_update(Ordering::Release, Ordering::Relaxed, free).is_ok_and(|word| word & WAITERS != 0) {
            self.gate.wake_one();
        }
    }
}

/// Clears W and wakes everybody, as one step.
pub(super) fn wake_all(word: &RobustWord) {
    // Can't fail on a mapped, aligned word. If it did, W would stay: waiters look up every second.
    let _ = futex::clear_bit_and_wake_all(word.word(), WAITERS_BIT);
}
