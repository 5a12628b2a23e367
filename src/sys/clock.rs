//! The clocks: monotonic for deadlines, boot time for telling threads of one id apart.

use nix::errno::Errno;
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

/// `clock_gettime(CLOCK_MONOTONIC)`: what every deadline of this crate is measured by.
pub(crate) fn monotonic() -> TimeSpec {
    if cfg!(loom) {
        return TimeSpec::nanoseconds(0); // no time passes in a model
    }
    // Fails only for a clock that doesn't exist or an address that isn't writable; neither can be. Zero would make
    // deadlines pass late, never early.
    clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap_or_else(|_| TimeSpec::nanoseconds(0))
}

/// `clock_nanosleep(TIMER_ABSTIME)` until the moment of the monotonic clock. Signals don't end it.
pub(crate) fn sleep_until(moment: TimeSpec) {
    let flags = ClockNanosleepFlags::TIMER_ABSTIME;
    while clock_nanosleep(ClockId::CLOCK_MONOTONIC, flags, &moment) == Err(Errno::EINTR) {}
}

/// The wall clock, in seconds since 1970.
pub(crate) fn wall_seconds() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).unwrap_or_else(|_| TimeSpec::nanoseconds(0));
    u64::try_from(now.tv_sec()).unwrap_or(0)
}

/// `clock_gettime(CLOCK_BOOTTIME)` in tenths of a second, as the initial time namespace counts it.
///
/// Tenths in 32 bits last 13 years; `offset` is [`super::namespace::boot_time_offset`].
pub(crate) fn boot_tenths(offset: i64) -> u32 {
    if cfg!(loom) {
        return 0;
    }
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap_or_else(|_| TimeSpec::nanoseconds(0));
    let nanos = now.num_nanoseconds().saturating_sub(offset);
    u32::try_from(nanos / 100_000_000).unwrap_or(u32::MAX)
}
