//! The clocks: monotonic for deadlines, boot time for telling threads of one id apart.

use nix::sys::time::{TimeSpec, TimeValLike};
use nix::time::{ClockId, clock_gettime};

/// `clock_gettime(CLOCK_MONOTONIC)`: what every deadline of this crate is measured by.
pub(crate) fn monotonic() -> TimeSpec {
    // Fails only for a clock that doesn't exist or an address that isn't writable; neither can be. Zero would make
    // deadlines pass late, never early.
    clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap_or_else(|_| TimeSpec::nanoseconds(0))
}

/// `clock_gettime(CLOCK_BOOTTIME)` in tenths of a second, as the initial time namespace counts it.
///
/// Tenths in 32 bits last 13 years; `offset` is [`super::namespace::boot_time_offset`].
pub(crate) fn boot_tenths(offset: i64) -> u32 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap_or_else(|_| TimeSpec::nanoseconds(0));
    let nanos = now.num_nanoseconds().saturating_sub(offset);
    u32::try_from(nanos / 100_000_000).unwrap_or(u32::MAX)
}
