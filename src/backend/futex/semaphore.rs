//! The semaphore: a count that is posted by anyone, from signal handlers too, and never loses a permit with a thread
//! that is killed.
//!
//! # Why
//!
//! A wake-up that comes after the permit is lost if the poster is killed in between, and one that comes with the permit
//! in one FUTEX_WAKE_OP can't keep a maximum: the kernel adds, whatever stands there. So posting wakes first and adds
//! afterwards. The FUTEX_WAKE_OP wakes a sleeper and leaves a *call*; a compare-exchange then turns the call into a permit.
//! Killed between the two, the poster has posted nothing, and the sleeper goes back to sleep.
//!
//! # State
//!
//! | `count` | meaning |
//! |---|---|
//! | value, bits 0–31 | permits that are there |
//! | calls, bits 32–60 | sleepers that were woken for permits that aren't there yet |
//! | V, bit 61 | the value isn't 0 |
//! | M, bit 62 | somebody who waits for any of several may be asleep on `any`; then there is no permit |
//! | W, bit 63 | somebody may be asleep on the relay; never clear with somebody asleep |
//!
//! The kernel compares and changes the upper half only, as one 32-bit word: without V a sleeper would have to compare the
//! value by itself, at another moment than the calls, and might sleep beside both. `relay` and `any` are always 0. `settled` is 0 where the semaphore is not (yet) in shared memory: then it is one of this
//! process, where threads aren't killed one by one, may be moved while nobody waits, and nothing is announced.
//! All else is fixed or a hint.
//!
//! # Invariants
//!
//! 1. While somebody is asleep on the relay, at least value + calls waiters are awake that will look at the count before
//!    they sleep or give up, or are dead and the kernel has woken others in their place ([`Relay`]).
//! 2. So nobody goes to sleep beside a permit or a call: V and the calls are compared once he is queued on the relay. Who is about to sleep or to give up takes the calls back; their
//!    posters find them gone and call again.
//! 3. A permit is added only where as many calls are there, which it uses up, or W is clear.
//! 4. A permit is added only where M is clear. M is cleared together with waking everybody on `any`: they are
//!    visitors, whom nobody counts on, and whose death loses nothing.
//! 5. W is cleared only together with waking everybody on the relay, after a wake-up that found too few.
//! 6. Posting touches this memory and nothing else: neither the thread's record nor `list_op_pending`.
//!
//! # Memory orderings
//!
//! Posting is Release and taking Acquire, on `count`; every change of it is a read-modify-write, so a taker sees what all
//! earlier posters did. A post that finds no room writes the count as it is, for the same effect.
//!
//! # Limits
//!
//! Everybody who waits for any of several is woken by each post to one of them. A waiter that is stopped (SIGSTOP) after
//! it was woken keeps that one permit waiting for it, or for anybody who comes by.
//!
//! The protocol is `tests/models/semaphore.py`.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;

use super::relay::Relay;
use super::spin::Spin;
use super::thread;
use crate::backend::{Posted, RawSemaphore, Refused};
use crate::deadline::{Deadline, Patience};
use crate::error::{Error, Result};
use crate::sys;
use crate::sys::futex::{Change, Expected, Wake, wake_and_change};

/// The bits of the upper half, as the futex calls know them.
const WAITERS_BIT: u32 = 31;
const ANY_BIT: u32 = 30;
const VALUE_BIT: u32 = 29;
const WAITERS: u32 = 1 << WAITERS_BIT;
const ANY: u32 = 1 << ANY_BIT;
const VALUE: u32 = 1 << VALUE_BIT;
const CALLS: u32 = VALUE - 1;

/// More sleepers than one FUTEX_WAKE_OP can call.
const TOO_MANY_CALLS: u32 = 2048;

/// A semaphore. 32 bytes; all zero it has no permits, room for `u32::MAX`, and is not settled.
#[repr(C, align(8))]
#[derive(Debug)]
pub struct FutexSemaphore {
    count: AtomicU64,
    relay: Relay,
    any: AtomicU32,
    /// `u32::MAX` less the maximum.
    withheld: AtomicU32,
    settled: AtomicU32,
    /// See [`Spin`].
    estimate: AtomicU32,
    spare: AtomicU32,
}

static_assertions::const_assert_eq!(std::mem::size_of::<FutexSemaphore>(), 32);

/// What stands in `count`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Count(u64);

impl Count {
    /// The value, and of the state all but V, which follows from the value.
    const fn new(value: u32, state: u32) -> Count {
        let state = if value == 0 { state & !VALUE } else { state | VALUE };
        Count((state as u64) << 32 | value as u64)
    }

    fn value(self) -> u32 {
        self.0 as u32
    }

    fn state(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn calls(self) -> u32 {
        self.state() & CALLS
    }

    fn has(self, bit: u32) -> bool {
        self.state() & bit != 0
    }

    /// Whether adding so many has to wake somebody first (invariants 3 and 4).
    fn needs_calls_for(self, permits: u32) -> bool {
        self.has(ANY) || self.has(WAITERS) && self.calls() < permits
    }

    fn with_more(self, permits: u32) -> Count {
        let calls = if self.has(WAITERS) { self.calls() - permits } else { 0 };
        Count::new(self.value() + permits, self.state() & !CALLS | calls)
    }

    fn with_one_less(self) -> Count {
        Count::new(self.value() - 1, self.state())
    }

    /// What a waiter may sleep beside (invariant 2).
    fn to_sleep_beside(self, bit: u32) -> Count {
        Count::new(0, self.state() & !CALLS | bit)
    }
}

// SAFETY: a permit is taken by the compare-exchange that takes 1 from the value, once; the value grows by posting only.
unsafe impl RawSemaphore for FutexSemaphore {
    const MAX: u32 = u32::MAX;
    const TAKEN: Self = FutexSemaphore::with(0, 1);
    const FREE: Self = FutexSemaphore::with(1, 1);

    fn new(value: u32, max: u32) -> Self {
        FutexSemaphore::with(value, max)
    }

    #[inline]
    fn take_at_once(&self) -> bool {
        let mut now = self.now();
        while now.value() > 0 {
            match self.replace(now, now.with_one_less(), Ordering::Acquire) {
                Ok(()) => return true,
                Err(other) => now = other,
            }
        }
        false
    }

    fn take(&self, patience: Patience) -> Result<(), Refused> {
        if self.take_at_once() || self.take_spinning(patience) {
            return Ok(());
        }
        if matches!(patience, Patience::None) {
            return Err(Refused::WouldBlock);
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
        let now = self.now();
        if now.state() & !VALUE == 0
            && let Some(value) = self.room_for(now, permits)
            && self.replace(now, Count::new(value, 0), Ordering::Release).is_ok()
        {
            return Ok(Posted::Done);
        }
        self.post_contended(permits)
    }

    fn value(&self) -> u32 {
        self.now().value()
    }

    fn max(&self) -> u32 {
        u32::MAX - self.withheld.load(Ordering::Relaxed)
    }

    unsafe fn settle(&self) -> Result<()> {
        self.count.store(Count::new(self.value(), 0).0, Ordering::Relaxed);
        self.relay.clear();
        self.any.store(0, Ordering::Relaxed);
        self.settled.store(1, Ordering::Relaxed);
        Ok(())
    }

    unsafe fn teardown(&self) {}
}

impl FutexSemaphore {
    const fn with(value: u32, max: u32) -> FutexSemaphore {
        FutexSemaphore {
            count: AtomicU64::new(Count::new(value, 0).0),
            relay: Relay::new(),
            any: AtomicU32::new(0),
            withheld: AtomicU32::new(u32::MAX - max),
            settled: AtomicU32::new(0),
            estimate: AtomicU32::new(0),
            spare: AtomicU32::new(0),
        }
    }

    fn now(&self) -> Count {
        Count(self.count.load(Ordering::Relaxed))
    }

    fn replace(&self, count: Count, by: Count, ordering: Ordering) -> Result<(), Count> {
        self.count.compare_exchange(count.0, by.0, ordering, Ordering::Relaxed).map(drop).map_err(Count)
    }

    /// The value with so many more, if the maximum allows it.
    fn room_for(&self, now: Count, permits: u32) -> Option<u32> {
        now.value().checked_add(permits).filter(|value| *value <= self.max())
    }

    /// The upper half of `count`, for the kernel. Nothing here reads or writes it as such: only the address is used.
    fn state_half(&self) -> &AtomicU32 {
        let at = if cfg!(target_endian = "little") { 1 } else { 0 };
        // SAFETY: inside `count`, aligned to 4, and interior-mutable as all of it.
        unsafe { AtomicU32::from_ptr(self.count.as_ptr().cast::<u32>().add(at)) }
    }

    // Posting.

    #[cold]
    #[inline(never)]
    fn post_contended(&self, permits: u32) -> Result<Posted> {
        loop {
            let now = self.now();
            if self.room_for(now, permits).is_none() {
                if self.replace(now, now, Ordering::Release).is_ok() {
                    return Ok(Posted::Full);
                }
            } else if now.needs_calls_for(permits) {
                self.call(now, permits).map_err(cannot_wake)?;
            } else if self.replace(now, now.with_more(permits), Ordering::Release).is_ok() {
                return Ok(Posted::Done);
            }
        }
    }

    /// Wakes those without whom `permits` can't be added.
    fn call(&self, now: Count, permits: u32) -> Result<(), Errno> {
        if now.has(ANY) {
            wake_and_change(&self.any, i32::MAX, self.state_half(), Change::ClearBit(ANY_BIT))?;
        }
        if !now.has(WAITERS) || now.calls() >= permits {
            return Ok(());
        }
        let many = permits >= TOO_MANY_CALLS;
        let call = Change::Add(permits);
        if many || self.relay.wake_and_change(permits as i32, self.state_half(), call)? < permits as usize {
            self.relay.wake_and_change(i32::MAX, self.state_half(), Change::ClearBit(WAITERS_BIT))?;
        }
        Ok(())
    }

    // Taking.

    fn take_spinning(&self, patience: Patience) -> bool {
        if matches!(patience, Patience::None) {
            return false;
        }
        let mut spin = Spin::new(&self.estimate);
        while spin.pause() {
            if self.take_at_once() {
                spin.paid();
                return true;
            }
        }
        spin.failed();
        false
    }

    /// Takes a permit, sleeping until there is one. The relay has been announced, if the semaphore is settled.
    fn take_sleeping(&self, patience: Patience) -> Result<(), Refused> {
        let deadline = match patience {
            Patience::Until(deadline) => Some(deadline),
            Patience::None | Patience::Forever => None,
        };
        loop {
            let now = self.now();
            if now.value() > 0 {
                if self.replace(now, now.with_one_less(), Ordering::Acquire).is_ok() {
                    return Ok(());
                }
                continue;
            }
            // The count was looked at since the last sleep; only now the clock.
            if deadline.is_some_and(Deadline::has_passed) {
                let without_calls = now.to_sleep_beside(0);
                if now == without_calls || self.replace(now, without_calls, Ordering::Relaxed).is_ok() {
                    return Err(Refused::TimedOut);
                }
                continue;
            }
            let asleep = now.to_sleep_beside(WAITERS);
            if now == asleep || self.replace(now, asleep, Ordering::Relaxed).is_ok() {
                self.sleep(asleep, deadline).map_err(cannot_sleep)?;
            }
        }
    }

    fn sleep(&self, asleep: Count, deadline: Option<Deadline>) -> Result<Wake, Errno> {
        let words = [self.relay.expected(), Expected::new(self.state_half(), asleep.state())];
        self.relay.sleep_while(&words, deadline.map(Deadline::moment), || self.now() == asleep)
    }

    // Waiting for any of several.

    /// The words to sleep on until there may be a permit; `None` if there is one already.
    pub(super) fn prepare_for_any(&self) -> Option<[Expected<'_>; 2]> {
        if self.any.load(Ordering::Relaxed) != 0 {
            self.any.store(0, Ordering::Relaxed); // somebody scribbled over it: nobody could ever sleep here again
        }
        loop {
            let now = self.now();
            if now.value() > 0 {
                return None;
            }
            let asleep = Count::new(0, now.state() | ANY);
            if now == asleep || self.replace(now, asleep, Ordering::Relaxed).is_ok() {
                return Some([Expected::new(&self.any, 0), Expected::new(self.state_half(), asleep.state())]);
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
