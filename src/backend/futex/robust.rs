//! The robust word: a mutex whose owner the kernel names when it dies.
//!
//! # Why
//!
//! Only the kernel knows for certain that a process is gone. It tells through the robust list: at a thread's end it
//! walks the list that libc registered, and marks every word that still holds the dead thread's id. So our words join
//! that list, at the offset where libc's own locks have theirs.
//!
//! # State
//!
//! | word | meaning |
//! |---|---|
//! | 0 | free |
//! | W | free; may be set with nobody asleep, never clear with somebody asleep |
//! | D, D+W | free; the last owner died in it |
//! | id, id+W | owned by that thread |
//!
//! `settled` is the pid namespace that the ids belong to, 0 where the word is not (yet) in shared memory. An unsettled
//! word is an ordinary futex lock of one process: it may move while free, so it never comes near the robust list.
//! `stamp` is the id of the last owner that came so far, and a time when it lived.
//!
//! # Invariants
//!
//! 1. The owner part goes from 0 to a thread's id by that thread's compare-exchange, and back to 0 by that thread, by
//!    the kernel after its death, or by a thread that has asked the system and been told of its death.
//! 2. A settled word that a thread owns is on that thread's robust list, or in `list_op_pending`, or both, from before
//!    the compare-exchange until after the release.
//! 3. W stays when the word is released and is inherited by whoever takes it next, so a woken waiter that dies takes
//!    nobody's wake-up along. It is cleared together with waking everybody, in one FUTEX_WAKE_OP.
//! 4. While a thread waits, `list_op_pending` names the word: if it dies after a wake-up was spent on it, the kernel
//!    finds a word that nobody owns and wakes another.
//! 5. A thread that was woken tries the word before it looks at its clock.
//! 6. While a thread owns the word, `stamp` has that thread's id only together with that thread's time: who comes to a
//!    stamp of an earlier thread with its own id clears it first. (The earlier one is gone, so it doesn't come back.)
//!
//! # Memory orderings
//!
//! Taking the word is Acquire and releasing it Release, on the word; the kernel's mark comes after everything that the
//! dead thread did. All else is Relaxed: `stamp` and the spinning estimate are hints that are checked or clamped.
//!
//! # Limits
//!
//! The kernel marks nothing when it can't reach the list: exec from a thread that isn't the first one, memory reaped
//! before the exit walk, more than 2048 entries. So waiters look up once a second whether the owner still exists.
//!
//! The protocol is `tests/models/mutex.py`; for list and pending `linking.py` there, for the looking up `oracle.py`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::held::Held;
use super::process;
use super::spin::Spin;
use super::thread::{self, Thread};
use crate::atomic::{AtomicU32, AtomicU64, Hint};
use crate::backend::{Acquired, Refused};
use crate::deadline::{Deadline, Patience};
use crate::error::{Error, Result};
use crate::sys::futex::{self, Wake};
use crate::sys::robust_list::{LINK_AT, WORD_AT};
use crate::sys::{self, thread as system};

/// The part of the word that is the owner's thread id (`FUTEX_TID_MASK`).
pub(crate) const OWNER: u32 = 0x3fff_ffff;
/// Somebody may be asleep (`FUTEX_WAITERS`).
pub(crate) const WAITERS: u32 = 1 << WAITERS_BIT;
pub(super) const WAITERS_BIT: u32 = 31;
/// The last owner died (`FUTEX_OWNER_DIED`).
pub(crate) const OWNER_DIED: u32 = 1 << 30;
/// Above every thread id of the kernel (`PID_MAX_LIMIT`).
pub(super) const ABOVE_EVERY_ID: u32 = 1 << 22;

/// Published, see [`publish`](super::publish): no thread's id.
pub(super) const READY: u32 = 1 << READY_BIT;
pub(super) const READY_BIT: u32 = 29;

/// How long a waiter sleeps before it looks whether the owner still exists.
pub(super) const SLICE: Duration = Duration::from_secs(1);

/// A futex word and what the kernel and libc need beside it. 40 bytes, all zero when free and unsettled.
#[repr(C, align(8))]
#[derive(Debug)]
pub struct RobustWord {
    #[cfg(not(target_env = "musl"))]
    word: AtomicU32,
    settled: AtomicU32,
    #[cfg(target_env = "musl")]
    word: AtomicU32,
    stamp: AtomicU64,
    /// See [`Spin`].
    estimate: Hint,
    spare: AtomicU32,
    /// Written by libc only, when one of its own locks becomes our neighbour on the list.
    back: AtomicUsize,
    next: AtomicUsize,
}

static_assertions::const_assert_eq!(std::mem::offset_of!(RobustWord, word), WORD_AT);
static_assertions::const_assert_eq!(std::mem::offset_of!(RobustWord, next), LINK_AT);
static_assertions::const_assert_eq!(std::mem::size_of::<RobustWord>(), 40);

#[inline]
pub(super) const fn owner(word: u32) -> u32 {
    word & OWNER
}

impl RobustWord {
    pub(crate) const fn new() -> RobustWord {
        RobustWord::holding(0)
    }

    /// An unsettled word that holds `word`.
    pub(super) const fn holding(word: u32) -> RobustWord {
        RobustWord {
            word: AtomicU32::new(word),
            settled: AtomicU32::new(0),
            stamp: AtomicU64::new(0),
            estimate: Hint::new(0),
            spare: AtomicU32::new(0),
            back: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
        }
    }

    /// The address that stands for this word on the robust list.
    #[inline]
    pub(crate) fn entry(&self) -> usize {
        // Exposed: the kernel and libc write through it.
        std::ptr::from_ref(self).expose_provenance() + LINK_AT
    }

    #[inline]
    pub(crate) fn next(&self) -> usize {
        self.next.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set_next(&self, next: usize) {
        self.next.store(next, Ordering::Relaxed);
    }

    /// The pid namespace that the word was settled in, 0 if it isn't.
    #[inline]
    pub(super) fn namespace(&self) -> u32 {
        self.settled.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn stamp(&self) -> u64 {
        self.stamp.load(Ordering::Relaxed)
    }

    /// By the word's owner only.
    #[inline]
    pub(super) fn set_stamp(&self, stamp: u64) {
        if self.stamp() != stamp {
            self.stamp.store(stamp, Ordering::Relaxed);
        }
    }

    /// Spinning for the word, or for what it guards.
    pub(super) fn spin(&self) -> Spin<'_> {
        Spin::new(&self.estimate)
    }

    /// The futex word itself, for protocols built on this one.
    pub(super) fn word(&self) -> &AtomicU32 {
        &self.word
    }

    /// Settles a word that is still all zero, whoever else does the same; leaves a settled one as it is.
    ///
    /// # Safety
    ///
    /// It stays where it is, in shared memory.
    pub(super) unsafe fn adopt_namespace(&self) -> Result<()> {
        let namespace = process::pid_namespace()?;
        // Err means that somebody was faster; if it was another namespace, taking the word says so.
        let _ = self.settled.compare_exchange(0, namespace as u32, Ordering::Relaxed, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn set_namespace(&self, namespace: u64) {
        self.settled.store(namespace as u32, Ordering::Relaxed);
    }

    /// Makes the word an empty lock of this process's pid namespace.
    ///
    /// # Safety
    ///
    /// It stays where it is, in shared memory, and nobody else uses it yet.
    pub(crate) unsafe fn settle(&self) -> Result<()> {
        let namespace = process::pid_namespace()?;
        self.word.store(0, Ordering::Relaxed);
        self.stamp.store(0, Ordering::Relaxed);
        self.set_namespace(namespace);
        Ok(())
    }

    /// The thread that owns the word.
    pub(crate) fn owner(&self) -> Option<u32> {
        Some(owner(self.word.load(Ordering::Relaxed))).filter(|owner| *owner != 0)
    }

    /// What this thread got when it took the word, if it is the owner.
    pub(crate) fn held_here(&self) -> Option<Held> {
        thread::with(|me| {
            if !me.is_fresh() || self.word.load(Ordering::Relaxed) & OWNER != me.tid() {
                return None;
            }
            // The word may be an earlier thread's of the same id; this one's record and stamp are nobody else's.
            if self.settled.load(Ordering::Relaxed) != 0 {
                return me.has(self).then(|| me.held_linked());
            }
            (self.stamp.load(Ordering::Relaxed) == me.stamp()).then(|| me.held_unlinked())
        })
    }

    /// Whether the last owner died in it and nobody came since.
    pub(crate) fn owner_died(&self) -> bool {
        self.word.load(Ordering::Relaxed) & OWNER_DIED != 0
    }

    /// Takes D out of a free word.
    pub(crate) fn forget_death(&self) {
        let calm = |word| (owner(word) == 0 && word & OWNER_DIED != 0).then_some(word & !OWNER_DIED);
        // Err means that there was nothing to take out.
        let _ = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, calm);
    }

    /// Takes the word if it is free and nothing else is to be done.
    #[inline(always)]
    pub(crate) fn acquire_at_once(&self) -> Option<Held> {
        thread::with(|me| {
            // All that is needed is looked up first: what comes between the two locked instructions of a lock and its
            // unlock is paid in full, and beyond each of them the compiler would look things up again.
            let settled = self.settled.load(Ordering::Relaxed);
            let Some(alone) = me.alone() else { return self.acquire_beside_others(me) };
            if settled != me.namespace() {
                return if settled == 0 { self.acquire_unsettled_at_once(me) } else { None };
            }
            let mine = me.stamp();
            let stamp = self.stamp.load(Ordering::Relaxed);
            if stamp != mine && stamp as u32 == mine as u32 {
                return None; // of an earlier thread of this one's id
            }
            alone.set_pending(self);
            if self.word.compare_exchange(0, mine as u32, Ordering::Acquire, Ordering::Relaxed).is_err() {
                alone.clear_pending();
                return None;
            }
            if self.stamp.load(Ordering::Relaxed) != mine {
                self.stamp.store(mine, Ordering::Relaxed);
            }
            // Pending stays set: libc may use it meanwhile, the list entry covers us.
            alone.link(self);
            Some(alone.held())
        })
    }

    #[inline(never)]
    fn acquire_unsettled_at_once(&self, me: &Thread) -> Option<Held> {
        if !me.is_fresh() || self.has_stamp_of_an_earlier(me) {
            return None;
        }
        let taken = self.word.compare_exchange(0, me.tid(), Ordering::Acquire, Ordering::Relaxed);
        taken.is_ok().then(|| self.taken(me, false))
    }

    /// Whether the stamp is of a thread that had this one's id before it (invariant 6).
    #[inline]
    pub(super) fn has_stamp_of_an_earlier(&self, me: &Thread) -> bool {
        let stamp = self.stamp.load(Ordering::Relaxed);
        stamp != me.stamp() && stamp as u32 == me.tid()
    }

    /// Takes the word, waiting as long as `patience` says.
    #[cold]
    pub(crate) fn acquire(&self, patience: Patience) -> Result<Acquired<Held>, Refused> {
        thread::with(|me| self.acquire_contended(me, patience, Kind::Lock))
    }

    /// The same as [`acquire_at_once`](RobustWord::acquire_at_once), for a thread that holds other locks.
    #[inline(never)]
    fn acquire_beside_others(&self, me: &Thread) -> Option<Held> {
        let settled = self.settled.load(Ordering::Relaxed);
        if settled == 0 {
            return self.acquire_unsettled_at_once(me);
        }
        let beside = me.beside()?;
        if settled != me.namespace() || self.has_stamp_of_an_earlier(me) || beside.has(self) {
            return None;
        }
        beside.set_pending(self);
        if self.word.compare_exchange(0, me.tid(), Ordering::Acquire, Ordering::Relaxed).is_err() {
            beside.clear_pending();
            return None;
        }
        self.set_stamp(me.stamp());
        Some(beside.link(self))
    }

    /// What a thread does when the word has become its own.
    pub(super) fn taken(&self, me: &Thread, linked: bool) -> Held {
        self.stamp.store(me.stamp(), Ordering::Relaxed);
        if linked { me.link(self) } else { me.held_unlinked() }
    }

    /// Takes a word that isn't simply free and settled, in a thread whose state may be stale.
    pub(super) fn acquire_contended(
        &self,
        me: &Thread,
        patience: Patience,
        kind: Kind,
    ) -> Result<Acquired<Held>, Refused> {
        me.refresh().map_err(Refused::Failed)?;
        let settled = self.settled.load(Ordering::Relaxed);
        if settled == 0 {
            let owner_died = self.wait_for(me, patience, kind.unsettled())?;
            return Ok(Acquired { held: self.taken(me, false), owner_died });
        }
        self.enter_list(me, settled, patience)?;
        match self.wait_for(me, patience, kind) {
            Ok(owner_died) => Ok(Acquired { held: self.taken(me, true), owner_died }),
            Err(refused) => {
                me.clear_pending();
                Err(refused)
            }
        }
    }

    /// Makes sure that the word can join this thread's list, and announces it.
    fn enter_list(&self, me: &Thread, settled: u32, patience: Patience) -> Result<(), Refused> {
        check_namespace(me, settled)?;
        if let Err(error) = me.reserve() {
            return Err(if me.has(self) { patience.refuse_own() } else { Refused::Failed(error) });
        }
        me.set_pending(self);
        Ok(())
    }

    /// Waits until the word is this thread's; says whether the owner before died.
    fn wait_for(&self, me: &Thread, patience: Patience, kind: Kind) -> Result<bool, Refused> {
        let mut slept = false;
        let mut spin = Spin::new(&self.estimate);
        loop {
            let word = self.word.load(Ordering::Relaxed);
            if owner(word) == 0 {
                if !matches!(kind, Kind::Unsettled | Kind::UnsettledPublication) && me.has(self) {
                    // Free, and on this thread's list: somebody scribbled over a word that this thread owns.
                    return Err(self.give_up_corrupt(word));
                }
                if self.try_take(me, word, slept) {
                    spin.paid();
                    return Ok(word & OWNER_DIED != 0);
                }
                continue;
            }
            if owner(word) >= ABOVE_EVERY_ID {
                if kind.may_be_ready() && owner(word) == READY {
                    return Err(Refused::WouldBlock);
                }
                return Err(self.give_up_corrupt(word));
            }
            if owner(word) == me.tid() {
                // Of this thread, unless an earlier one of the same id died here unnoticed.
                if self.bury_if_gone(word, kind) {
                    continue;
                }
                return Err(patience.refuse_own());
            }
            let deadline = match patience {
                Patience::Forever => None,
                Patience::Until(deadline) => Some(deadline),
                Patience::None => {
                    if me.may_ask(self) && self.bury_if_gone(word, kind) {
                        continue;
                    }
                    return Err(Refused::WouldBlock);
                }
            };
            if spin.pause() {
                continue;
            }
            // The word was tried since the last sleep; only now the clock (invariant 5).
            if deadline.is_some_and(Deadline::has_passed) {
                if me.may_ask(self) && self.bury_if_gone(word, kind) {
                    continue;
                }
                return Err(Refused::TimedOut);
            }
            if word & WAITERS == 0 && !self.replace(word, word | WAITERS) {
                continue;
            }
            spin.failed();
            match futex::wait(&self.word, word | WAITERS, Some(Deadline::or_slice(deadline, SLICE))) {
                Ok(Wake::Woken) => slept = true,
                Ok(Wake::TimedOut) => drop(self.bury_if_gone(word | WAITERS, kind)),
                Ok(Wake::Changed | Wake::Interrupted) => {}
                Err(errno) => return Err(Refused::Failed(cannot_sleep(errno))),
            }
            spin = Spin::new(&self.estimate);
        }
    }

    /// One attempt to take a word that was seen free.
    pub(super) fn try_take(&self, me: &Thread, word: u32, slept: bool) -> bool {
        let stamp = self.stamp.load(Ordering::Relaxed);
        if self.has_stamp_of_an_earlier(me) {
            // It goes before the word is taken (invariant 6). A new stamp in
            // its place is somebody else's and just as good.
            let _ = self.stamp.compare_exchange(stamp, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
        let waiters = if slept { WAITERS } else { word & WAITERS };
        // Release: a thread that sees this one as owner sees the old stamp gone.
        self.word.compare_exchange(word, me.tid() | waiters, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    pub(super) fn replace(&self, word: u32, by: u32) -> bool {
        self.word.compare_exchange(word, by, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Marks the word as the kernel would have, if the thread that `word` names doesn't exist any more; says whether
    /// the word is worth another look.
    ///
    /// Killed after the mark: pending names the word, so the kernel wakes another sleeper.
    ///
    /// What remains: after the last look and before the mark, somebody else may bury the same dead owner, and a new
    /// thread of its id may take the lock, which is then taken from it.
    #[cold]
    pub(super) fn bury_if_gone(&self, word: u32, kind: Kind) -> bool {
        let tid = owner(word);
        let is_gone = || match kind {
            Kind::Unsettled | Kind::UnsettledPublication => !system::exists_here(tid),
            Kind::Lock | Kind::Publication => !system::exists(tid) || self.is_another_of_the_id(word, tid),
        };
        // Asked twice, with the word unchanged in between: before the first answer the owner may have unlocked and
        // ended, and after it a new thread of its id may have taken the lock.
        is_gone()
            && self.word.load(Ordering::Acquire) == word
            && is_gone()
            && self.replace(word, word & WAITERS | OWNER_DIED)
    }

    /// Whether the living thread `tid` can't be the one that owns the word: it has ended or started too late.
    fn is_another_of_the_id(&self, word: u32, tid: u32) -> bool {
        let stamp = self.stamp.load(Ordering::Relaxed);
        let Some(status) = system::status(tid, process::boot_time_offset()) else { return false };
        let younger = stamp as u32 == tid && status.started > (stamp >> 32) as u32;
        // Looked at again after the status: had the word gone to the living thread meanwhile, the stamp would be another
        // (invariant 6).
        let unchanged = self.word.load(Ordering::Acquire) == word && self.stamp.load(Ordering::Relaxed) == stamp;
        unchanged && (status.ended || younger)
    }

    /// An owner that can't exist: somebody scribbled. Reported once, then poison, so that nobody is locked out.
    #[cold]
    pub(super) fn give_up_corrupt(&self, word: u32) -> Refused {
        if self.replace(word, word & WAITERS | OWNER_DIED) && word & WAITERS != 0 {
            self.wake_one();
        }
        Refused::Failed(Error::Corrupted { word })
    }

    /// Gives the word back; does nothing in a child of the process that took it.
    ///
    /// # Safety
    ///
    /// This thread, or the one it was forked from, got `held` from [`acquire`](RobustWord::acquire) and hasn't used it.
    #[inline(always)]
    pub(crate) unsafe fn release(&self, held: Held) {
        thread::with(|me| {
            let Some(alone) = me.alone_with(self, held) else { return self.release_elsewhere(held) };
            let tid = me.tid();
            alone.set_pending(self);
            alone.unlink();
            if self.word.compare_exchange(tid, 0, Ordering::Release, Ordering::Relaxed).is_err() {
                return self.release_contended(held);
            }
            alone.clear_pending();
        });
    }

    /// Gives back a word that isn't simply the only one on this thread's list.
    #[inline(never)]
    fn release_elsewhere(&self, held: Held) {
        thread::with(|me| {
            if !me.is_holder(held) || !held.is_linked() || !me.unlink_beside(self) {
                return self.release_anywhere(held);
            }
            if self.word.compare_exchange(me.tid(), 0, Ordering::Release, Ordering::Relaxed).is_err() {
                return self.release_contended(held);
            }
            me.clear_pending();
        });
    }

    /// The same, wherever it stands on the list, if it does.
    #[cold]
    #[inline(never)]
    fn release_anywhere(&self, held: Held) {
        thread::with(|me| {
            if !me.is_holder(held) {
                return;
            }
            if held.is_linked() {
                me.set_pending(self);
                me.unlink(self);
            }
            if self.word.compare_exchange(me.tid(), 0, Ordering::Release, Ordering::Relaxed).is_err() {
                return self.release_contended(held);
            }
            if held.is_linked() {
                me.clear_pending();
            }
        });
    }

    /// Gives back a word that isn't on this thread's list any more, or never was.
    #[cold]
    #[inline(never)]
    fn release_contended(&self, held: Held) {
        thread::with(|me| {
            let free = |word| (owner(word) == me.tid()).then_some(word & WAITERS);
            match self.word.fetch_update(Ordering::Release, Ordering::Relaxed, free) {
                Ok(word) if word & WAITERS != 0 => self.wake_one(),
                Ok(_) => {}
                // Not ours any more: somebody scribbled over it. What stands there is left for waiters to make out.
                Err(_) => {}
            }
            if held.is_linked() {
                me.clear_pending();
            }
        });
    }

    /// Wakes a sleeper; where there was none, W goes, together with waking everybody who came in between.
    pub(super) fn wake_one(&self) {
        // Neither call can fail on a mapped, aligned word. If one did, W would stay: waiters look up every second.
        if futex::wake(&self.word, 1) == Ok(0) {
            let _ = futex::clear_bit_and_wake_all(&self.word, WAITERS_BIT);
        }
    }
}

/// What a word is used as.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A lock of this process's threads.
    Unsettled,
    /// A lock of every thread of the pid namespace.
    Lock,
    /// The same, and over for good once [`READY`] stands in it.
    Publication,
    /// Such a one of this process's threads.
    UnsettledPublication,
}

impl Kind {
    /// What an unsettled word is used as.
    fn unsettled(self) -> Kind {
        if self.may_be_ready() { Kind::UnsettledPublication } else { Kind::Unsettled }
    }

    fn may_be_ready(self) -> bool {
        matches!(self, Kind::Publication | Kind::UnsettledPublication)
    }
}

impl Patience {
    /// The answer to a thread that holds the lock already.
    pub(in crate::backend) fn refuse_own(self) -> Refused {
        match self {
            Patience::None => Refused::WouldBlock,
            Patience::Until(_) | Patience::Forever => Refused::WouldDeadlock,
        }
    }
}

/// Whether the ids in a word that was settled there mean what they mean here.
pub(super) fn check_namespace(me: &Thread, settled: u32) -> Result<(), Refused> {
    if settled != me.namespace() {
        let (theirs, ours) = (u64::from(settled), u64::from(me.namespace()));
        return Err(Refused::Failed(Error::PidNamespace { what: "the lock".into(), theirs, ours }));
    }
    Ok(())
}

pub(super) fn cannot_sleep(errno: nix::errno::Errno) -> Error {
    sys::failed("futex(FUTEX_WAIT_BITSET)", "a lock word", errno, "the kernel must have futexes and allow them")
}
