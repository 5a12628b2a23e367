//! Permits that come back when their holder dies.
//!
//! # Why
//!
//! A number of free permits beside a record of who has one can't be changed together with that record: killed in
//! between, a process loses a permit or leaves one too many, whichever is changed first. So there is no number. A permit
//! is a slot, and to have it is to own the slot's robust word, which the kernel frees when the owner dies.
//!
//! # State
//!
//! Each slot has the states of a robust word: free or owned, each with or without W, and D where an owner died, which
//! means nothing here and goes when the slot is taken. `relay` is always 0; waiters sleep on it and on all slots.
//!
//! # Invariants
//!
//! 1. A slot that a thread owns is on its robust list, or in `list_op_pending`, or both; so a permit is lost with nobody.
//! 2. Whoever sleeps has seen every slot owned and marked with W, when the kernel compared them. W stays when a slot is
//!    given back, and is cleared only together with waking everybody, in one FUTEX_WAKE_OP.
//! 3. Who waits has the relay announced, from before its first look to after its last. It announces a slot instead only
//!    while that looked free: where it is free after all, the kernel wakes somebody there, and where somebody else has
//!    got it, invariant 4 does.
//! 4. A wake-up stands for a free slot. Who got one may find another slot free than the one it was woken for, or die; so
//!    whoever takes a slot that isn't simply free, without W, looks once more at all of them, and wakes somebody if one
//!    is free and marked.
//! 5. A thread that was woken looks at the slots before it looks at its clock.
//!
//! # Memory orderings
//!
//! As for the robust word: taking a slot is Acquire, giving it back Release.
//!
//! # Limits
//!
//! The kernel lets a thread sleep on 128 words at most. With more slots than that a sleeper looks at them a hundred times
//! a second. Deaths that the kernel doesn't mark are noticed once a second. No order among waiters.
//!
//! The protocol is `tests/models/permits.py`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::held::Held;
use super::relay::Relay;
use super::robust::{RobustWord, SLICE, WAITERS, WAITERS_BIT, cannot_sleep, owner};
use super::slot::{Attempt, Reach};
use super::spin::Spin;
use super::thread::{self, Thread};
use crate::atomic::Hint;
use crate::backend::{Acquired, RawPermits, Refused};
use crate::deadline::{Deadline, Patience};
use crate::error::Result;
use crate::sys::futex::{Change, Expected, WAIT_ANY_MAX, Wake};

/// How long a sleeper may miss a change of a slot beyond those that it sleeps on.
const BLIND_SLICE: Duration = Duration::from_millis(10);

/// `N` permits. 8 bytes and 40 for each.
#[repr(C)]
#[derive(Debug)]
pub struct Slots<const N: usize> {
    relay: Relay,
    /// See [`Spin`].
    estimate: Hint,
    slots: [RobustWord; N],
}

static_assertions::const_assert_eq!(size_of::<Slots<1>>(), 48);
static_assertions::const_assert_eq!(size_of::<Slots<4>>(), 168);

/// What the holder of a permit keeps.
#[derive(Clone, Copy, Debug)]
pub struct HeldPermit {
    held: Held,
    slot: u32,
}

// SAFETY: a permit is a slot, and RobustWord's invariant 1 says that it has one owner at most.
unsafe impl<const N: usize> RawPermits for Slots<N> {
    const FREE: Self = Slots { relay: Relay::new(), estimate: Hint::new(0), slots: [const { RobustWord::new() }; N] };

    type Held = HeldPermit;

    #[inline]
    fn acquire_at_once(&self) -> Option<HeldPermit> {
        let mut slots = thread::with(Self::order);
        slots.find_map(|slot| {
            let word = &self.slots[slot];
            // W is clear as well, so nobody sleeps (invariant 2), and nobody is to be woken by invariant 4.
            let held = if word.word().load(Ordering::Relaxed) == 0 { word.acquire_at_once()? } else { return None };
            Some(HeldPermit { held, slot: slot as u32 })
        })
    }

    #[cold]
    fn acquire(&self, patience: Patience) -> Result<HeldPermit, Refused> {
        thread::with(|me| {
            me.refresh().map_err(Refused::Failed)?;
            let reach = self.slots[0].reach(me)?;
            if reach == Reach::Namespace {
                me.reserve().map_err(Refused::Failed)?;
            }
            self.announce(me, reach);
            let taken = self.wait(me, reach, patience);
            if taken.is_ok() {
                self.announce(me, reach);
                self.look_once_more();
            }
            if reach == Reach::Namespace {
                me.clear_pending();
            }
            taken
        })
    }

    unsafe fn release(&self, held: HeldPermit) {
        let slot = &self.slots[held.slot as usize];
        thread::with(|me| {
            let hand_on = |word| {
                if word & WAITERS != 0 {
                    self.hand_on(slot);
                }
            };
            // SAFETY: the caller's promise; the number of the slot came with what it gave out.
            unsafe { slot.give_back(me, held.held, hand_on) };
        });
    }

    fn available(&self) -> usize {
        self.slots.iter().filter(|slot| slot.owner().is_none()).count()
    }

    fn each_owner(&self, see: &mut dyn FnMut(u32)) {
        self.slots.iter().filter_map(RobustWord::owner).for_each(see);
    }

    unsafe fn settle(&self) -> Result<()> {
        // SAFETY: handed through.
        self.slots.iter().try_for_each(|slot| unsafe { slot.settle() })
    }

    unsafe fn teardown(&self) {}
}

impl<const N: usize> Slots<N> {
    /// The numbers of the slots as this thread goes through them: from one that others don't begin with.
    #[inline]
    fn order(me: &Thread) -> impl Iterator<Item = usize> + use<N> {
        let first = me.tid() as usize % N;
        (first..N).chain(0..first)
    }

    fn announce(&self, me: &Thread, reach: Reach) {
        if reach == Reach::Namespace {
            self.relay.announce(me);
        }
    }

    /// Waits for a free slot and takes it.
    fn wait(&self, me: &Thread, reach: Reach, patience: Patience) -> Result<HeldPermit, Refused> {
        let mut spin = Spin::new(&self.estimate);
        let mut ask_at = None;
        loop {
            if let Some(taken) = self.take_free(me, reach)? {
                spin.paid();
                return Ok(taken);
            }
            if self.slots.iter().all(|slot| slot.owner() == Some(me.tid())) {
                // Of this thread, unless earlier ones of the same id died here unnoticed.
                if self.bury_the_gone(reach) {
                    continue;
                }
                return Err(patience.refuse_own());
            }
            let deadline = match patience {
                Patience::Forever => None,
                Patience::Until(deadline) => Some(deadline),
                Patience::None => {
                    if me.may_ask(&self.slots[0]) && self.bury_the_gone(reach) {
                        continue;
                    }
                    return Err(Refused::WouldBlock);
                }
            };
            if spin.pause() {
                continue;
            }
            // The slots were looked at since the last sleep; only now the clock (invariant 5).
            if deadline.is_some_and(Deadline::has_passed) {
                if me.may_ask(&self.slots[0]) && self.bury_the_gone(reach) {
                    continue;
                }
                return Err(Refused::TimedOut);
            }
            if ask_at.is_some_and(Deadline::has_passed) {
                ask_at = None;
                if self.bury_the_gone(reach) {
                    continue;
                }
            }
            ask_at = ask_at.or_else(|| Deadline::after(SLICE));
            spin.failed();
            let until = [deadline, ask_at].into_iter().flatten().min();
            self.sleep(until).map_err(|errno| Refused::Failed(cannot_sleep(errno)))?;
            spin = Spin::new(&self.estimate);
        }
    }

    /// Takes a slot if one is free.
    fn take_free(&self, me: &Thread, reach: Reach) -> Result<Option<HeldPermit>, Refused> {
        let mut slots = Self::order(me);
        while let Some(slot) = slots.next() {
            match self.slots[slot].attempt(me, reach, 0)? {
                Attempt::Taken(Acquired { held, .. }) => return Ok(Some(HeldPermit { held, slot: slot as u32 })),
                Attempt::Busy => {}
                Attempt::Changed => {
                    self.announce(me, reach);
                    slots = Self::order(me);
                }
            }
        }
        Ok(None)
    }

    /// Sleeps until a slot may be free, or `until`; not at all where one is.
    fn sleep(&self, until: Option<Deadline>) -> Result<Wake, nix::errno::Errno> {
        let mut words = [self.relay.expected(); WAIT_ANY_MAX];
        for (number, slot) in self.slots.iter().enumerate() {
            let Some(word) = marked(slot) else { return Ok(Wake::Changed) };
            if let Some(place) = words.get_mut(number + 1) {
                *place = Expected::new(slot.word(), word);
            }
        }
        let slice = if N < WAIT_ANY_MAX { SLICE } else { BLIND_SLICE };
        self.relay.sleep(&words[..words.len().min(N + 1)], Some(Deadline::or_slice(until, slice)))
    }

    /// Hands a wake-up on if there is a slot that is free and marked (invariant 4).
    fn look_once_more(&self) {
        let left = |slot: &&RobustWord| {
            let word = slot.word().load(Ordering::Relaxed);
            owner(word) == 0 && word & WAITERS != 0
        };
        if let Some(slot) = self.slots.iter().find(left) {
            self.hand_on(slot);
        }
    }

    /// Wakes somebody for this slot; where nobody sleeps, W goes, together with waking who came in between.
    #[cold]
    fn hand_on(&self, slot: &RobustWord) {
        // Neither call can fail on mapped, aligned words. If one did, W would stay: waiters look up every second.
        if self.relay.wake(1) == Ok(0) {
            let _ = self.relay.wake_and_change(i32::MAX, slot.word(), Change::ClearBit(WAITERS_BIT));
        }
    }

    /// Marks every slot whose owner is gone as the kernel would have; says whether there was one.
    #[cold]
    fn bury_the_gone(&self, reach: Reach) -> bool {
        let gone = |slot: &RobustWord| {
            let word = slot.word().load(Ordering::Acquire);
            owner(word) != 0 && slot.bury_if_gone(word, reach.kind())
        };
        self.slots.iter().filter(|slot| gone(slot)).count() > 0
    }
}

/// The word of a slot that somebody owns, with W set; `None` if it is free.
fn marked(slot: &RobustWord) -> Option<u32> {
    let mut word = slot.word().load(Ordering::Relaxed);
    while owner(word) != 0 {
        if word & WAITERS != 0 || slot.replace(word, word | WAITERS) {
            return Some(word | WAITERS);
        }
        word = slot.word().load(Ordering::Relaxed);
    }
    None
}
