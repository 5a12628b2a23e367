//! Structs with a bug, each with the same struct without it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use pshared::contend::{Contest, Problem, Subject};
use pshared::{Mutex, ShmData, ShmSafe};

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

/// Words that are written together, under a sequence that is odd while they are: a seqlock.
#[repr(C)]
#[derive(ShmSafe)]
struct Pair {
    writers: Mutex<()>,
    sequence: AtomicU64,
    words: [AtomicU64; WORDS],
}

const WORDS: usize = 8;

/// When the writer tells the readers.
#[derive(Clone, Copy, PartialEq)]
enum Fence {
    Both,
    /// Without the fence the odd sequence may be seen after the words, and be even again by then.
    OnlyAfter,
}

struct Seqlock(Fence);

#[derive(Clone, Debug)]
enum Op {
    Write(u64),
    Read,
}

impl Subject for Seqlock {
    type Shared = Pair;
    type Op = Op;
    type Answer = [u64; WORDS];
    type Model = [u64; WORDS];

    fn create(&self) -> pshared::Result<Pair> {
        Ok(Pair { writers: Mutex::new(()), sequence: AtomicU64::new(0), words: [const { AtomicU64::new(0) }; WORDS] })
    }

    fn ops(&self) -> impl Strategy<Value = Op> {
        prop_oneof![(1..100_u64).prop_map(Op::Write), Just(Op::Read)]
    }

    fn run(&self, pair: &Pair, op: &Op) -> [u64; WORDS] {
        match op {
            Op::Write(value) => pair.write(*value, self.0),
            Op::Read => pair.read(),
        }
    }

    fn model(&self) -> [u64; WORDS] {
        [0; WORDS]
    }

    fn apply(&self, words: &mut [u64; WORDS], op: &Op) -> [u64; WORDS] {
        if let Op::Write(value) = op {
            *words = [*value; WORDS];
        }
        *words
    }

    fn state(&self, pair: &Pair) -> [u64; WORDS] {
        pair.read()
    }
}

impl Pair {
    fn write(&self, value: u64, fence: Fence) -> [u64; WORDS] {
        let _alone = self.writers.lock().unwrap();
        let before = self.sequence.load(Ordering::Relaxed);
        if fence == Fence::Both {
            self.sequence.store(before + 1, Ordering::Relaxed);
            std::sync::atomic::fence(Ordering::Release);
        }
        self.words.iter().for_each(|word| word.store(value, Ordering::Relaxed));
        self.sequence.store(before + 2, Ordering::Release);
        [value; WORDS]
    }

    fn read(&self) -> [u64; WORDS] {
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            let words = std::array::from_fn(|at| self.words[at].load(Ordering::Relaxed));
            std::sync::atomic::fence(Ordering::Acquire);
            if before % 2 == 0 && self.sequence.load(Ordering::Relaxed) == before {
                return words;
            }
            std::hint::spin_loop();
        }
    }
}

/// Nobody is killed: a seqlock has no owner who could be missed.
fn seqlock(fence: Fence) -> Contest<Seqlock> {
    Contest::new(Seqlock(fence)).kill_rate(0.0)
}

#[test]
fn a_seqlock_without_its_first_fence_is_caught() {
    let error = seqlock(Fence::OnlyAfter).plans(20_000).run().unwrap_err();
    println!("{error}");
    let failure = error.failure().expect("a failure");
    assert_eq!(failure.problem, Problem::WrongAnswers, "{error}");
}

#[test]
fn a_seqlock_with_both_fences_passes() {
    seqlock(Fence::Both).plans(500).passes();
}

/// A sum under a lock word that says only whether it is locked.
#[repr(C)]
#[derive(ShmSafe)]
struct Spun {
    locked: AtomicU32,
    sum: AtomicU64,
    times: AtomicU64,
}

/// The same under a lock that knows its owner.
#[repr(C)]
#[derive(ShmSafe)]
struct Owned {
    sums: Mutex<Sums>,
}

#[repr(C)]
#[derive(Clone, Debug, PartialEq, ShmData)]
struct Sums {
    sum: u64,
    times: u64,
}

struct Spinning;

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

    fn killed(&self, sums: &Sums, more: &u64) -> Vec<Sums> {
        let mut done = sums.clone();
        self.apply(&mut done, more);
        vec![sums.clone(), Sums { sum: done.sum, ..*sums }, done]
    }
}

struct Owning;

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

#[test]
fn a_lock_word_without_owner_is_caught() {
    let contest = Contest::new(Spinning).plans(20_000).kill_rate(0.5).kill_within(Duration::from_micros(2));
    let error = contest.deadline(Duration::from_millis(400)).pauses(Duration::from_micros(50)).run().unwrap_err();
    println!("{error}");
    let failure = error.failure().expect("a failure");
    assert!(matches!(failure.problem, Problem::Hang { .. }), "{error}");
}

#[test]
fn a_lock_word_with_an_owner_passes() {
    let contest = Contest::new(Owning).plans(1000).kill_rate(0.5).kill_within(Duration::from_micros(2));
    contest.passes();
}
