//! futex(2), always the process-shared kind.

#[cfg(not(loom))]
mod calls;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;

use crate::atomic::AtomicU32;
#[cfg(loom)]
use crate::modelled::futex as calls;

pub(crate) use calls::{Expected, wait_any, wait_as, wake, wake_and_change, wake_only};

/// How a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// A wake-up meant for this sleeper.
    Woken,
    /// The word didn't hold the expected value, so there was no sleep.
    Changed,
    /// The deadline passed.
    #[cfg_attr(loom, expect(dead_code))]
    TimedOut,
    /// A signal handler ran.
    Interrupted,
}

/// How many words [`wait_any`] takes (`FUTEX_WAITV_MAX`).
pub(crate) const WAIT_ANY_MAX: usize = 128;

/// `futex(FUTEX_WAIT_BITSET)` until `until` on the monotonic clock, or for ever.
pub(crate) fn wait(word: &AtomicU32, expected: u32, until: Option<TimeSpec>) -> Result<Wake, Errno> {
    wait_as(ANYBODY, word, expected, until)
}

/// Which wake-ups are for a sleeper: those that have a bit in common with its own. Most sleepers, and all calls but
/// [`wake_only`], have all of them.
pub(crate) type Bits = u32;

/// All of them (`FUTEX_BITSET_MATCH_ANY`).
pub(crate) const ANYBODY: Bits = libc::FUTEX_BITSET_MATCH_ANY as Bits;

/// What [`wake_and_change`] does to a word.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// Adds a number below 2048.
    Add(u32),
    /// Clears the bit of this number.
    ClearBit(u32),
    /// Sets the bit of this number.
    SetBit(u32),
    /// Stores 1 in the bit of this number and 0 in all others.
    SetToBit(u32),
}

/// Clears bit `bit` of the word and wakes everybody who sleeps on it, as one step.
pub(crate) fn clear_bit_and_wake_all(word: &AtomicU32, bit: u32) -> Result<usize, Errno> {
    wake_and_change(word, i32::MAX, word, Change::ClearBit(bit))
}

/// Stores `1 << bit` and wakes everybody who sleeps on the word, as one step.
pub(crate) fn set_to_bit_and_wake_all(word: &AtomicU32, bit: u32) -> Result<usize, Errno> {
    wake_and_change(word, i32::MAX, word, Change::SetToBit(bit))
}
