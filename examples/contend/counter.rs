//! A counter: looked at first and changed then, or in one step.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use pshared::contend::{Contest, Subject};

pub struct Counting {
    in_one_step: bool,
}

/// Two that look at the same time count only once.
pub fn buggy() -> Contest<Counting> {
    Contest::new(Counting { in_one_step: false })
}

pub fn repaired() -> Contest<Counting> {
    Contest::new(Counting { in_one_step: true })
}

impl Subject for Counting {
    type Shared = AtomicU64;
    type Op = u64;
    type Answer = u64;
    type Model = u64;

    fn create(&self) -> pshared::Result<AtomicU64> {
        Ok(AtomicU64::new(0))
    }

    fn ops(&self) -> impl Strategy<Value = u64> {
        1..10_u64
    }

    fn run(&self, counter: &AtomicU64, more: &u64) -> u64 {
        if self.in_one_step {
            return counter.fetch_add(*more, Ordering::Relaxed);
        }
        let count = counter.load(Ordering::Relaxed);
        counter.store(count + more, Ordering::Relaxed);
        count
    }

    fn model(&self) -> u64 {
        0
    }

    fn apply(&self, count: &mut u64, more: &u64) -> u64 {
        *count += more;
        *count - more
    }

    fn state(&self, counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
