//! What a holder keeps of a lock.

use super::thread;

/// The generation of the process that locked, and three bits. One number, so that it is moved about in one piece.
///
/// | bits | meaning |
/// |---|---|
/// | [`LINKED`](Held::LINKED) | the word joined the thread's robust list |
/// | [`ALONE`](Held::ALONE) | the list was empty before, set only with `LINKED` |
/// | [`MARK`](Held::MARK) | what the guard wants to remember |
///
/// A generation is kept with the first two set: what is held in the commonest way is the generation itself.
#[derive(Clone, Copy, Debug)]
pub struct Held(u32);

impl Held {
    const LINKED: u32 = 1 << 31;
    const MARK: u32 = 1 << 30;
    const ALONE: u32 = 1 << 29;

    /// The `n`th generation; they start over after 2^29 - 2 processes in one line of ancestors.
    pub(super) const fn generation(n: u32) -> u32 {
        Held::LINKED | Held::ALONE | (n % (Held::ALONE - 2) + 1)
    }

    #[inline]
    pub(super) fn alone(generation: u32) -> Held {
        Held(generation)
    }

    pub(super) fn linked(generation: u32) -> Held {
        Held(generation & !Held::ALONE)
    }

    #[inline]
    pub(super) fn unlinked(generation: u32) -> Held {
        Held(generation & !(Held::ALONE | Held::LINKED))
    }

    #[inline]
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// `bits` come from [`bits`](Held::bits).
    #[inline]
    pub(crate) const fn from_bits(bits: u32) -> Held {
        Held(bits)
    }

    #[inline]
    pub(crate) fn mark(self) -> Held {
        Held(self.0 | Held::MARK)
    }

    #[inline]
    pub(crate) fn is_marked(self) -> bool {
        self.0 & Held::MARK != 0
    }

    pub(super) fn is_linked(self) -> bool {
        self.0 & Held::LINKED != 0
    }

    /// Whether it is held alone and unmarked by a process of this generation.
    #[inline]
    pub(super) fn is_just(self, generation: u32) -> bool {
        self.0 == generation
    }

    /// Whether it is held by a process of this generation.
    #[inline]
    pub(super) fn is_of(self, generation: u32) -> bool {
        (self.0 | Held::LINKED | Held::ALONE) & !Held::MARK == generation
    }

    /// Whether it is the copy, in a forked child, of what the parent holds.
    #[inline]
    pub(crate) fn is_inherited(self) -> bool {
        !thread::with(|me| me.is_holder(self))
    }
}
