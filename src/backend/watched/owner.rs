//! A word that says who owns it, for backends where the kernel doesn't mark the dead.
//!
//! # State
//!
//! | word | meaning |
//! |---|---|
//! | 0, W | free |
//! | D, D+W | free; the last owner died in it |
//! | identity, identity+W | owned by that thread |
//!
//! # Invariants
//!
//! 1. The owner part goes from 0 to a thread's identity by that thread's compare-exchange, and back to 0 by that thread, or
//!    by one that has found that identity gone. No two threads have one identity and none comes back, so whoever is found
//!    gone stays gone: looking and marking needn't be one step.
//! 2. W is set by who is about to sleep and cleared by whoever frees the word, who then rings; it may leave W there for
//!    those that it doesn't ring for. W may be clear with somebody asleep: all sleep in slices.
//!
//! The models are `tests/models/watched.py` and the others whose names begin so.

use std::sync::atomic::Ordering;

use super::identity::{IDENTITY_BITS, Identity};
use crate::atomic::AtomicU64;

/// Somebody may be asleep.
pub(super) const WAITERS: u64 = 1 << 63;
/// The last owner died.
pub(super) const OWNER_DIED: u64 = 1 << 62;
const OWNER: u64 = (1 << IDENTITY_BITS) - 1;

static_assertions::const_assert!(OWNER & (WAITERS | OWNER_DIED) == 0);

/// See the module's text. All zero when free.
#[repr(transparent)]
#[derive(Debug)]
pub(super) struct OwnerWord(AtomicU64);

/// Who owns a word of that value.
#[inline(always)]
pub(super) fn owner(word: u64) -> Option<Identity> {
    Identity::from_bits(word & OWNER)
}

impl OwnerWord {
    pub(super) const fn new() -> OwnerWord {
        OwnerWord::holding(0)
    }

    pub(super) const fn holding(word: u64) -> OwnerWord {
        OwnerWord(AtomicU64::new(word))
    }

    #[inline(always)]
    pub(super) fn load(&self, ordering: Ordering) -> u64 {
        self.0.load(ordering)
    }

    /// Frees it, whoever owns it.
    pub(super) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Takes a word that is free, without waiters and without a death to tell of.
    #[inline(always)]
    pub(super) fn take_at_once(&self, me: Identity) -> bool {
        self.0.compare_exchange(0, me.bits(), Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// Takes a word that was seen free as `word`; W stays or comes with `waiters`.
    pub(super) fn take(&self, word: u64, me: Identity, waiters: u64) -> bool {
        self.replace(word, me.bits() | word & WAITERS | waiters)
    }

    pub(super) fn replace(&self, word: u64, by: u64) -> bool {
        self.0.compare_exchange(word, by, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// Frees a word of this thread's; says whether somebody may be asleep. Does nothing to one that isn't.
    #[inline(always)]
    pub(super) fn release(&self, me: Identity) -> bool {
        !self.release_at_once(me) && self.release_contended(me)
    }

    /// Frees a word of this thread's if nobody waits for it.
    #[inline(always)]
    pub(super) fn release_at_once(&self, me: Identity) -> bool {
        self.0.compare_exchange(me.bits(), 0, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    #[cold]
    fn release_contended(&self, me: Identity) -> bool {
        let free = |word| (owner(word) == Some(me)).then_some(0);
        // Err: somebody scribbled over it; what stands there is left for waiters to make out.
        self.0.fetch_update(Ordering::SeqCst, Ordering::Relaxed, free).is_ok_and(|word| word & WAITERS != 0)
    }

    /// Puts `value` in place of this thread. Err, with what stands there, where it isn't this thread's: somebody scribbled
    /// over it.
    pub(super) fn hand_over(&self, me: Identity, value: u64) -> Result<(), u64> {
        let put = |word| (owner(word) == Some(me)).then_some(value);
        self.0.fetch_update(Ordering::SeqCst, Ordering::Relaxed, put).map(|_| ())
    }

    /// Sets W, whoever owns the word.
    #[cold]
    pub(super) fn mark_waiters(&self) {
        self.0.fetch_or(WAITERS, Ordering::SeqCst);
    }

    /// Marks the word, seen as `word`, if its owner is gone; says whether it is worth another look.
    #[cold]
    pub(super) fn bury_if_gone(&self, word: u64) -> bool {
        owner(word).is_some_and(Identity::is_gone) && self.bury(word)
    }

    /// Marks the word, seen as `word`, whose owner is gone; says whether it wasn't done by then.
    pub(super) fn bury(&self, word: u64) -> bool {
        self.replace(word, word & WAITERS | OWNER_DIED)
    }

    /// Takes D out of a free word.
    pub(super) fn forget_death(&self) {
        let calm = |word| (owner(word).is_none() && word & OWNER_DIED != 0).then_some(word & !OWNER_DIED);
        // Err means that there was nothing to take out.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, calm);
    }
}
