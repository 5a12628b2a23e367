//! Permits that come back when their holder dies: as many owner words, and a bell for those who wait.
//!
//! # Why
//!
//! A number of free permits beside a record of who has one can't be changed together with that record. So there is no
//! number: a permit is a slot, and to have it is to own its word.
//!
//! # State
//!
//! A slot has the states of an owner word. W isn't used: who gives a permit back looks whether sleepers are counted. D says
//! nothing here, and goes when the slot is taken.
//!
//! # Invariants
//!
//! 1. A permit is taken by one compare-exchange from free to the taker's identity, and given back by one from that. Who is
//!    killed has it or hasn't; who is killed with it is found gone by whoever waits.
//! 2. Who sleeps is counted before it looks at all slots for the last time; who frees a slot looks at the count afterwards.
//!    A ring that is lost with its hearer or before it was rung costs the others a slice.
//! 3. Who frees slots of the dead rings for all of them, and takes one itself like anybody else.
//! 4. A thread that was woken looks at the slots before it looks at its clock.
//!
//! # Memory orderings
//!
//! SeqCst, for invariant 2; so taking a slot sees what was done before it was given back.
//!
//! # Limits
//!
//! While somebody waits, the holders are looked at forty times a second at most, some ten microseconds each. No order among
//! waiters.
//!
//! The protocol is `tests/models/watched.py`.

use std::sync::atomic::Ordering;

use super::Identity;
use super::bell::Bell;
use super::owner::{OwnerWord, owner};
use super::waiting::{Waiting, deadline_of};
use crate::backend::futex::held::Held;
use crate::backend::futex::thread;
use crate::backend::{RawPermits, Refused};
use crate::deadline::{Deadline, Patience};
use crate::error::Result;

/// `N` permits. All zero when nobody has one and unsettled.
#[repr(C)]
#[derive(Debug)]
pub struct Permits<B: Bell, const N: usize> {
    waiting: Waiting<B>,
    slots: [OwnerWord; N],
}

/// What the holder of a permit keeps.
#[derive(Clone, Copy, Debug)]
pub struct HeldPermit {
    held: Held,
    slot: u32,
}

impl<B: Bell, const N: usize> Permits<B, N> {
    /// The numbers of the slots as this thread goes through them: from one that others don't begin with.
    #[inline]
    fn order(me: Identity) -> impl Iterator<Item = usize> + use<B, N> {
        let first = me.thread() as usize % N;
        (first..N).chain(0..first)
    }

    /// Takes a slot if one is free.
    fn take_free(&self, me: Identity) -> Option<usize> {
        Self::order(me).find(|slot| {
            let slot = &self.slots[*slot];
            let word = slot.load(Ordering::SeqCst);
            // Where another was faster, the slot isn't free any more.
            owner(word).is_none() && slot.take(word, me, 0)
        })
    }

    fn all(&self, are: impl Fn(Option<Identity>) -> bool) -> bool {
        self.slots.iter().all(|slot| are(owner(slot.load(Ordering::SeqCst))))
    }

    /// Frees every slot whose owner is gone; says whether there was one.
    #[cold]
    fn bury_the_gone(&self) -> bool {
        let freed = self.slots.iter().filter(|slot| slot.bury_if_gone(slot.load(Ordering::SeqCst))).count();
        // One is this thread's to take; the others are for who else waits (invariant 3).
        if freed > 1 {
            self.waiting.wake(freed as u32 - 1);
        }
        freed > 0
    }
}

// SAFETY: a permit is a slot, and the owner word's invariant 1 says that it has one owner at most.
unsafe impl<B: Bell, const N: usize> RawPermits for Permits<B, N> {
    const FREE: Self = Permits { waiting: Waiting::new(), slots: [const { OwnerWord::new() }; N] };

    type Held = HeldPermit;

    #[inline]
    fn acquire_at_once(&self) -> Option<HeldPermit> {
        thread::with(|me| {
            let identity = self.waiting.enter_at_once(me)?;
            let slot = Self::order(identity).find(|slot| {
                let slot = &self.slots[*slot];
                slot.load(Ordering::Relaxed) == 0 && slot.take_at_once(identity)
            })?;
            Some(HeldPermit { held: me.held_unlinked(), slot: slot as u32 })
        })
    }

    #[cold]
    fn acquire(&self, patience: Patience) -> Result<HeldPermit, Refused> {
        thread::with(|me| {
            let identity = self.waiting.enter(me)?;
            let deadline = deadline_of(patience);
            let mut spin = self.waiting.spin();
            loop {
                if let Some(slot) = self.take_free(identity) {
                    spin.paid();
                    return Ok(HeldPermit { held: me.held_unlinked(), slot: slot as u32 });
                }
                if self.all(|owner| owner == Some(identity)) {
                    return Err(patience.refuse_own());
                }
                let is_over = matches!(patience, Patience::None) || deadline.is_some_and(Deadline::has_passed);
                if !is_over && spin.pause() {
                    continue;
                }
                if is_over {
                    if self.bury_the_gone() {
                        continue;
                    }
                    return Err(if deadline.is_some() { Refused::TimedOut } else { Refused::WouldBlock });
                }
                spin.failed();
                self.waiting.sleep_if(|| self.all(|owner| owner.is_some()), deadline)?;
                if self.waiting.is_time_to_look() {
                    self.bury_the_gone();
                }
                spin = self.waiting.spin();
            }
        })
    }

    #[inline]
    unsafe fn release(&self, held: HeldPermit) {
        thread::with(|me| {
            // The holder's identity is known, or this is the copy of what a parent holds.
            let Some(identity) = me.identity().filter(|_| me.is_holder(held.held)) else { return };
            self.slots[held.slot as usize].release(identity);
            if !self.waiting.is_empty() {
                self.waiting.wake(1);
            }
        });
    }

    fn available(&self) -> usize {
        let is_open = self.waiting.is_open_here();
        let is_free =
            |slot: &&OwnerWord| owner(slot.load(Ordering::Relaxed)).is_none_or(|owner| is_open && owner.is_gone());
        self.slots.iter().filter(is_free).count()
    }

    fn each_owner(&self, see: &mut dyn FnMut(u32)) {
        self.slots.iter().filter_map(|slot| owner(slot.load(Ordering::Relaxed))).for_each(|owner| see(owner.thread()));
    }

    unsafe fn settle(&self) -> Result<()> {
        self.slots.iter().for_each(OwnerWord::clear);
        // SAFETY: handed through.
        unsafe { self.waiting.settle() }
    }

    unsafe fn teardown(&self) {
        // SAFETY: handed through.
        unsafe { self.waiting.teardown() };
    }
}
