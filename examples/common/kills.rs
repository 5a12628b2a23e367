//! When to kill.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Moments for so many kills, all of them before the work is done.
///
/// The work is cut into parts, one more than there are kills. In each but the last there is a kill at a random moment, and
/// nobody may begin the next part before.
pub struct Kills {
    wanted: u32,
    made: u32,
    work: u64,
    /// The next kill is due when so much is done.
    moment: u64,
}

impl Kills {
    pub fn new(wanted: u32, work: u64) -> Self {
        let mut kills = Kills { wanted, made: 0, work, moment: 0 };
        kills.choose_moment();
        kills
    }

    /// How much of the work may be done before the next kill.
    pub fn released(&self) -> u64 {
        self.end_of_part(self.made)
    }

    pub fn are_due(&self, done: u64) -> bool {
        self.made < self.wanted && self.moment <= done
    }

    pub fn one_made(&mut self) {
        self.made += 1;
        self.choose_moment();
    }

    fn choose_moment(&mut self) {
        let begin = self.made.checked_sub(1).map_or(0, |part| self.end_of_part(part));
        let len = u32::try_from(self.released() - begin).unwrap_or(u32::MAX);
        self.moment = begin + u64::from(random(len.max(1)));
    }

    fn end_of_part(&self, part: u32) -> u64 {
        (u128::from(self.work) * u128::from(part + 1) / u128::from(self.wanted + 1)) as u64
    }
}

/// A random number below `end`, which is not 0.
pub fn random(end: u32) -> u32 {
    (RandomState::new().build_hasher().finish() % u64::from(end)) as u32
}
