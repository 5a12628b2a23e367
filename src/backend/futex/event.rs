//! The manual-reset event: a flag that everybody waits for, in one word.
//!
//! # State
//!
//! | `word` | meaning |
//! |---|---|
//! | generation, bits 0–29 | how often it was reset |
//! | S, bit 30 | set |
//! | W, bit 31 | somebody may be asleep; never clear with somebody asleep |
//!
//! # Invariants
//!
//! 1. S is set by a compare-exchange while W is clear, or else together with waking everybody, by one FUTEX_WAKE_OP. It
//!    ORs, so two at once do no harm, and one that is killed has set the event or hasn't.
//! 2. So while S is set nobody is asleep, and resetting drops W as well.
//! 3. Resetting begins a new generation. Who finds another generation than the one he came in was let pass by what
//!    set the event before that.
//! 4. Nobody hands a wake-up on, so one that dies takes none along.
//!
//! # Memory orderings
//!
//! Setting is Release, also where it is set already, and passing is Acquire. All changes are read-modify-writes.
//!
//! # Limits
//!
//! 2³⁰ resets during one wait are taken for none.
//!
//! The protocol is `tests/models/event.py`.

use std::sync::atomic::{AtomicU32, Ordering};

use super::watch::Watch;
use crate::backend::{RawEvent, Refused};
use crate::deadline::{Deadline, Patience};
use crate::error::Result;
use crate::sys;
use crate::sys::futex::{self, Change, Expected};

const WAITERS: u32 = 1 << 31;
const SET_BIT: u32 = 30;
const SET: u32 = 1 << SET_BIT;
const GENERATION: u32 = SET - 1;

/// A manual-reset event. 8 bytes, all zero when it isn't set.
#[repr(C)]
#[derive(Debug)]
pub struct FutexEvent {
    word: AtomicU32,
    /// See [`Watch`].
    misses: AtomicU32,
}

static_assertions::const_assert_eq!(std::mem::size_of::<FutexEvent>(), 8);

// SAFETY: setting is a Release and passing an Acquire of the one word, see the orderings above.
unsafe impl RawEvent for FutexEvent {
    const UNSET: Self = FutexEvent::with(0);
    const SET: Self = FutexEvent::with(SET);

    #[inline]
    fn is_set(&self) -> bool {
        self.word.load(Ordering::Acquire) & SET != 0
    }

    fn set(&self) -> Result<()> {
        loop {
            let word = self.word.load(Ordering::Relaxed);
            if word & (SET | WAITERS) == WAITERS {
                return futex::wake_and_change(&self.word, i32::MAX, &self.word, Change::SetBit(SET_BIT))
                    .map(drop)
                    .map_err(|errno| failed("futex(FUTEX_WAKE_OP)", errno));
            }
            if self.word.compare_exchange(word, word | SET, Ordering::Release, Ordering::Relaxed).is_ok() {
                return Ok(());
            }
        }
    }

    fn reset(&self) {
        let next = |word: u32| (word & SET != 0).then_some(word.wrapping_add(1) & GENERATION);
        // Err means that it wasn't set.
        let _ = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    fn wait(&self, patience: Patience) -> Result<(), Refused> {
        if self.is_set() {
            return Ok(());
        }
        self.wait_unset(patience)
    }

    unsafe fn settle(&self) -> Result<()> {
        self.word.store(self.word.load(Ordering::Relaxed) & !WAITERS, Ordering::Relaxed);
        Ok(())
    }

    unsafe fn teardown(&self) {}
}

/// The generation in which somebody began to wait.
#[derive(Clone, Copy)]
pub(super) struct Since(u32);

impl FutexEvent {
    const fn with(word: u32) -> FutexEvent {
        FutexEvent { word: AtomicU32::new(word), misses: AtomicU32::new(0) }
    }

    pub(super) fn now(&self) -> Since {
        Since(self.word.load(Ordering::Relaxed) & GENERATION)
    }

    /// Whether it is set, or was since then (invariant 3).
    pub(super) fn was_set(&self, since: Since) -> bool {
        let word = self.word.load(Ordering::Acquire);
        word & SET != 0 || word & GENERATION != since.0
    }

    #[cold]
    fn wait_unset(&self, patience: Patience) -> Result<(), Refused> {
        let since = self.now();
        let deadline = match patience {
            Patience::None if self.is_set() => return Ok(()),
            Patience::None => return Err(Refused::WouldBlock),
            Patience::Until(deadline) => Some(deadline),
            Patience::Forever => None,
        };
        let mut watch = Watch::new(&self.misses);
        while watch.pause() {
            if self.was_set(since) {
                watch.paid();
                return Ok(());
            }
        }
        watch.failed();
        loop {
            if self.was_set(since) {
                return Ok(());
            }
            // The word was looked at since the last sleep; only now the clock.
            if deadline.is_some_and(Deadline::has_passed) {
                return Err(Refused::TimedOut);
            }
            if let Some(asleep) = self.prepare(since) {
                let until = deadline.map(Deadline::moment);
                asleep.wait(until).map_err(|errno| Refused::Failed(failed("futex(FUTEX_WAIT_BITSET)", errno)))?;
            }
        }
    }

    /// The word to sleep on until it is set; `None` if it was since then.
    pub(super) fn prepare(&self, since: Since) -> Option<Expected<'_>> {
        let asleep = since.0 | WAITERS;
        match self.word.compare_exchange(since.0, asleep, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Some(Expected::new(&self.word, asleep)),
            Err(word) => (word == asleep).then(|| Expected::new(&self.word, asleep)),
        }
    }
}

fn failed(call: &'static str, errno: nix::errno::Errno) -> crate::Error {
    sys::failed(call, "an event", errno, "the kernel must have futexes and allow them")
}
