//! Structs with a bug, each with the same struct without it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use proptest::prelude::*;
use pshared::contend::{Contest, Problem, Subject};
use pshared::{Mutex, RwLock, ShmData, ShmSafe};

/// A counter that is looked at before it is changed, in two steps or in one.
#[repr(C)]
#[derive(ShmSafe)]
struct Counter {
    count: AtomicU64,
}

struct Counting {
    in_one_step: bool,
}

impl Subject for Counting {
    type Shared = Counter;
    type Op = u64;
    type Answer = u64;
    type Model = u64;

    fn create(&self) -> pshared::Result<Counter> {
        Ok(Counter { count: AtomicU64::new(0) })
    }

    fn ops(&self) -> impl Strategy<Value = u64> {
        1..10_u64
    }

    fn run(&self, counter: &Counter, more: &u64) -> u64 {
        if self.in_one_step {
            return counter.count.fetch_add(*more, Ordering::Relaxed);
        }
        let count = counter.count.load(Ordering::Relaxed);
        counter.count.store(count + more, Ordering::Relaxed);
        count
    }

    fn model(&self) -> u64 {
        0
    }

    fn apply(&self, count: &mut u64, more: &u64) -> u64 {
        *count += more;
        *count - more
    }

    fn state(&self, counter: &Counter) -> u64 {
        counter.count.load(Ordering::Relaxed)
    }
}

#[test]
fn a_counter_that_is_looked_at_first_is_caught() {
    let error = Contest::new(Counting { in_one_step: false }).plans(20_000).run().unwrap_err();
    println!("{error}");
    let failure = error.failure().expect("a failure");
    assert!(matches!(failure.problem, Problem::WrongState { .. } | Problem::WrongAnswers), "{error}");
}

#[test]
fn a_counter_that_is_changed_in_one_step_passes() {
    Contest::new(Counting { in_one_step: true }).plans(1000).passes();
}
