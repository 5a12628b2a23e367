//! What a path costs, and how that compares with what it cost before.

use std::fmt;

use serde::Deserialize;

/// By how many per cent a path may become longer.
pub const GROWTH: f64 = 5.0;

/// The same where another compiler or another libc than the baseline's may be the reason.
pub const GROWTH_ELSEWHERE: f64 = 25.0;

/// What is gone through once costs so much. What isn't done each time counts with the part that comes to one time.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Cost {
    pub instructions: f64,
    /// How many of them lock the bus, compare-and-swap, fetch-and-add, exchange, or are fences.
    pub locked: f64,
    pub system_calls: f64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cost { instructions, locked, system_calls } = self;
        write!(f, "{instructions:>12} {locked:>6} {system_calls:>12}")
    }
}

/// The columns of a [`Cost`].
pub const HEAD: &str = "instructions locked system calls";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Same,
    /// Within what is allowed.
    Longer,
    Shorter,
    TooLong,
    /// Locks the bus or calls the system more often, which takes far longer than an instruction.
    Dearer,
    /// Nothing is known from before.
    New,
}

impl Verdict {
    /// By how many per cent it may have grown is `allowed`.
    pub fn of(now: Cost, before: Option<Cost>, allowed: f64) -> Verdict {
        let Some(before) = before else { return Verdict::New };
        if now.locked > before.locked || now.system_calls > before.system_calls {
            Verdict::Dearer
        } else if now.instructions * 100.0 > before.instructions * (100.0 + allowed) {
            Verdict::TooLong
        } else if now.instructions > before.instructions {
            Verdict::Longer
        } else if now == before {
            Verdict::Same
        } else {
            Verdict::Shorter
        }
    }

    pub fn is_bad(self) -> bool {
        matches!(self, Verdict::TooLong | Verdict::Dearer | Verdict::New)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Same => "",
            Verdict::Longer => "longer, but within what is allowed",
            Verdict::Shorter => "cheaper: --bless keeps it so",
            Verdict::TooLong => "TOO LONG",
            Verdict::Dearer => "TOO DEAR: more that lock the bus, or more system calls",
            Verdict::New => "NOT IN THE BASELINE",
        })
    }
}
