//! The reader-writer lock: an owner word per reader, and one for the gate, for everybody who wants more than to read.
//!
//! # Why
//!
//! A count of readers says neither which of them died nor how to get its share back. So each reader owns a word of its own,
//! and whoever waits for it can look whether the owner still exists.
//!
//! # State
//!
//! | gate | phase | meaning |
//! |---|---|---|
//! | free | QUIET | readers come in |
//! | owned | QUIET | closed: the owner waits until the readers are out, or has just come or is about to go |
//! | owned | OPEN | the owner only reads: readers come in |
//! | owned | WRITING | the owner has the data |
//! | owned | CROWDED | the owner wants to read and found no free slot |
//! | free, D | WRITING | the owner died with the data, and nobody has been told yet |
//! | free, D | any other | the owner died without it: no more than free |
//!
//! | slot | state | meaning |
//! |---|---|---|
//! | free | INSIDE | nobody's |
//! | free, D | any | nobody's, the last reader died |
//! | owned | INSIDE | its owner reads, or is about to look at the gate |
//! | owned | WAITING | its owner waits at the gate: no reader yet |
//! | owned | LET_IN | its owner may read, and perhaps sleeps still |
//!
//! An owner that is gone counts as an owner until somebody has looked and written D instead. `nested` counts the further
//! reads of a slot's owner. A bit of `used` says that the slot of that number (or another that shares the bit) was ever
//! claimed: may be set with nobody there, never clear with somebody there.
//!
//! # Invariants
//!
//! 1. Gate and slots are owner words and keep the invariants of [`owner`](super::owner).
//! 2. A reader claims its slot, then looks at the gate; who closes the gate does that first, then looks at the slots. One
//!    of them sees the other. `used` is set before the claim, and the state of a dead reader's slot is reset before
//!    its new owner looks at the gate.
//! 3. The phase is written by the gate's owner only, and is QUIET whenever the gate is given back.
//! 4. WAITING is set by the slot's owner, and taken out by it or by the gate's owner, which lets it in that way.
//! 5. Who gives the gate back while somebody sleeps there lets in all who wait for it with a slot, before it is free. So a
//!    reader waits for one writer, and a writer for the readers that were inside or let in before it: neither kind keeps
//!    the other out.
//! 6. Who takes the gate after a death tells of it, and only then sets the phase to QUIET.
//! 7. Everybody sleeps in slices, and looks at all of its words before each. So nothing but time is lost with a ring: with
//!    one that rings who is killed before, or one that hears who is killed after.
//! 8. Whoever hears a ring takes the gate, or sees to it that nobody misses the ring: a reader that gets in rings again, or
//!    leaves W in the gate for its owner to ring; so does who goes to sleep again, and if somebody was let in and may
//!    sleep still, it rings for that one and doesn't listen for a moment. W stays in the gate, or comes back, until there
//!    are as many rings to hear as sleepers. So where nobody is killed, slices are hardly ever needed.
//!
//! At the gate sleep those who want to take it or to pass it; on the other bell only the gate's owner, until readers leave.
//! The reader too many takes the gate like a writer, says CROWDED so that newcomers leave slots alone, lets in who waits
//! with a slot, and sleeps until one is free.
//!
//! # Memory orderings
//!
//! Gate, slots, states and phases are SeqCst where invariant 2 needs one order of them all, which costs nothing where
//! compare-exchanges are full barriers. Counts are of the slot's owner only, and Relaxed.
//!
//! # Limits
//!
//! A thread's reads share one slot, unless it has read elsewhere meanwhile: then a further one may be used.
//!
//! The protocol is `tests/models/watched_rwlock.py`.

mod gate;
mod reader;

use std::sync::atomic::{Ordering, compiler_fence};

use super::Identity;
use super::bell::Bell;
use super::owner::{OWNER_DIED, OwnerWord, owner};
use super::waiting::{Waiting, deadline_of};
use crate::atomic::{AtomicU32, AtomicU64};
use crate::backend::futex::held::Held;
use crate::backend::futex::rwlock::Shared;
use crate::backend::futex::thread::{self, Thread};
use crate::backend::{RawRwLock, RawUpgradableRwLock, Refused};
use crate::deadline::{Deadline, Patience};
use crate::error::Result;

/// The gate is free, or its owner neither reads nor writes.
const QUIET: u32 = 0;
/// The gate's owner reads.
const OPEN: u32 = 1;
/// The gate's owner writes.
const WRITING: u32 = 2;
/// The gate's owner waits for a free slot.
const CROWDED: u32 = 3;

/// A slot's owner isn't at the gate.
const INSIDE: u32 = 0;
/// A slot's owner waits at the gate.
const WAITING: u32 = 1;
/// A slot's owner was let in and hasn't noticed yet.
const LET_IN: u32 = 2;

/// A reader-writer lock for so many readers at a time. All zero when free and unsettled.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct RwLock<B: Bell, const READERS: usize> {
    gate: OwnerWord,
    phase: AtomicU32,
    spare: AtomicU32,
    used: AtomicU64,
    at_gate: Waiting<B>,
    draining: Waiting<B>,
    slots: [Slot; READERS],
}

/// One reader's place, a cache line of its own.
#[repr(C, align(64))]
#[derive(Debug)]
struct Slot {
    word: OwnerWord,
    state: AtomicU32,
    nested: AtomicU32,
}

static_assertions::const_assert_eq!(size_of::<Slot>(), 64);

/// Who calls, and how long it waits.
#[derive(Clone, Copy)]
struct Caller<'a> {
    me: &'a Thread,
    identity: Identity,
    patience: Patience,
}

impl Caller<'_> {
    fn deadline(&self) -> Option<Deadline> {
        deadline_of(self.patience)
    }

    fn is_out_of_time(&self) -> bool {
        matches!(self.patience, Patience::None) || self.deadline().is_some_and(Deadline::has_passed)
    }

    fn is_too_late(&self) -> Refused {
        if self.deadline().is_some() { Refused::TimedOut } else { Refused::WouldBlock }
    }
}

/// A slot's bit in `used`.
#[inline(always)]
const fn bit(slot: usize) -> u64 {
    1 << (slot % 64)
}

impl Slot {
    const fn new() -> Slot {
        Slot { word: OwnerWord::new(), state: AtomicU32::new(INSIDE), nested: AtomicU32::new(0) }
    }

    #[inline(always)]
    fn is_inside(&self) -> bool {
        owner(self.word.load(Ordering::SeqCst)).is_some() && !self.is_waiting()
    }

    #[inline(always)]
    fn is_waiting(&self) -> bool {
        self.state.load(Ordering::SeqCst) == WAITING
    }

    /// Lets in the owner if it waits; says whether it did.
    fn let_in(&self) -> bool {
        self.is_waiting() && self.state.compare_exchange(WAITING, LET_IN, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }
}

impl<B: Bell, const READERS: usize> RwLock<B, READERS> {
    const fn new() -> Self {
        const { assert!(READERS > 0 && READERS < u32::MAX as usize, "a lock for no readers at all is a Mutex") };
        RwLock {
            gate: OwnerWord::new(),
            phase: AtomicU32::new(QUIET),
            spare: AtomicU32::new(0),
            used: AtomicU64::new(0),
            at_gate: Waiting::new(),
            draining: Waiting::new(),
            slots: [const { Slot::new() }; READERS],
        }
    }

    /// Runs `f` for the calling thread, if it may use the lock.
    fn enter<R>(&self, patience: Patience, f: impl FnOnce(Caller<'_>) -> Result<R, Refused>) -> Result<R, Refused> {
        thread::with(|me| {
            let identity = self.at_gate.enter(me)?;
            f(Caller { me, identity, patience })
        })
    }

    /// From here on a death leaves the data half-written.
    #[inline(always)]
    fn begin_writing(&self) {
        self.phase.store(WRITING, Ordering::Relaxed);
        // A death sees this thread's stores in their own order: only the compiler could change it.
        compiler_fence(Ordering::SeqCst);
    }

    /// The slots that were ever used.
    fn used(&self) -> impl Iterator<Item = &Slot> {
        let used = self.used.load(Ordering::SeqCst);
        self.slots.iter().enumerate().filter(move |(at, _)| used & bit(*at) != 0).map(|(_, slot)| slot)
    }

    /// Whether no reader is inside: invariant 2, if the gate is closed.
    #[inline(always)]
    fn is_drained(&self) -> bool {
        let mut bits = self.used.load(Ordering::SeqCst);
        while bits != 0 {
            // One slot, unless there are so many that they share bits.
            let mut at = bits.trailing_zeros() as usize;
            while let Some(slot) = self.slots.get(at) {
                if slot.is_inside() {
                    return false;
                }
                at += 64;
            }
            bits &= bits - 1;
        }
        true
    }

    /// Marks the words of owners that are gone, as the kernel would have if it knew: nobody is told less by that.
    #[cold]
    fn bury_the_gone(&self) {
        if self.at_gate.is_open_here() {
            self.gate.bury_if_gone(self.gate.load(Ordering::SeqCst));
            self.bury_gone_readers();
        }
    }

    /// Whether the gate is free and its last owner died, with or without the data.
    fn gate_owner_died(&self) -> bool {
        let gate = self.gate.load(Ordering::SeqCst);
        owner(gate).is_none() && gate & OWNER_DIED != 0
    }
}

// SAFETY: a writer has the gate (one owner, invariant 1) and found every slot without a reader after it had closed the
// gate; a reader has a slot and found the gate open after it had claimed the slot, or has the gate itself, or was let in
// by the gate's owner when that had no more use for the data (invariants 2 to 4).
unsafe impl<B: Bell, const READERS: usize> RawRwLock for RwLock<B, READERS> {
    const UNLOCKED: Self = Self::new();
    type Shared = Shared;
    type Exclusive = Held;

    #[inline(always)]
    fn read_at_once(&self) -> Option<Shared> {
        thread::with(|me| {
            let identity = self.at_gate.enter_at_once(me)?;
            let at = me.slot() as usize % READERS;
            let slot = &self.slots[at];
            if self.used.load(Ordering::SeqCst) & bit(at) == 0
                || self.gate.load(Ordering::Relaxed) != 0
                || !slot.word.take_at_once(identity)
            {
                return None;
            }
            if self.gate.load(Ordering::SeqCst) != 0 {
                self.step_out(slot, identity);
                return None;
            }
            Some(Shared::new(me.held_unlinked(), at as u32))
        })
    }

    #[cold]
    fn read(&self, patience: Patience, died: &dyn Fn()) -> Result<Shared, Refused> {
        self.enter(patience, |caller| self.read_contended(caller, died))
    }

    #[inline(always)]
    unsafe fn unlock_read(&self, held: Shared) {
        thread::with(|me| {
            // The holder's identity is known, or this is the copy of what a parent holds.
            let Some(identity) = me.identity().filter(|_| me.is_holder(held.held())) else { return };
            match self.slots.get(held.slot() as usize) {
                Some(slot) if slot.nested.load(Ordering::Relaxed) == 0 => {
                    if !slot.word.release_at_once(identity) {
                        self.step_out(slot, identity);
                    }
                }
                _ => self.unlock_elsewhere(identity, held),
            }
        });
    }

    #[inline(always)]
    fn write_at_once(&self) -> Option<Held> {
        thread::with(|me| {
            let identity = self.at_gate.enter_at_once(me)?;
            if !self.is_drained() || !self.gate.take_at_once(identity) {
                return None;
            }
            if !self.is_drained() {
                self.give_back(identity);
                return None;
            }
            self.begin_writing();
            Some(me.held_unlinked())
        })
    }

    #[cold]
    fn write(&self, patience: Patience, died: &dyn Fn()) -> Result<Held, Refused> {
        self.enter(patience, |caller| self.write_contended(caller, died))
    }

    #[inline(always)]
    unsafe fn unlock_write(&self, held: Held) {
        thread::with(|me| {
            let Some(identity) = me.identity().filter(|_| me.is_holder(held)) else { return };
            self.phase.store(QUIET, Ordering::Release); // after the data
            if !self.gate.release_at_once(identity) {
                self.free_gate_contended(identity);
            }
        });
    }

    #[inline]
    fn mark(held: Held) -> Held {
        held.mark()
    }

    #[inline]
    fn is_marked(held: Held) -> bool {
        held.is_marked()
    }

    fn is_inherited(&self, held: Held) -> bool {
        held.is_inherited()
    }

    fn is_locked(&self) -> bool {
        self.bury_the_gone();
        let is_owned = owner(self.gate.load(Ordering::SeqCst)).is_some();
        is_owned && matches!(self.phase.load(Ordering::SeqCst), OPEN | WRITING) || !self.is_drained()
    }

    fn is_locked_exclusively(&self) -> bool {
        self.bury_the_gone();
        self.phase.load(Ordering::SeqCst) == WRITING && owner(self.gate.load(Ordering::SeqCst)).is_some()
    }

    fn writer_died(&self) -> bool {
        self.bury_the_gone();
        // Once more after the phase, which may be that of another who took the gate meanwhile.
        self.gate_owner_died() && self.phase.load(Ordering::SeqCst) == WRITING && self.gate_owner_died()
    }

    fn forget_death(&self) {
        self.bury_the_gone();
        if self.gate_owner_died() {
            // Err: somebody else has the gate by now, and has been told.
            let _ = self.enter(Patience::None, |caller| self.repair(caller, &|| {}));
        }
    }

    fn each_owner(&self, see: &mut dyn FnMut(u32)) {
        let words = self.used().map(|slot| &slot.word).chain([&self.gate]);
        words.filter_map(|word| owner(word.load(Ordering::Relaxed))).for_each(|owner| see(owner.thread()));
    }

    unsafe fn settle(&self) -> Result<()> {
        self.gate.clear();
        self.phase.store(QUIET, Ordering::Relaxed);
        self.used.store(0, Ordering::Relaxed);
        for slot in &self.slots {
            slot.word.clear();
            slot.state.store(INSIDE, Ordering::Relaxed);
            slot.nested.store(0, Ordering::Relaxed);
        }
        // SAFETY: handed through.
        unsafe {
            self.draining.settle()?;
            self.at_gate.settle() // last: who sees it settled may use the lock
        }
    }

    unsafe fn teardown(&self) {
        // SAFETY: handed through.
        unsafe {
            self.at_gate.teardown();
            self.draining.teardown();
        }
    }
}

// SAFETY: an upgradable reader has the gate and leaves it open; it becomes a writer as any owner of the gate does, after
// closing it. A writer becomes a reader by a slot that it claims while it has the gate, or keeps the gate, open.
unsafe impl<B: Bell, const READERS: usize> RawUpgradableRwLock for RwLock<B, READERS> {
    type Upgradable = Held;

    fn upgradable_read(&self, patience: Patience, died: &dyn Fn()) -> Result<Held, Refused> {
        self.enter(patience, |caller| {
            if self.own_slot(caller.identity).is_some() {
                return Err(patience.refuse_own());
            }
            self.take_gate(caller, died)?;
            self.open_gate();
            Ok(caller.me.held_unlinked())
        })
    }

    unsafe fn unlock_upgradable(&self, held: Held) {
        self.unlock_gate(held);
    }

    unsafe fn upgrade(&self, held: Held, patience: Patience) -> Result<Held, Refused> {
        if held.is_inherited() {
            return Err(Refused::WouldBlock); // the parent's, not this child's
        }
        self.enter(patience, |caller| {
            if self.own_slot(caller.identity).is_some() {
                return Err(patience.refuse_own());
            }
            self.phase.swap(QUIET, Ordering::SeqCst);
            self.drain(caller).inspect_err(|_| self.open_gate())?;
            self.begin_writing();
            Ok(held)
        })
    }

    unsafe fn downgrade(&self, held: Held) -> Shared {
        self.gate_into_slot(held)
    }

    unsafe fn downgrade_to_upgradable(&self, held: Held) -> Held {
        if !held.is_inherited() {
            self.open_gate();
        }
        held
    }

    unsafe fn downgrade_upgradable(&self, held: Held) -> Shared {
        self.gate_into_slot(held)
    }
}
