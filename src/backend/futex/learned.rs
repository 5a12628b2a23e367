//! What waiters at a lock have learned about waiting there: a hint in shared memory that all of them read and write.

use std::sync::atomic::Ordering;

use crate::atomic::Hint;

/// Failures in a row, of spinning and of yielding. Any value is harmless, and one that is lost between two writers isn't
/// missed.
#[derive(Clone, Copy)]
pub(super) struct Learned {
    pub(super) spinning: u16,
    /// 0 where nobody has tried; [`PAYS`] where it was a success the last time.
    pub(super) yielding: u16,
}

/// Instead of a number of failures: yielding has paid.
pub(super) const PAYS: u16 = u16::MAX;

impl Learned {
    #[inline]
    pub(super) fn load(hint: &Hint) -> Learned {
        let both = hint.load(Ordering::Relaxed);
        Learned { spinning: both as u16, yielding: (both >> 16) as u16 }
    }

    /// Stores only what is new: others read it.
    pub(super) fn store(self, hint: &Hint) {
        let both = u32::from(self.yielding) << 16 | u32::from(self.spinning);
        if hint.load(Ordering::Relaxed) != both {
            hint.store(both, Ordering::Relaxed);
        }
    }
}
