//! How much work is a sample, where a team does it and says how long it took.

use crate::run::Effort;

/// The nanoseconds that some rounds took, or why they didn't come to their end.
pub type Played = Result<u64, String>;

/// How many rounds are a sample, found out when the first one is taken.
#[derive(Default)]
pub struct Rounds(u64);

impl Rounds {
    /// Nanoseconds for one round; begins with `first` rounds to see how long they take.
    pub fn sample(&mut self, effort: Effort, first: u64, mut play: impl FnMut(u64) -> Played) -> Result<f64, String> {
        if self.0 == 0 {
            let mut rounds = first;
            let mut nanos = play(rounds)?;
            while effort != Effort::Test && u128::from(nanos) * 4 < effort.sample().as_nanos() {
                rounds *= 4;
                nanos = play(rounds)?;
            }
            let wanted = effort.sample().as_nanos() as f64 / nanos as f64;
            self.0 = ((rounds as f64 * wanted) as u64).max(first.min(2));
        }
        Ok(play(self.0)? as f64 / self.0 as f64)
    }
}
