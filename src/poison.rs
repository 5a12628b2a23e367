//! Poison: the memory of a lock that its data may be half-written, and why.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::Cause;

/// An owner panicked.
const PANICKED: u32 = 1 << 0;
/// An owner died.
const DIED: u32 = 1 << 1;

/// The causes noted so far; zero is a healthy lock. Bits of no meaning are ignored.
///
/// Written by the lock's holder, so Relaxed: the lock orders it. Only clearing may come from elsewhere.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Poison(AtomicU32);

impl Poison {
    pub(crate) const fn none() -> Poison {
        Poison(AtomicU32::new(0))
    }

    /// The gravest cause noted.
    #[inline]
    pub(crate) fn cause(&self) -> Option<Cause> {
        match self.0.load(Ordering::Relaxed) & (PANICKED | DIED) {
            0 => None,
            PANICKED => Some(Cause::Panicked),
            _ => Some(Cause::OwnerDied),
        }
    }

    /// Whether this cause was noted, alone or with another.
    pub(crate) fn includes(&self, cause: Cause) -> bool {
        self.0.load(Ordering::Relaxed) & bit(cause) != 0
    }

    #[cold]
    pub(crate) fn note(&self, cause: Cause) {
        self.0.fetch_or(bit(cause), Ordering::Relaxed);
    }

    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

const fn bit(cause: Cause) -> u32 {
    match cause {
        Cause::Panicked => PANICKED,
        Cause::OwnerDied => DIED,
    }
}
