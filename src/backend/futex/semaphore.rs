//! The semaphore: a count that is posted by anyone, from signal handlers too, and never loses a permit with a thread
//! that is killed.
//!
//! # Why
//!
//! A poster killed between adding a permit and waking somebody leaves the permit there and everybody asleep. It can't
//! announce itself to the kernel, because it may be a signal handler and the announcement another's. So while somebody may
//! be asleep, adding and waking are one FUTEX_WAKE_OP.
//!
//! # State
//!
//! | `word` | meaning |
//! |---|---|
//! | value, bits 0–29 | permits that are there |
//! | M, bit 30 | somebody who waits for any of several may be asleep on `any` |
//! | W, bit 31 | somebody may be asleep on the relay; never clear with somebody asleep |
//!
//! `relay` and `any` are always 0. `settled` is 0 where the semaphore is not (yet) in shared memory: then it is one of this
//! process, where threads aren't killed one by one, may be moved while nobody waits, and announces nothing. `kind` and
//! `withheld` are fixed, `misses` is a hint.
//!
//! | kind | a post while W is set |
//! |---|---|
//! | open | adds, and wakes as many, by one FUTEX_WAKE_OP |
//! | binary | ORs 1, and wakes one, by one FUTEX_WAKE_OP: any number at once make one permit |
//! | limited | adds by a compare-exchange, for the kernel can't keep a maximum, and wakes as many by the next call |
//!
//! # Invariants
//!
//! 1. While somebody is asleep on the relay, at least as many waiters as there are permits are awake and will look at
//!    the word before they sleep or give up, or are dead and the kernel has woken others in their place ([`Relay`]), or a
//!    poster to a limited one is about to wake them.
//! 2. Nobody goes to sleep beside a permit: the word is compared, value and W at one moment, once he is queued on the relay.
//! 3. W is set only where there is no permit, and cleared only together with waking everybody on the relay, after a
//!    wake-up that found too few. So while it is set the value is at most the number of sleepers found, far from M.
//! 4. Who waits for any of several is a visitor, whom nobody counts on and whose death loses nothing. Everybody on `any` is
//!    woken, M being cleared with it, after each post that finds M set afterwards.
//! 5. Sleepers look up by themselves now and then: a poster to a limited one may have died before it woke them, and the
//!    kernel hands nothing on for a waiter whose memory was reaped before it could look (`process_mrelease`).
//! 6. Posting touches this memory and nothing else: neither the thread's record nor `list_op_pending`.
//!
//! # Memory orderings
//!
//! Posting is Release and taking Acquire, on `word`; every change of it is a read-modify-write, so a taker sees what all
//! earlier posters did. A post that finds no room writes the word as it is, for the same effect.
//!
//! # Limits
//!
//! A poster that is killed between adding to a limited one and waking, and a woken waiter whose memory is reaped before the
//! kernel could look, delay the sleepers by up to a second. More than 2047
//! permits posted at once while somebody sleeps are added in portions. A waiter that is stopped (SIGSTOP) after it was woken
//! keeps one permit waiting for it, or for anybody who comes by.
//!
//! The protocol is `tests/models/semaphore.py`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::errno::Errno;

use super::relay::Relay;
use super::thread;
use super::watch::Watch;
use crate::atomic::{AtomicU32, Hint};
use crate::backend::{Posted, RawSemaphore, Refused};
use crate::deadline::{Deadline, Patience};
use crate::error::{Error, Result};
use crate::sys;
use crate::sys::futex::{Change, Expected, wake_and_change};

const WAITERS_BIT: u32 = 31;
const ANY_BIT: u32 = 30;
const WAITERS: u32 = 1 << WAITERS_BIT;
const ANY: u32 = 1 << ANY_BIT;
const VALUE: u32 = ANY - 1;

/// The most that one FUTEX_WAKE_OP can add.
const PORTION: u32 = 2047;

/// How long a sleeper sleeps before it looks up.
const SLICE: Duration = Duration::from_secs(1);

/// What `kind` holds; see the table above. 0 is open.
const LIMITED: u32 = 1;
const BINARY: u32 = 2;

/// A semaphore. 32 bytes; all zero it has no permits, room for as many as there can be, and is not settled.
#[repr(C)]
#[derive(Debug)]
pub struct FutexSemaphore {
    word: AtomicU32,
    relay: Relay,
    any: AtomicU32,
    settled: AtomicU32,
    kind: AtomicU32,
    /// [`VALUE`] less the maximum.
    withheld: AtomicU32,
    /// See [`Watch`].
    misses: Hint,
    spare: AtomicU32,
}

static_assertions::const_assert_eq!(std::mem::size_of::<FutexSemaphore>(), 32);

#[inline]
const fn value(word: u32) -> u32 {
    word & VALUE
}

// SAFETY: a permit is taken by the compare-exchange that takes 1 from the value, once; the value grows by posting only.
unsafe impl RawSemaphore for FutexSemaphore {
    const MAX: u32 = VALUE;
    const TAKEN: Self = FutexSemaphore::with(0, 1, BINARY);
    const FREE: Self = FutexSemaphore::with(1, 1, BINARY);

    fn new(permits: u32, max: u32) -> Self {
        FutexSemaphore::with(permits, max, if max < Self::MAX { LIMITED } else { 0 })
    }

    #[inline]
    fn take_at_once(&self) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        while value(word) > 0 {
            match self.word.compare_exchange(word, word - 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => word = other,
            }
        }
        false
    }

    fn take(&self, patience: Patience) -> Result<(), Refused> {
        if matches!(patience, Patience::None) {
            return if self.take_at_once() { Ok(()) } else { Err(Refused::WouldBlock) };
        }
        if self.take_watching() {
            return Ok(());
        }
        if self.settled.load(Ordering::Relaxed) == 0 {
            return self.take_sleeping(patience);
        }
        thread::with(|me| {
            me.refresh().map_err(Refused::Failed)?;
            self.relay.announce(me);
            let taken = self.take_sleeping(patience);
            me.clear_pending();
            taken
        })
    }

    #[inline]
    fn post(&self, permits: u32) -> Result<Posted> {
        let word = self.word.load(Ordering::Relaxed);
        if word & (WAITERS | ANY) == 0
            && self.has_room(word, permits)
            && self.word.compare_exchange(word, word + permits, Ordering::Release, Ordering::Relaxed).is_ok()
        {
            return Ok(Posted::Done);
        }
        self.post_contended(permits)
    }

    fn value(&self) -> u32 {
        value(self.word.load(Ordering::Relaxed))
    }

    fn max(&self) -> u32 {
        VALUE.saturating_sub(self.withheld.load(Ordering::Relaxed))
    }

    unsafe fn settle(&self) -> Result<()> {
        self.word.store(self.value(), Ordering::Relaxed);
        self.relay.clear();
        self.any.store(0, Ordering::Relaxed);
        self.settled.store(1, Ordering::Relaxed);
        Ok(())
    }

    unsafe fn teardown(&self) {}
}

impl FutexSemaphore {
    const fn with(permits: u32, max: u32, kind: u32) -> FutexSemaphore {
        FutexSemaphore {
            word: AtomicU32::new(permits),
            relay: Relay::new(),
            any: AtomicU32::new(0),
            settled: AtomicU32::new(0),
            kind: AtomicU32::new(kind),
            withheld: AtomicU32::new(VALUE - max),
            misses: Hint::new(0),
            spare: AtomicU32::new(0),
        }
    }

    #[inline]
    fn has_room(&self, word: u32, permits: u32) -> bool {
        permits <= self.max().saturating_sub(value(word))
    }

    // Posting.

    #[cold]
    #[inline(never)]
    fn post_contended(&self, permits: u32) -> Result<Posted> {
        let mut left = permits;
        while left > 0 {
            let word = self.word.load(Ordering::Relaxed);
            let has_room = self.has_room(word, left);
            if has_room && word & WAITERS != 0 && self.kind.load(Ordering::Relaxed) != LIMITED {
                left -= self.add_and_wake(left).map_err(cannot_wake)?;
                continue;
            }
            let new = if has_room { word + left } else { word };
            if self.word.compare_exchange(word, new, Ordering::Release, Ordering::Relaxed).is_err() {
                continue;
            }
            if !has_room {
                return Ok(Posted::Full);
            }
            if word & WAITERS != 0 {
                self.wake(left).map_err(cannot_wake)?;
            }
            left = 0;
        }
        if self.word.load(Ordering::Relaxed) & ANY != 0 {
            // It comes after the permit, or a visitor would sleep beside it again.
            let clear = Change::ClearBit(ANY_BIT);
            wake_and_change(&self.any, i32::MAX, &self.word, clear).map_err(cannot_wake)?;
        }
        Ok(Posted::Done)
    }

    /// Adds permits and wakes as many, as one step; says how many.
    fn add_and_wake(&self, permits: u32) -> Result<u32, Errno> {
        let portion = permits.min(PORTION);
        let is_binary = self.kind.load(Ordering::Relaxed) == BINARY;
        let change = if is_binary { Change::SetBit(0) } else { Change::Add(portion) };
        let woken = self.relay.wake_and_change(portion as i32, &self.word, change)?;
        self.drop_waiters_after(woken, portion)?;
        Ok(portion)
    }

    fn wake(&self, permits: u32) -> Result<(), Errno> {
        let woken = self.relay.wake(i32::try_from(permits).unwrap_or(i32::MAX))?;
        self.drop_waiters_after(woken, permits)
    }

    /// Where there were fewer sleepers than wanted, W goes, together with waking everybody who came in between.
    fn drop_waiters_after(&self, woken: usize, wanted: u32) -> Result<(), Errno> {
        if woken < wanted as usize {
            self.relay.wake_and_change(i32::MAX, &self.word, Change::ClearBit(WAITERS_BIT))?;
        }
        Ok(())
    }

    // Taking.

    fn take_watching(&self) -> bool {
        if self.take_at_once() {
            return true; // posted before this thread came to watch, which says nothing of watching
        }
        let mut watch = Watch::new(&self.misses);
        while watch.pause() {
            if self.take_at_once() {
                watch.paid();
                return true;
            }
        }
        watch.failed();
        false
    }

    /// Takes a permit, sleeping until there is one. The relay has been announced, if the semaphore is settled.
    fn take_sleeping(&self, patience: Patience) -> Result<(), Refused> {
        let deadline = match patience {
            Patience::Until(deadline) => Some(deadline),
            Patience::None | Patience::Forever => None,
        };
        loop {
            let word = self.word.load(Ordering::Relaxed);
            if value(word) > 0 {
                if self.word.compare_exchange(word, word - 1, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    return Ok(());
                }
                continue;
            }
            // The word was looked at since the last sleep; only now the clock.
            if deadline.is_some_and(Deadline::has_passed) {
                return Err(Refused::TimedOut);
            }
            let asleep = word | WAITERS;
            if word == asleep || self.replace(word, asleep) {
                self.sleep(asleep, deadline).map_err(cannot_sleep)?;
            }
        }
    }

    fn sleep(&self, asleep: u32, deadline: Option<Deadline>) -> Result<(), Errno> {
        let words = [self.relay.expected(), Expected::new(&self.word, asleep)];
        self.relay.sleep(&words, Some(Deadline::or_slice(deadline, SLICE))).map(drop)
    }

    fn replace(&self, word: u32, by: u32) -> bool {
        self.word.compare_exchange(word, by, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    // Waiting for any of several.

    /// The words to sleep on until there may be a permit; `None` if there is one already.
    pub(super) fn prepare_for_any(&self) -> Option<[Expected<'_>; 2]> {
        if self.any.load(Ordering::Relaxed) != 0 {
            self.any.store(0, Ordering::Relaxed); // somebody scribbled over it: nobody could ever sleep here again
        }
        loop {
            let word = self.word.load(Ordering::Relaxed);
            if value(word) > 0 {
                return None;
            }
            let asleep = word | ANY;
            if word == asleep || self.replace(word, asleep) {
                return Some([Expected::new(&self.any, 0), Expected::new(&self.word, asleep)]);
            }
        }
    }
}

fn cannot_wake(errno: Errno) -> Error {
    sys::failed("futex(FUTEX_WAKE_OP)", "a semaphore", errno, "the kernel must have futexes and allow them")
}

fn cannot_sleep(errno: Errno) -> Refused {
    let advice = "the kernel must have futexes and allow them";
    Refused::Failed(sys::failed("futex_waitv", "a semaphore", errno, advice))
}
