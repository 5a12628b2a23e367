//! Text and lists of a fixed capacity that may stand inside a lock: [`ShmString`] and [`ShmVec`].
//!
//! **Why.** A `String` owns memory of one process, and a list that trusts its own length reads past its end once the
//! length is wrong. Here it can be wrong: a writer was killed half-way through `*guard = other`, which mixes the bytes of
//! two values, or a peer wrote what it liked.
//!
//! **State.** A [`Len`] and `N` slots, of which the first `min(len, N)` count.
//!
//! **Invariants.**
//!
//! 1. *Every slot holds a value*, counted or not: zeros from the start (only element types for which zeros are a value
//!    are let in), and afterwards values, or mixtures of values, which [`ShmData`](crate::ShmData) makes values.
//!    So any length up to `N` is sound, also one that was never stored.
//! 2. *A length is clamped each time it is read*, and read once: what was checked is what is used.
//! 3. *A slot beyond the length is written before the length counts it*, and a slot is no longer counted before it is
//!    written as such. A writer killed at any instruction of a call that appends or cuts off leaves it all done or all
//!    undone. Calls that move what is counted (insert, remove, retain) leave the old items in some order, and one of
//!    them possibly twice, missing or mixed with its neighbour.
//!
//! **Orderings.** Only this thread writes (the lock sees to that), and whoever is killed stops between two
//! instructions, all stores before which others see once they have the lock. So the order of the *instructions* is all
//! that counts, and compiler fences around a volatile store of the length fix it.
//!
//! **Limits.** A peer that writes without holding the lock *while* somebody reads is a data race, against which no
//! reference can be guarded; nor does clamping help where a peer puts bytes into a `bool` that are no `bool`.

mod string;
mod vec;

use std::ptr;
use std::sync::atomic::{Ordering, compiler_fence};

pub use string::ShmString;
pub use vec::{CapacityError, ShmVec};

/// How many slots count. A plain `u32` in memory, which may hold anything.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Len(u32);

impl Len {
    const ZERO: Len = Len(0);

    /// The length as stored, or `N` where it is larger (invariant 2).
    #[inline]
    fn get<const N: usize>(&self) -> usize {
        // SAFETY: a reference may be read through, and every bit pattern is a u32.
        let stored = unsafe { ptr::read_volatile(&raw const self.0) };
        usize::try_from(stored).map_or(N, |len| len.min(N))
    }

    /// Counts `len` slots, in one store that comes after all stores before the call and before all after it
    /// (invariant 3).
    #[inline]
    fn set<const N: usize>(&mut self, len: usize) {
        const { assert!(N <= u32::MAX as usize, "a length in shared memory has 32 bits: the capacity is too large") };
        debug_assert!(len <= N);
        compiler_fence(Ordering::SeqCst);
        // SAFETY: an exclusive reference may be written through.
        unsafe { ptr::write_volatile(&raw mut self.0, len as u32) };
        compiler_fence(Ordering::SeqCst);
    }
}
