//! The reader-writer lock: a robust slot per reader, a robust gate for everybody who wants more than that.
//!
//! # Why
//!
//! A count of readers says neither which of them died nor how to get its share back, and it makes readers pass one cache
//! line around. So each reader has a word of its own, in which the kernel marks its death.
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
//!
//! How often a slot's owner reads beyond the first time is counted in its own memory, beside the record of the slot
//! ([`thread`]); where `settled` is 0 there is no record, and the slot's `nested` counts. A bit of `used` says that the slot
//! of that number (or another that shares the bit) was ever claimed: may be set with nobody there, never clear with somebody
//! there.
//!
//! # Invariants
//!
//! 1. Gate and slots are robust words and keep the invariants of [`robust`](super::robust). Only the gate's owner sleeps
//!    on a slot, so the one sleeper that the kernel wakes for a dead reader is the right one.
//! 2. A reader claims its slot, then looks at the gate; who closes the gate does that first, then looks at the slots. One
//!    of them sees the other. `used` is set before the claim, and the state of a dead reader's slot is reset before
//!    its new owner looks at the gate.
//! 3. The phase is written by the gate's owner only, and is QUIET whenever the gate is given back.
//! 4. WAITING is set by the slot's owner, and cleared by it or by the gate's owner, which lets it in that way.
//! 5. Who gives the gate back while somebody sleeps there lets in all who wait for it with a slot, and wakes them before
//!    the gate is free. So a reader waits for one writer, and a writer for the readers that were inside or let in
//!    before it: neither kind keeps the other out.
//! 6. Who takes the gate after a death tells of it, then sets the phase to QUIET, then wakes everybody: the dead one may
//!    have let in some that still sleep.
//! 7. A reader that gets in, and finds W in a free gate, clears it and wakes everybody: it may have been given a wake-up
//!    that was meant for any of them.
//! 8. A waiting reader sleeps on the gate *and* on its own state, so it never sleeps once it was let in.
//! 9. Where `settled` (the gate's) is 0, nothing comes near the robust list, as with every robust word. An operation reads
//!    it once; whether something is on the list afterwards is what the holder keeps, and the thread's record.
//! 10. Who claims a slot has none of this lock on its list: the record was asked, whatever the words say.
//!
//! The reader too many takes the gate like a writer, says CROWDED so that newcomers leave slots alone, lets in who waits
//! with a slot, and sleeps on all slots until one is free.
//!
//! # Memory orderings
//!
//! Claims, gate, phase and states are SeqCst where invariant 2 needs one order of them all, which costs nothing where
//! compare-exchanges are full barriers; a release is Release. What [`robust`](super::robust) does with less is followed by
//! a fence. Counts and bits that only say where to look are Relaxed.
//!
//! # Limits
//!
//! A thread's reads share one slot, but where the list was empty or the lock unsettled a further one may be used.
//! `futex_waitv` takes 128 words: with more readers than that, the reader too many sleeps in slices. Before Linux 5.16
//! there is none, and waiting readers sleep in slices too.
//!
//! The protocol is `tests/models/rwlock.py`.

mod gate;
mod reader;
mod visit;

use std::ops::Range;
use std::sync::atomic::{Ordering, compiler_fence};

use super::held::Held;
use super::robust::{OWNER_DIED, RobustWord, owner};
use super::thread::{self, Thread};
use crate::atomic::{AtomicU32, AtomicU64};
use crate::backend::{RawRwLock, RawUpgradableRwLock, Refused};
use crate::deadline::Patience;
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

/// What a reader has instead of a slot if it holds the gate.
pub(crate) const GATE: u32 = u32::MAX;

/// A reader-writer lock for so many readers at a time. All zero when free and unsettled.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct RwLock<const READERS: usize> {
    gate: RobustWord,
    phase: AtomicU32,
    spare: AtomicU32,
    used: AtomicU64,
    slots: [Slot; READERS],
}

/// One reader's place, a cache line of its own.
#[repr(C, align(64))]
#[derive(Debug)]
struct Slot {
    word: RobustWord,
    state: AtomicU32,
    /// The further reads of the owner, of a slot that isn't on its list.
    nested: AtomicU32,
}

static_assertions::const_assert_eq!(size_of::<Slot>(), 64);
static_assertions::const_assert_eq!(size_of::<RwLock<64>>(), 64 + 64 * 64);

/// What a reader keeps: how it holds its slot, and above it the slot's number, or [`GATE`]. One number, as a guard of two
/// words stays in registers.
#[derive(Clone, Copy, Debug)]
pub struct Shared(u64);

impl Shared {
    #[inline(always)]
    pub(crate) fn new(held: Held, slot: u32) -> Shared {
        Shared(u64::from(slot) << 32 | u64::from(held.bits()))
    }

    #[inline(always)]
    pub(crate) fn held(self) -> Held {
        Held::from_bits(self.0 as u32)
    }

    #[inline(always)]
    pub(crate) fn slot(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl<const READERS: usize> RwLock<READERS> {
    const fn new() -> Self {
        const { assert!(READERS > 0 && READERS < GATE as usize, "a lock for no readers at all is a Mutex") };
        RwLock {
            gate: RobustWord::new(),
            phase: AtomicU32::new(QUIET),
            spare: AtomicU32::new(0),
            used: AtomicU64::new(0),
            slots: [const { Slot { word: RobustWord::new(), state: AtomicU32::new(INSIDE), nested: AtomicU32::new(0) } };
                READERS],
        }
    }

    /// From here on a death leaves the data half-written.
    #[inline(always)]
    fn begin_writing(&self) {
        self.phase.store(WRITING, Ordering::Relaxed);
        // A death sees this thread's stores in their own order: only the compiler could change it.
        compiler_fence(Ordering::SeqCst);
    }

    /// The numbers of the slots that were ever used, by these bits.
    #[inline]
    fn used(&self, mut bits: u64) -> impl Iterator<Item = usize> + use<READERS> {
        let first = std::iter::from_fn(move || {
            let at = bits.trailing_zeros() as usize;
            bits &= bits.wrapping_sub(1);
            (at < 64).then_some(at)
        });
        first.flat_map(|at| (at..READERS).step_by(64))
    }

    /// Whether no reader is inside: invariant 2, if the gate is closed.
    #[inline(always)]
    fn is_drained(&self) -> bool {
        let mut bits = self.used.load(Ordering::SeqCst);
        while bits != 0 {
            let first = bits.trailing_zeros() as usize;
            // One slot, unless there are so many that they share bits.
            let mut at = first;
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

    /// The same as [`read_at_once`](RawRwLock::read_at_once) without the robust list (invariant 9). A further read of this
    /// thread may get a slot of its own this way.
    #[inline(never)]
    fn read_unsettled_at_once(&self, me: &Thread) -> Option<Shared> {
        let at = me.slot() as usize % READERS;
        let slot = &self.slots[at];
        if slot.word.stamp() != me.stamp() || self.gate.word().load(Ordering::Relaxed) != 0 {
            return None;
        }
        slot.word.word().compare_exchange(0, me.tid(), Ordering::SeqCst, Ordering::Relaxed).ok()?;
        if self.gate.word().load(Ordering::SeqCst) != 0 {
            self.free(me, slot);
            return None;
        }
        Some(Shared::new(me.held_unlinked(), at as u32))
    }

    /// The same as [`write_at_once`](RawRwLock::write_at_once) without the robust list.
    #[inline(never)]
    fn write_unsettled_at_once(&self, me: &Thread) -> Option<Held> {
        if !self.is_drained() || self.gate.stamp() != me.stamp() && self.gate.stamp() as u32 == me.tid() {
            return None;
        }
        self.gate.word().compare_exchange(0, me.tid(), Ordering::SeqCst, Ordering::Relaxed).ok()?;
        self.gate.set_stamp(me.stamp());
        let held = me.held_unlinked();
        if !self.is_drained() {
            self.give_back(me, held);
            return None;
        }
        self.begin_writing();
        Some(held)
    }

    /// The same as [`read_at_once`](RawRwLock::read_at_once), for a thread that holds other locks and doesn't read here.
    #[inline(never)]
    fn read_beside_others(&self, me: &Thread) -> Option<Shared> {
        let beside = me.beside()?;
        let at = me.slot() as usize % READERS;
        let slot = &self.slots[at];
        let is_own = slot.word.stamp() == me.stamp() && self.gate.namespace() == me.namespace();
        if !is_own || self.gate.word().load(Ordering::Relaxed) != 0 || beside.has_within(&self.entries()) {
            return None;
        }
        beside.set_pending(&slot.word);
        if slot.word.word().compare_exchange(0, me.tid(), Ordering::SeqCst, Ordering::Relaxed).is_err() {
            beside.clear_pending();
            return None;
        }
        let is_open = self.gate.word().load(Ordering::SeqCst) == 0;
        if !is_open {
            self.step_out(slot);
            return None;
        }
        Some(Shared::new(beside.link(&slot.word), at as u32))
    }

    /// The same as [`write_at_once`](RawRwLock::write_at_once), for a thread that holds other locks and not this one.
    #[inline(never)]
    fn write_beside_others(&self, me: &Thread) -> Option<Held> {
        let beside = me.beside()?;
        let is_usable = self.gate.namespace() == me.namespace() && !self.gate.has_stamp_of_an_earlier(me);
        if !is_usable || beside.has(&self.gate) || beside.has_within(&self.entries()) {
            return None;
        }
        beside.set_pending(&self.gate);
        if self.gate.word().compare_exchange(0, me.tid(), Ordering::SeqCst, Ordering::Relaxed).is_err() {
            beside.clear_pending();
            return None;
        }
        self.gate.set_stamp(me.stamp());
        let held = beside.link(&self.gate);
        if !self.is_drained() && !self.is_soon_drained(held) {
            return None;
        }
        self.begin_writing();
        Some(held)
    }

    /// Where the entries of the slots are, each of which has its place on a thread's list.
    fn entries(&self) -> Range<usize> {
        let start = self.slots.as_ptr().addr();
        start..start + size_of_val(&self.slots)
    }

    /// Whether the gate's last owner died with the data and nobody was told.
    fn died_writing(&self) -> bool {
        let gate = self.gate.word().load(Ordering::Acquire);
        owner(gate) == 0 && gate & OWNER_DIED != 0 && self.phase.load(Ordering::Relaxed) == WRITING
    }
}

/// A slot's bit in `used`.
#[inline]
const fn bit(slot: usize) -> u64 {
    1 << (slot % 64)
}

impl Slot {
    #[inline(always)]
    fn is_inside(&self) -> bool {
        owner(self.word.word().load(Ordering::SeqCst)) != 0 && self.state.load(Ordering::SeqCst) != WAITING
    }

    /// Takes one further read back from a slot that isn't on its owner's list; `false` if there is none.
    fn read_less(&self) -> bool {
        self.nested.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |nested| nested.checked_sub(1)).is_ok()
    }
}

// SAFETY: a writer has the gate (one owner, invariant 1) and found every slot without a reader after it had closed the
// gate; a reader has a slot and found the gate open after it had claimed the slot, or has the gate itself, or was let in
// by the gate's owner when that had no more use for the data (invariants 2 to 4).
unsafe impl<const READERS: usize> RawRwLock for RwLock<READERS> {
    const UNLOCKED: Self = Self::new();
    type Shared = Shared;
    type Exclusive = Held;

    #[inline(always)]
    fn read_at_once(&self) -> Option<Shared> {
        thread::with(|me| {
            let settled = self.gate.namespace();
            let Some(alone) = me.alone() else { return self.read_beside_others(me) };
            if settled != me.namespace() {
                return if settled == 0 { self.read_unsettled_at_once(me) } else { None };
            }
            let at = me.slot() as usize % READERS;
            let slot = &self.slots[at];
            let word = slot.word.word();
            let mine = me.stamp();
            // Of this thread's from an earlier read, so its bit in `used` is set.
            if slot.word.stamp() != mine || self.gate.word().load(Ordering::Relaxed) != 0 {
                return None;
            }
            alone.set_pending(&slot.word);
            if word.compare_exchange(0, mine as u32, Ordering::SeqCst, Ordering::Relaxed).is_err() {
                alone.clear_pending();
                return None;
            }
            if self.gate.word().load(Ordering::SeqCst) != 0 {
                self.step_out(slot);
                return None;
            }
            alone.link(&slot.word);
            Some(Shared::new(alone.held(), at as u32))
        })
    }

    #[cold]
    fn read(&self, patience: Patience, died: &dyn Fn()) -> Result<Shared, Refused> {
        thread::with(|me| self.read_contended(me, patience, died))
    }

    #[inline(always)]
    unsafe fn unlock_read(&self, held: Shared) {
        thread::with(|me| {
            let Some(slot) = self.slots.get(held.slot() as usize) else { return self.unlock_elsewhere(held) };
            let alone = match me.alone_with(&slot.word, held.held()) {
                Some(alone) if !alone.holds_again() => alone,
                _ => return self.unlock_elsewhere(held),
            };
            let tid = me.tid();
            alone.set_pending(&slot.word);
            alone.unlink();
            if slot.word.word().compare_exchange(tid, 0, Ordering::Release, Ordering::Relaxed).is_err() {
                return self.step_out(slot);
            }
            alone.clear_pending();
        });
    }

    #[inline(always)]
    fn write_at_once(&self) -> Option<Held> {
        thread::with(|me| {
            let settled = self.gate.namespace();
            let Some(alone) = me.alone() else { return self.write_beside_others(me) };
            if settled != me.namespace() {
                return if settled == 0 { self.write_unsettled_at_once(me) } else { None };
            }
            let mine = me.stamp();
            if self.gate.stamp() != mine && self.gate.stamp() as u32 == mine as u32 {
                return None;
            }
            alone.set_pending(&self.gate);
            if self.gate.word().compare_exchange(0, mine as u32, Ordering::SeqCst, Ordering::Relaxed).is_err() {
                alone.clear_pending();
                return None;
            }
            self.gate.set_stamp(mine);
            alone.link(&self.gate);
            if !self.is_drained() && !self.is_soon_drained(alone.held()) {
                return None;
            }
            self.begin_writing();
            Some(alone.held())
        })
    }

    #[inline(always)]
    fn try_write_at_once(&self) -> Option<Held> {
        if self.is_drained() { self.write_at_once() } else { None }
    }

    #[cold]
    fn write(&self, patience: Patience, died: &dyn Fn()) -> Result<Held, Refused> {
        thread::with(|me| self.write_contended(me, patience, died))
    }

    #[inline(always)]
    unsafe fn unlock_write(&self, held: Held) {
        thread::with(|me| {
            let Some(alone) = me.alone_with(&self.gate, held) else { return self.unlock_gate(held) };
            let tid = me.tid();
            self.phase.store(QUIET, Ordering::Release); // after the data
            alone.set_pending(&self.gate);
            alone.unlink();
            if self.gate.word().compare_exchange(tid, 0, Ordering::Release, Ordering::Relaxed).is_err() {
                return self.free_gate_contended();
            }
            alone.clear_pending();
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
        let by_the_gate = matches!(self.phase.load(Ordering::Acquire), OPEN | WRITING) && self.gate.owner().is_some();
        by_the_gate || !self.is_drained()
    }

    fn is_locked_exclusively(&self) -> bool {
        self.phase.load(Ordering::Acquire) == WRITING && self.gate.owner().is_some()
    }

    fn writer_died(&self) -> bool {
        self.died_writing()
    }

    fn forget_death(&self) {
        if self.gate.owner_died() {
            thread::with(|me| self.repair(me, &|| {}));
        }
    }

    fn each_owner(&self, see: &mut dyn FnMut(u32)) {
        self.gate.owner().into_iter().for_each(&mut *see);
        self.used(self.used.load(Ordering::Relaxed)).filter_map(|at| self.slots[at].word.owner()).for_each(see);
    }

    unsafe fn settle(&self) -> Result<()> {
        // SAFETY: handed through.
        unsafe { self.gate.settle()? };
        self.phase.store(QUIET, Ordering::Relaxed);
        self.used.store(0, Ordering::Relaxed);
        for slot in &self.slots {
            // SAFETY: handed through.
            unsafe { slot.word.settle()? };
            slot.state.store(INSIDE, Ordering::Relaxed);
            slot.nested.store(0, Ordering::Relaxed);
        }
        Ok(())
    }

    unsafe fn teardown(&self) {}
}

// SAFETY: an upgradable reader has the gate and leaves it open; it becomes a writer as any owner of the gate does, after
// closing it. A writer becomes a reader by a slot that it claims while it has the gate, or keeps the gate, open.
unsafe impl<const READERS: usize> RawUpgradableRwLock for RwLock<READERS> {
    type Upgradable = Held;

    fn upgradable_read(&self, patience: Patience, died: &dyn Fn()) -> Result<Held, Refused> {
        thread::with(|me| {
            let visit = self.enter(me).map_err(Refused::Failed)?;
            if self.own_slot(visit).is_some() {
                return Err(patience.refuse_own());
            }
            let held = self.take_gate(me, patience, died)?;
            self.open_gate();
            Ok(held)
        })
    }

    unsafe fn unlock_upgradable(&self, held: Held) {
        self.unlock_gate(held);
    }

    unsafe fn upgrade(&self, held: Held, patience: Patience) -> Result<Held, Refused> {
        thread::with(|me| {
            if !me.is_holder(held) {
                return Err(Refused::WouldBlock); // the parent's, not this child's
            }
            let visit = self.enter_by_gate(me, held);
            if self.own_slot(visit).is_some() {
                return Err(patience.refuse_own());
            }
            self.phase.swap(QUIET, Ordering::SeqCst);
            let drained = self.drain(visit, patience);
            match drained {
                Ok(()) => self.begin_writing(),
                Err(_) => self.open_gate(),
            }
            drained.map(|()| held)
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
