//! What the workers of a plan note down while they are at it, in memory that outlives them.
//!
//! A worker may be killed between any two stores. It notes an operation's beginning before it begins, and its end after
//! everything else about it: what has an end has an answer.

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::contest::{MOST_OPERATIONS, MOST_PROCESSES};
use crate::ShmSafe;

/// One plan's history; used again for the next one.
#[repr(C)]
#[derive(ShmSafe)]
pub(super) struct History {
    /// Counts the beginnings and ends of all operations: what has a smaller number came first.
    clock: AtomicU64,
    ready: AtomicU32,
    /// Workers that haven't come to their end; the killed count as such.
    at_work: AtomicU32,
    /// Operations that have ended.
    ended: AtomicU32,
    /// Workers that are on their way to an instruction, slowly: until they are there, others begin nothing.
    stepping: AtomicU32,
    pub(super) workers: [Notes; MOST_PROCESSES],
}

/// A worker's notes.
#[repr(C)]
#[derive(ShmSafe)]
pub(super) struct Notes {
    /// How often it was stalled.
    pub(super) stalls: AtomicU32,
    has_panicked: AtomicBool,
    panic: Text<512>,
    operations: [Operation; MOST_OPERATIONS],
}

#[repr(C)]
#[derive(ShmSafe)]
struct Operation {
    /// 0: not yet.
    began: AtomicU64,
    /// 0: not yet.
    ended: AtomicU64,
    nanoseconds: AtomicU64,
    answer: Text<MOST_ANSWER>,
}

/// How much of an answer's text is kept; the rest is compared by a hash.
const MOST_ANSWER: usize = 104;

/// What is known of an operation afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It never began.
    Nothing,
    /// Its worker died in it.
    Begun { began: u64 },
    /// It came to an end.
    Done { began: u64, ended: u64, took: Duration, answer: Answer },
}

impl History {
    pub(super) fn reset(&self) {
        self.clock.store(0, Ordering::Relaxed);
        for counter in [&self.ready, &self.at_work, &self.ended, &self.stepping] {
            counter.store(0, Ordering::Relaxed);
        }
        for notes in &self.workers {
            notes.stalls.store(0, Ordering::Relaxed);
            notes.has_panicked.store(false, Ordering::Relaxed);
            for operation in &notes.operations {
                operation.began.store(0, Ordering::Relaxed);
                operation.ended.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Waits until `workers` are here.
    pub(super) fn start_together(&self, workers: usize) {
        self.at_work.fetch_add(1, Ordering::SeqCst);
        self.ready.fetch_add(1, Ordering::SeqCst);
        while (self.ready.load(Ordering::SeqCst) as usize) < workers {
            std::thread::yield_now();
        }
    }

    /// The worker has done all that it had to do.
    pub(super) fn leave(&self) {
        self.at_work.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn begin_stepping(&self) {
        self.stepping.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn end_stepping(&self) {
        self.stepping.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether somebody is on its way to an instruction.
    pub(super) fn is_anybody_stepping(&self) -> bool {
        self.stepping.load(Ordering::SeqCst) > 0
    }

    /// How many operations have ended, or `None` if nobody but the caller is left to end any.
    pub(super) fn ended(&self) -> Option<u32> {
        let ended = self.ended.load(Ordering::SeqCst);
        (self.at_work.load(Ordering::SeqCst) > 1).then_some(ended)
    }

    /// Grows whenever a worker begins or ends something.
    pub(super) fn progress(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub(super) fn begin(&self, worker: usize, at: usize) {
        let now = self.clock.fetch_add(1, Ordering::SeqCst) + 1;
        self.workers[worker].operations[at].began.store(now, Ordering::Release);
    }

    /// The moment by which what was begun has ended.
    pub(super) fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// `ended` is what [`now`](History::now) said.
    pub(super) fn end(&self, worker: usize, at: usize, ended: u64, took: Duration, answer: &Answer) {
        let operation = &self.workers[worker].operations[at];
        operation.nanoseconds.store(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        operation.answer.write(answer);
        operation.ended.store(ended, Ordering::Release);
        self.ended.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn seen(&self, worker: usize, at: usize) -> Seen {
        let operation = &self.workers[worker].operations[at];
        match (operation.began.load(Ordering::Acquire), operation.ended.load(Ordering::Acquire)) {
            (0, _) => Seen::Nothing,
            (began, 0) => Seen::Begun { began },
            (began, ended) => {
                let took = Duration::from_nanos(operation.nanoseconds.load(Ordering::Relaxed));
                Seen::Done { began, ended, took, answer: operation.answer.read() }
            }
        }
    }

    pub(super) fn panicked(&self, worker: usize, message: &str) {
        self.workers[worker].panic.write(&Answer::from_text(message));
        self.workers[worker].has_panicked.store(true, Ordering::Release);
    }

    pub(super) fn panic(&self, worker: usize) -> Option<String> {
        let notes = &self.workers[worker];
        notes.has_panicked.load(Ordering::Acquire).then(|| notes.panic.read().to_string())
    }
}

/// What an operation answered: the text that its `Debug` writes, as much of it as there is room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    text: String,
    whole: u64,
}

impl Answer {
    pub(super) fn of(answer: &impl Debug) -> Answer {
        Answer::from_text(&format!("{answer:?}")).cut(MOST_ANSWER)
    }

    fn from_text(text: &str) -> Answer {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Answer { text: text.into(), whole: hasher.finish() }
    }

    fn cut(mut self, most: usize) -> Answer {
        while self.text.len() > most {
            self.text.pop();
        }
        self
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)?;
        if Answer::from_text(&self.text).whole == self.whole { Ok(()) } else { f.write_str("…") }
    }
}

/// A text of a killed writer: read only where something else says that it is whole.
#[repr(C)]
#[derive(ShmSafe)]
struct Text<const N: usize> {
    whole: AtomicU64,
    len: AtomicU32,
    bytes: [AtomicU8; N],
}

impl<const N: usize> Text<N> {
    fn write(&self, answer: &Answer) {
        let answer = answer.clone().cut(N);
        for (byte, of) in self.bytes.iter().zip(answer.text.bytes()) {
            byte.store(of, Ordering::Relaxed);
        }
        self.len.store(answer.text.len() as u32, Ordering::Relaxed);
        self.whole.store(answer.whole, Ordering::Relaxed);
    }

    fn read(&self) -> Answer {
        let bytes = self.bytes.iter().take(self.len.load(Ordering::Relaxed) as usize);
        let bytes: Vec<u8> = bytes.map(|byte| byte.load(Ordering::Relaxed)).collect();
        Answer { text: String::from_utf8_lossy(&bytes).into_owned(), whole: self.whole.load(Ordering::Relaxed) }
    }
}
