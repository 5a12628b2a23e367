//! The condition variable: a sequence that notifications count up, and a baton for whoever was woken.
//!
//! # Why
//!
//! A waiter that is woken has to take its mutex before its wait is over. Killed on the way, it takes the notification
//! along, and announcing both the mutex and what it was woken for isn't possible: there is one `list_op_pending`. So it
//! takes a robust word along, the baton, until it has the mutex: when it dies, the kernel finds the baton on its list and
//! wakes another sleeper there.
//!
//! # State
//!
//! | `sequence` | meaning |
//! |---|---|
//! | W (bit 0) | somebody may be asleep; may be set with nobody asleep, never clear with somebody asleep |
//! | bits 1… | notifications so far |
//!
//! | `baton` | meaning |
//! |---|---|
//! | 0, W, D | free: the next waiter that is woken takes it |
//! | id + W | that thread was woken and is on its way to its mutex |
//!
//! An unsettled one is for the threads of one process, which die together: there is no baton and no announcement.
//!
//! # Invariants
//!
//! 1. A waiter reads the sequence while it holds the mutex and sleeps only while that is unchanged; so it misses nothing
//!    that comes after it gave the mutex up.
//! 2. A notification is one change of `sequence`: a compare-exchange while W is clear, otherwise one FUTEX_WAKE_OP that
//!    also wakes a sleeper. A notifier that is killed has done all of it or nothing.
//! 3. W is cleared together with waking everybody, in one FUTEX_WAKE_OP, after a wake-up that found nobody.
//! 4. Sleepers are queued on the baton, where only the kernel wakes, for the dead, and then on the sequence, where all others
//!    do: a sleeper is queued there only if the sequence holds what it expects. Were notifications sent to the baton, one
//!    could be spent on a waiter that is just about to notice an earlier one.
//! 5. From before it sleeps until it has the baton on its list, a waiter announces the baton in `list_op_pending`; with the
//!    baton, it announces it again before it gives it back. The baton is never waited for.
//! 6. A waiter that was woken returns, whatever the clock and the sequence say.
//! 7. Once a second a sleeper looks whether the sequence has changed since its wait began, and returns if it has.
//!
//! # Memory orderings
//!
//! What waiters and notifiers tell each other is ordered by their mutex. Notifying is Release and noticing it Acquire,
//! for those who notify without it. The kernel's calls order everything.
//!
//! # Limits
//!
//! - A waiter that is woken while another has the baton goes on without; and the kernel's wake-up for a dead one may meet a
//!   sleeper that has just been woken, or is just falling asleep. Then another notices by invariant 7, up to a second
//!   later. The same where the kernel wakes nobody for the dead, and where there is no `futex_waitv`.
//! - Waking all wakes them in one call, and they meet at the mutex. Having each wake the next when it has the mutex was
//!   slower with 8 and with 32 waiters, also where the mutex is held meanwhile. (Moving them to the mutex's queue is no
//!   way: they announce one word, and the mutex has another address in each process.)
//! - The sequence comes round after 2³¹ notifications. A waiter that doesn't run between giving up the mutex and falling
//!   asleep for exactly as many misses them.
//!
//! The protocol is `tests/models/condvar.py`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::errno::Errno;

use super::relay;
use super::robust::{Kind, OWNER, RobustWord};
use super::spin::Spin;
use super::thread::{self, Thread};
use crate::atomic::{AtomicU32, Hint};
use crate::backend::{Acquired, RawCondvar, RawMutex, Refused, Waited};
use crate::deadline::{Deadline, Patience};
use crate::error::{Error, Result};
use crate::sys;
use crate::sys::futex::{self, Change, Expected, Wake};

/// Somebody may be asleep.
const WAITERS: u32 = 1 << WAITERS_BIT;
const WAITERS_BIT: u32 = 0;
/// What a notification adds to the sequence.
const ONE: u32 = 2;

/// How long a waiter sleeps before it looks up.
const SLICE: Duration = Duration::from_secs(1);

/// A condition variable. 48 bytes, all zero when new and unsettled.
#[repr(C)]
#[derive(Debug)]
pub struct Condvar {
    baton: RobustWord,
    sequence: AtomicU32,
    /// See [`Spin`].
    estimate: Hint,
}

static_assertions::const_assert_eq!(std::mem::size_of::<Condvar>(), 48);

/// How the waiting for a notification ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Somebody woke this waiter.
    Woken,
    /// It noticed a notification by itself.
    Noticed,
    /// Its time was up, and nothing had come.
    TimedOut,
}

impl Condvar {
    /// The sequence without W.
    fn count(&self) -> u32 {
        self.sequence.load(Ordering::Acquire) & !WAITERS
    }

    /// Notifies at most `count` waiters.
    #[inline]
    fn notify(&self, count: i32) {
        let step = |sequence| (sequence & WAITERS == 0).then(|| u32::wrapping_add(sequence, ONE));
        if self.sequence.fetch_update(Ordering::Release, Ordering::Relaxed, step).is_err() {
            self.notify_sleepers(count);
        }
    }

    #[cold]
    fn notify_sleepers(&self, count: i32) {
        match futex::wake_and_change(&self.sequence, count, &self.sequence, Change::Add(ONE)) {
            // If this failed, W would stay, which costs a call each time.
            Ok(0) => _ = futex::clear_bit_and_wake_all(&self.sequence, WAITERS_BIT),
            Ok(_) => {}
            // It can't on mapped, aligned words. What sleeps would look up within a second.
            Err(_) => _ = self.sequence.fetch_add(ONE, Ordering::Release),
        }
    }

    fn is_settled(&self) -> bool {
        self.baton.namespace() != 0
    }

    /// Waits until the sequence is no longer `entered`, or this waiter is woken. Woken, it still announces the baton.
    fn wait_for_notification(&self, me: &Thread, entered: u32, patience: Patience) -> Result<End, Errno> {
        let deadline = match patience {
            Patience::Until(deadline) => Some(deadline),
            Patience::None | Patience::Forever => None,
        };
        let mut spin = Some(Spin::new(&self.estimate));
        loop {
            let sequence = self.sequence.load(Ordering::Acquire);
            if sequence & !WAITERS != entered {
                spin.iter().for_each(Spin::paid);
                return Ok(End::Noticed);
            }
            if spin.as_mut().is_some_and(Spin::pause) {
                continue;
            }
            // The sequence was looked at since the last sleep; only now the clock.
            if matches!(patience, Patience::None) || deadline.is_some_and(Deadline::has_passed) {
                return Ok(End::TimedOut);
            }
            if sequence & WAITERS == 0 && !self.announce_waiting(entered) {
                continue;
            }
            if let Some(spin) = spin.take() {
                spin.failed();
            }
            match self.sleep(me, entered, deadline)? {
                Wake::Woken => return Ok(End::Woken),
                Wake::TimedOut => self.look_after_baton(),
                Wake::Changed | Wake::Interrupted => {}
            }
        }
    }

    fn announce_waiting(&self, entered: u32) -> bool {
        self.sequence.compare_exchange(entered, entered | WAITERS, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Sleeps once. The baton stays announced only if this waiter was woken.
    fn sleep(&self, me: &Thread, entered: u32, deadline: Option<Deadline>) -> Result<Wake, Errno> {
        let until = Some(Deadline::or_slice(deadline, SLICE));
        let (sequence, expected) = (&self.sequence, entered | WAITERS);
        if !self.is_settled() {
            return futex::wait(sequence, expected, until);
        }
        me.set_pending(&self.baton);
        let baton = self.baton.word();
        let words = [Expected::new(baton, baton.load(Ordering::Relaxed)), Expected::new(sequence, expected)];
        let ended = match relay::wait_any(&words, until) {
            Some(ended) => ended.map(|(ended, _)| ended),
            None => futex::wait(sequence, expected, until),
        };
        if ended != Ok(Wake::Woken) {
            me.clear_pending();
        }
        ended
    }

    /// Frees the baton of a thread whose death the kernel didn't mark: until then nobody else gets it.
    fn look_after_baton(&self) {
        let word = self.baton.word().load(Ordering::Relaxed);
        if word & OWNER != 0 {
            self.baton.bury_if_gone(word, Kind::Lock);
        }
    }

    /// Takes the baton if it is free; says whether this thread has it. Killed before it is on the list, the thread still
    /// announces it.
    fn take_baton(&self, me: &Thread) -> bool {
        let word = self.baton.word().load(Ordering::Relaxed);
        // Room for the mutex as well: taking it again must not fail for the baton's sake.
        let has_room = me.is_below_limit_by(2) && me.reserve().is_ok();
        let taken = word & OWNER == 0 && has_room && self.baton.try_take(me, word, true);
        if taken {
            self.baton.taken(me, true);
        }
        taken
    }

    /// Gives the baton back. Meanwhile it is announced, so the kernel wakes somebody if this thread is killed there.
    fn give_back_baton(&self, me: &Thread) {
        me.set_pending(&self.baton);
        me.unlink(&self.baton);
        let free = |word| (word & OWNER == me.tid()).then_some(0);
        // Err: somebody scribbled over it; what stands there is left to look_after_baton.
        let _ = self.baton.word().fetch_update(Ordering::Release, Ordering::Relaxed, free);
    }

    /// # Safety
    ///
    /// As [`RawCondvar::wait`].
    unsafe fn wait_and_lock<M: RawMutex>(
        &self,
        me: &Thread,
        mutex: &M,
        held: M::Held,
        patience: Patience,
    ) -> Result<Waited<M::Held>, Refused> {
        let entered = self.count();
        // SAFETY: the caller's promise.
        unsafe { mutex.unlock(held) };
        let settled = self.is_settled();
        if settled {
            me.refresh().map_err(Refused::Failed)?;
            if self.baton.namespace() != me.namespace() {
                return Err(self.elsewhere(me));
            }
        }
        let end = self.wait_for_notification(me, entered, patience).map_err(|errno| Refused::Failed(cannot(errno)))?;
        let baton = settled && end == End::Woken && self.take_baton(me);
        let lock = match mutex.lock_at_once() {
            Some(held) => Ok(Acquired { held, owner_died: false }),
            None => mutex.lock(Patience::Forever),
        };
        if baton {
            self.give_back_baton(me);
        }
        if settled {
            me.clear_pending();
        }
        Ok(Waited { lock: lock?, timed_out: end == End::TimedOut })
    }

    #[cold]
    fn elsewhere(&self, me: &Thread) -> Refused {
        let (theirs, ours) = (self.baton.namespace().into(), me.namespace().into());
        Refused::Failed(Error::PidNamespace { what: "the condition variable".into(), theirs, ours })
    }
}

// SAFETY: wait_and_lock ends with what RawMutex::lock_at_once or RawMutex::lock gave.
unsafe impl<M: RawMutex> RawCondvar<M> for Condvar {
    const NEW: Self = Condvar { baton: RobustWord::new(), sequence: AtomicU32::new(0), estimate: Hint::new(0) };

    unsafe fn wait(&self, mutex: &M, held: M::Held, patience: Patience) -> Result<Waited<M::Held>, Refused> {
        // SAFETY: handed through.
        thread::with(|me| unsafe { self.wait_and_lock(me, mutex, held, patience) })
    }

    #[inline]
    fn notify_one(&self) {
        self.notify(1);
    }

    #[inline]
    fn notify_all(&self) {
        self.notify(i32::MAX);
    }

    unsafe fn settle(&self) -> Result<()> {
        // SAFETY: handed through.
        unsafe { self.baton.settle() }?;
        self.sequence.store(0, Ordering::Relaxed);
        Ok(())
    }

    unsafe fn teardown(&self) {}
}

fn cannot(errno: Errno) -> Error {
    sys::failed("futex_waitv", "a condition variable", errno, "the kernel must have futexes and allow them")
}
