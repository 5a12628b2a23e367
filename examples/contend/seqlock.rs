//! A seqlock: words that readers read without a lock, and read again if the sequence says that somebody wrote meanwhile.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use proptest::prelude::*;
use pshared::contend::{Contest, Subject};
use pshared::{Mutex, ShmSafe};

pub struct Seqlock(Fence);

/// When the writer tells the readers.
#[derive(Clone, Copy, PartialEq)]
enum Fence {
    /// Before, with a fence, and after.
    Both,
    /// Without the fence the odd sequence may be seen after the words, and be even again by then.
    OnlyAfter,
}

/// Nobody is killed: whoever reads waits for a writer, and nobody would tell of a dead one.
pub fn buggy() -> Contest<Seqlock> {
    Contest::new(Seqlock(Fence::OnlyAfter)).kill_rate(0.0)
}

pub fn repaired() -> Contest<Seqlock> {
    Contest::new(Seqlock(Fence::Both)).kill_rate(0.0)
}

const WORDS: usize = 8;

#[repr(C)]
#[derive(ShmSafe)]
pub struct Words {
    writers: Mutex<()>,
    sequence: AtomicU64,
    words: [AtomicU64; WORDS],
}

#[derive(Clone, Debug)]
pub enum Op {
    Write(u64),
    Read,
}

impl Subject for Seqlock {
    type Shared = Words;
    type Op = Op;
    type Answer = [u64; WORDS];
    type Model = [u64; WORDS];

    fn create(&self) -> pshared::Result<Words> {
        Ok(Words { writers: Mutex::new(()), sequence: AtomicU64::new(0), words: [const { AtomicU64::new(0) }; WORDS] })
    }

    fn ops(&self) -> impl Strategy<Value = Op> {
        prop_oneof![(1..100_u64).prop_map(Op::Write), Just(Op::Read)]
    }

    fn run(&self, shared: &Words, op: &Op) -> [u64; WORDS] {
        match op {
            Op::Write(value) => shared.write(*value, self.0),
            Op::Read => shared.read(),
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

    fn state(&self, shared: &Words) -> [u64; WORDS] {
        shared.read()
    }
}

impl Words {
    fn write(&self, value: u64, told: Fence) -> [u64; WORDS] {
        let _alone = self.writers.lock().unwrap();
        let before = self.sequence.load(Ordering::Relaxed);
        if told == Fence::Both {
            self.sequence.store(before + 1, Ordering::Relaxed);
            fence(Ordering::Release);
        }
        self.words.iter().for_each(|word| word.store(value, Ordering::Relaxed));
        self.sequence.store(before + 2, Ordering::Release);
        [value; WORDS]
    }

    fn read(&self) -> [u64; WORDS] {
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            let words = std::array::from_fn(|at| self.words[at].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.sequence.load(Ordering::Relaxed) == before {
                return words;
            }
            std::hint::spin_loop();
        }
    }
}
