//! The books of the barrier: how many were told that their round was completed, and how many of them as its leader.

use std::ops::{Add, Sub};

#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Rounds {
    pub leaders: u64,
    pub others: u64,
}

impl Rounds {
    /// Of a desk's two halves.
    pub fn of(word: u64) -> Rounds {
        Rounds { leaders: word >> 32, others: word & u64::from(u32::MAX) }
    }

    /// Whether so many can have been told of completed rounds, when nobody is in one. `open` were killed while they waited:
    /// each of them may have been one of a round that was completed, on its way out.
    pub fn are_possible(self, participants: u64, open: u64) -> bool {
        let missing = |rounds: u64| (rounds * participants).checked_sub(self.leaders + self.others);
        (self.leaders..=self.leaders + open).any(|rounds| {
            let others = rounds * (participants - 1);
            others >= self.others && missing(rounds).is_some_and(|missing| missing <= open)
        })
    }
}

impl Add for Rounds {
    type Output = Rounds;

    fn add(self, more: Rounds) -> Rounds {
        Rounds { leaders: self.leaders + more.leaders, others: self.others + more.others }
    }
}

impl Sub for Rounds {
    type Output = Rounds;

    fn sub(self, earlier: Rounds) -> Rounds {
        Rounds { leaders: self.leaders - earlier.leaders, others: self.others - earlier.others }
    }
}
