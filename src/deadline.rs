//! How long a call may wait: absolute times on the monotonic clock, so that neither signals nor a changed wall clock
//! move them.

use std::time::{Duration, Instant};

use nix::sys::time::{TimeSpec, TimeValLike};

use crate::sys::clock;

/// How long a call is prepared to wait.
#[derive(Clone, Copy, Debug)]
pub enum Patience {
    /// Not at all.
    None,
    /// Until a moment of the monotonic clock.
    Until(Deadline),
    /// For ever.
    Forever,
}

/// A moment of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(TimeSpec);

impl Patience {
    /// Until `duration` from now has passed; a moment that the clock can't express is for ever.
    pub fn for_duration(duration: Duration) -> Patience {
        match Deadline::after(duration) {
            Some(deadline) => Patience::Until(deadline),
            None => Patience::Forever,
        }
    }

    /// Until `moment`; one in the past asks for a try.
    pub fn until(moment: Instant) -> Patience {
        Patience::for_duration(moment.saturating_duration_since(Instant::now()))
    }
}

impl Deadline {
    /// `duration` from now, or `None` beyond what the clock can express.
    pub(crate) fn after(duration: Duration) -> Option<Deadline> {
        let now = clock::monotonic();
        let mut seconds = now.tv_sec().checked_add(i64::try_from(duration.as_secs()).ok()?)?;
        let mut nanos = now.tv_nsec() + i64::from(duration.subsec_nanos());
        if nanos >= 1_000_000_000 {
            nanos -= 1_000_000_000;
            seconds = seconds.checked_add(1)?;
        }
        // The kernel counts nanoseconds in 63 bits; a later moment is as good as never.
        (seconds < i64::MAX / 1_000_000_000).then(|| Deadline(TimeSpec::new(seconds, nanos)))
    }

    /// Whether the moment has come.
    pub(crate) fn has_passed(self) -> bool {
        clock::monotonic() >= self.0
    }

    /// The moment, for a sleep.
    pub(crate) fn moment(self) -> TimeSpec {
        self.0
    }

    /// The moment, or `slice` from now if that is earlier.
    pub(crate) fn or_slice(deadline: Option<Deadline>, slice: Duration) -> TimeSpec {
        let slice = Deadline::slice(slice);
        deadline.map_or(slice, |d| d.0.min(slice))
    }

    /// `slice` from now, for a sleep that is repeated.
    pub(crate) fn slice(slice: Duration) -> TimeSpec {
        clock::monotonic() + TimeSpec::nanoseconds(i64::try_from(slice.as_nanos()).unwrap_or(i64::MAX / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_beyond_the_clock_is_for_ever() {
        for long in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(i64::MAX as u64)] {
            assert!(matches!(Patience::for_duration(long), Patience::Forever), "{long:?}");
        }
    }

    #[test]
    fn nanoseconds_carry_into_seconds() {
        for nanos in [0, 1, 999_999_999] {
            let before = clock::monotonic();
            let Some(Deadline(at)) = Deadline::after(Duration::new(3, nanos)) else { panic!("{nanos} is in range") };
            assert!((0..1_000_000_000).contains(&at.tv_nsec()), "{nanos}: {at:?}");
            assert!((at - before).num_nanoseconds() >= 3_000_000_000 + i64::from(nanos), "{nanos}: {at:?}");
        }
    }

    #[test]
    fn a_moment_in_the_past_has_passed() {
        let Patience::Until(deadline) = Patience::until(Instant::now()) else { panic!("now is in range") };
        assert!(deadline.has_passed());
    }
}
