//! Two sums under a lock: a word that says only whether it is locked, or a mutex, which knows by whom.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use pshared::contend::{Contest, Subject};
use pshared::{Mutex, ShmData, ShmSafe};

/// When its holder is killed, nobody ever unlocks it.
pub fn buggy() -> Contest<Spinning> {
    Contest::new(Spinning).kill_rate(0.5).kill_within(Duration::from_micros(2)).deadline(Duration::from_millis(500))
}

pub fn repaired() -> Contest<Owning> {
    Contest::new(Owning).kill_rate(0.5).kill_within(Duration::from_micros(2))
}

/// Under a lock word.
#[repr(C)]
#[derive(ShmSafe)]
pub struct Spun {
    locked: AtomicU32,
    sum: AtomicU64,
    times: AtomicU64,
}

/// Under a lock that knows its owner.
#[repr(C)]
#[derive(ShmSafe)]
pub struct Owned {
    sums: Mutex<Sums>,
}

#[repr(C)]
#[derive(Clone, Debug, PartialEq, ShmData)]
pub struct Sums {
    sum: u64,
    times: u64,
}

pub struct Spinning;

impl Subject for Spinning {
    type Shared = Spun;
    type Op = u64;
    type Answer = ();
    type Model = Sums;

    fn create(&self) -> pshared::Result<Spun> {
        Ok(Spun { locked: AtomicU32::new(0), sum: AtomicU64::new(0), times: AtomicU64::new(0) })
    }

    fn ops(&self) -> impl Strategy<Value = u64> {
        1..10_u64
    }

    fn run(&self, spun: &Spun, more: &u64) {
        while spun.locked.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            std::thread::yield_now();
        }
        spun.sum.store(spun.sum.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        spun.times.store(spun.times.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        spun.locked.store(0, Ordering::Release);
    }

    fn model(&self) -> Sums {
        Sums { sum: 0, times: 0 }
    }

    fn apply(&self, sums: &mut Sums, more: &u64) {
        *sums = Sums { sum: sums.sum + more, times: sums.times + 1 };
    }

    fn state(&self, spun: &Spun) -> Sums {
        Sums { sum: spun.sum.load(Ordering::Relaxed), times: spun.times.load(Ordering::Relaxed) }
    }

    /// Also between the two.
    fn killed(&self, sums: &Sums, more: &u64) -> Vec<Sums> {
        let mut done = sums.clone();
        self.apply(&mut done, more);
        vec![sums.clone(), Sums { sum: done.sum, ..*sums }, done]
    }
}

pub struct Owning;

impl Subject for Owning {
    type Shared = Owned;
    type Op = u64;
    type Answer = ();
    type Model = Sums;

    fn create(&self) -> pshared::Result<Owned> {
        Ok(Owned { sums: Mutex::new(Sums { sum: 0, times: 0 }) })
    }

    fn ops(&self) -> impl Strategy<Value = u64> {
        1..10_u64
    }

    fn run(&self, owned: &Owned, more: &u64) {
        let mut sums = owned.sums.lock_or_recover(|_, _| {}).unwrap();
        sums.sum += more;
        sums.times += 1;
    }

    fn model(&self) -> Sums {
        Spinning.model()
    }

    fn apply(&self, sums: &mut Sums, more: &u64) {
        Spinning.apply(sums, more);
    }

    fn state(&self, owned: &Owned) -> Sums {
        owned.sums.lock_or_recover(|_, _| {}).unwrap().clone()
    }

    fn killed(&self, sums: &Sums, more: &u64) -> Vec<Sums> {
        Spinning.killed(sums, more)
    }
}
