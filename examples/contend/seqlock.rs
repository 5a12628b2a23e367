//! A seqlock: words that readers read without a lock, and read again if the sequence says that somebody wrote meanwhile.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use proptest::prelude::*;
use pshared::contend::{Contest, Subject};
use pshared::{Mutex, ShmSafe};

pub struct Seqlock(Look);

/// When a reader looks at the sequence for the second time.
#[derive(Clone, Copy, PartialEq)]
enum Look {
    /// When it has read the words, as a fence makes sure.
    Last,
    /// Without the fence, processor and compiler may look before that, which is what this does.
    Early,
}

/// Nobody is killed: whoever reads waits for a writer, and nobody would tell of a dead one.
pub fn buggy() -> Contest<Seqlock> {
    Contest::new(Seqlock(Look::Early)).kill_rate(0.0)
}

pub fn repaired() -> Contest<Seqlock> {
    Contest::new(Seqlock(Look::Last)).kill_rate(0.0)
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
            Op::Write(value) => shared.write(*value),
            Op::Read => shared.read(self.0),
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
        shared.read(Look::Last)
    }
}

impl Words {
    fn write(&self, value: u64) -> [u64; WORDS] {
        let _alone = self.writers.lock().unwrap();
        let before = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(before + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        self.words.iter().for_each(|word| word.store(value, Ordering::Relaxed));
        self.sequence.store(before + 2, Ordering::Release);
        [value; WORDS]
    }

    fn read(&self, look: Look) -> [u64; WORDS] {
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            let early = self.sequence.load(Ordering::Acquire);
            let words = std::array::from_fn(|at| self.words[at].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            let after = if look == Look::Early { early } else { self.sequence.load(Ordering::Relaxed) };
            if before.is_multiple_of(2) && after == before {
                return words;
            }
            std::hint::spin_loop();
        }
    }
}
