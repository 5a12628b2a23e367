//! Random numbers from a seed that is told.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

pub struct Random(Cell<u64>);

impl Random {
    /// The seed is another one each time, and told; `PSHARED_SEED` is one to begin with again.
    pub fn new() -> Random {
        let given = std::env::var("PSHARED_SEED").ok();
        let seed = match &given {
            Some(seed) => u64::from_str_radix(seed.trim_start_matches("0x"), 16).expect("PSHARED_SEED in hexadecimal"),
            None => RandomState::new().build_hasher().finish(),
        };
        eprintln!("PSHARED_SEED={seed:#x}");
        Random::from(seed)
    }

    pub fn from(seed: u64) -> Random {
        Random(Cell::new(seed | 1))
    }

    pub fn next(&self) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&self, n: usize) -> usize {
        (self.next() >> 16) as usize % n
    }

    pub fn of<T: Copy>(&self, choice: &[T]) -> T {
        choice[self.below(choice.len())]
    }

    /// Once in `n` times.
    pub fn once_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }
}
