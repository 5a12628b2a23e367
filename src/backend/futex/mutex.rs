//! The mutex is a robust word, see [`robust`](super::robust).
//!
//! The protocol is `tests/models/mutex.py`.

use super::held::Held;
use super::robust::RobustWord;
use crate::backend::{Acquired, RawMutex, Refused};
use crate::deadline::Patience;
use crate::error::Result;
use crate::sys::thread;

// SAFETY: RobustWord's invariant 1: the word's owner part is changed from 0 by one thread only, to that thread's id,
// and back by that thread, or by the kernel or another thread after its death.
unsafe impl RawMutex for RobustWord {
    const UNLOCKED: Self = RobustWord::new();
    type Held = Held;

    #[inline(always)]
    fn lock_at_once(&self) -> Option<Self::Held> {
        self.acquire_at_once()
    }

    fn lock(&self, patience: Patience) -> Result<Acquired<Self::Held>, Refused> {
        self.acquire(patience)
    }

    #[inline(always)]
    unsafe fn unlock(&self, held: Self::Held) {
        // SAFETY: handed through.
        unsafe { self.release(held) };
    }

    #[inline]
    fn mark(held: Self::Held) -> Self::Held {
        held.mark()
    }

    #[inline]
    fn is_marked(held: Self::Held) -> bool {
        held.is_marked()
    }

    fn is_inherited(&self, held: Self::Held) -> bool {
        held.is_inherited()
    }

    fn held_here(&self) -> Option<Self::Held> {
        RobustWord::held_here(self)
    }

    fn is_locked(&self) -> bool {
        self.owner().is_some()
    }

    fn owner_died(&self) -> bool {
        RobustWord::owner_died(self)
    }

    fn forget_death(&self) {
        RobustWord::forget_death(self);
    }

    fn owner_thread(&self) -> Option<u32> {
        self.owner()
    }

    fn owner_process(&self) -> Option<u32> {
        self.owner().and_then(thread::process_of)
    }

    unsafe fn settle(&self) -> Result<()> {
        // SAFETY: handed through.
        unsafe { RobustWord::settle(self) }
    }

    unsafe fn teardown(&self) {}
}
