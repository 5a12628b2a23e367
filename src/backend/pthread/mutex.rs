//! Mutual exclusion by a robust `pthread_mutex_t`, which programs in C can take too.
//!
//! # Why
//!
//! libc's robust mutex tells of a dead owner, but it strands waiters: it stores 0 when it unlocks, so that a woken waiter which
//! is killed, after somebody else came in between, takes the knowledge of other sleepers along. And where the kernel
//! never marks the dead (an exec from a second thread, memory reaped before the exit), everybody waits for ever. So
//! waiters wait in slices here, and after each they look whether the owner exists.
//!
//! # State
//!
//! | lock word | meaning |
//! |---|---|
//! | 0 | free |
//! | D, D+W | free; the last owner died |
//! | id, id+W | owned by that thread; D may stand beside it for a moment |
//!
//! | `owner` | meaning |
//! |---|---|
//! | 0 | nobody's of this crate, or an owner that has just come or is about to go |
//! | an identity | the owner, if the lock word has its id; otherwise one that died here |
//! | U | nobody's, and nobody has been told that an owner died |
//!
//! # Invariants
//!
//! 1. The lock word goes from free to a thread's id by that thread, in libc, and back by that thread, by the kernel at its
//!    death, or by one that has found it gone.
//! 2. `owner` is written by the lock's holder only. A holder clears it before it unlocks, so an identity beside a lock
//!    word of the same id is the holder's, or that of a dead namesake while its successor is about to write its own.
//! 3. Who is told of a death by libc makes the state consistent at once: `ENOTRECOVERABLE` never comes of this crate.
//!    Until the poison is noted it holds the lock, so if it dies, the next one is told again.
//! 4. A sleeper looks at the lock word after a slice at the latest, and takes the lock if it is free, whatever bits say
//!    about sleepers. (libc's waiters try the lock when they wake, before they look at the clock.)
//! 5. libc takes the lock, and puts it on the thread's list, where it follows the head only. Giving back is done here, by
//!    this thread's own record: libc would follow the links that stand in the mutex, wherever a peer has them lead.
//! 6. libc isn't asked for a mutex whose kind isn't the one that it was made with, nor for one that this thread has.
//! 7. libc is asked to wait for a mutex with priority inheritance only if its owner was just found alive: the kernel
//!    refuses to wait for one that isn't, and libc takes that for the program's end.
//!
//! # Limits
//!
//! A program in C that takes the lock over from a dead owner and has that one's thread id by chance is taken for the dead one,
//! unless it clears the eight bytes behind the mutex. A peer that scribbles over a mutex's kind in the few instructions between the
//! look at it here and libc's own can have libc do whatever it does with another kind, and where the owner of one with
//! priority inheritance is scribbled over while somebody waits, libc ends that process. Who waits for one with priority inheritance while its owner
//! dies unmarked (by an exec from a second thread, or reaped memory), within the moment between the look at the owner and
//! the call, is ended by libc's assertion. A process made by a bare `clone` is refused: libc doesn't know its threads' ids.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;

use crate::backend::futex::held::Held;
use crate::backend::futex::process;
use crate::backend::futex::robust::RobustWord;
use crate::backend::futex::spin::Spin;
use crate::backend::futex::thread::{self, Thread};
use crate::backend::watched::Identity;
use crate::backend::watched::waiting::{SLICE, deadline_of};
use crate::backend::{Acquired, RawMutex, RawPthread, Refused};
use crate::deadline::{Deadline, Patience};
use crate::error::{Error, Result};
use crate::sys;
use crate::sys::pthread::{Locked, OWNER, OWNER_DIED, Protocol, RobustMutex, WAITERS};

/// Nobody has been told of a death, in `owner`.
const UNTOLD: u64 = 1 << 63;

static_assertions::const_assert!(crate::backend::watched::IDENTITY_BITS < 63);

/// A mutex, with or without priority inheritance. All zero when unsettled.
///
/// The `pthread_mutex_t` is at its beginning.
#[repr(C)]
#[derive(Debug)]
pub struct Mutex<const INHERITS: bool> {
    mutex: RobustMutex,
    /// Who has it, see the module's text.
    owner: AtomicU64,
    /// The pid namespace that the owners' ids belong to; 0 where this isn't (yet) in shared memory.
    settled: AtomicU32,
    /// See [`Spin`].
    estimate: AtomicU32,
}

static_assertions::const_assert_eq!(std::mem::offset_of!(Mutex<false>, mutex), 0);
static_assertions::const_assert_eq!(
    std::mem::offset_of!(Mutex<false>, owner),
    size_of::<RobustMutex>().next_multiple_of(8)
);
static_assertions::const_assert!(size_of::<Mutex<false>>() <= 56);

/// The owner's id, 0 where it is free.
fn id_of(word: u32) -> u32 {
    word & OWNER
}

/// Whether the word says that an owner died and nobody has taken the lock since.
fn is_left(word: u32) -> bool {
    id_of(word) == 0 && word & OWNER_DIED != 0
}

impl<const INHERITS: bool> Mutex<INHERITS> {
    pub(super) const fn new() -> Self {
        Mutex {
            mutex: RobustMutex::new(),
            owner: AtomicU64::new(0),
            settled: AtomicU32::new(0),
            estimate: AtomicU32::new(0),
        }
    }

    /// Who this thread is, if it may use the lock and its list has room for it.
    fn enter(&self, me: &Thread) -> Result<Identity, Refused> {
        let identity = me.find_identity().map_err(Refused::Failed)?;
        match self.settled.load(Ordering::Relaxed) {
            0 => Err(Refused::Failed(Error::NotInCell { backend: super::NAME })),
            settled if settled == me.namespace() => {
                me.reserve_for_libc().map_err(Refused::Failed)?;
                Ok(identity)
            }
            settled => {
                let (theirs, ours) = (u64::from(settled), u64::from(me.namespace()));
                Err(Refused::Failed(Error::PidNamespace { what: "the lock".into(), theirs, ours }))
            }
        }
    }

    /// What the mutex's entry on a list has in bit 0.
    const TAG: usize = if INHERITS { sys::pthread::INHERITING_ENTRY } else { 0 };

    const PROTOCOL: Protocol = if INHERITS { Protocol::Inherit } else { Protocol::None };

    /// The mutex as what it is on a thread's list.
    #[inline(always)]
    fn on_the_list(&self) -> &RobustWord {
        const { assert!(size_of::<RobustWord>() <= size_of::<RobustMutex>()) };
        // SAFETY: long enough, aligned (asserted where RobustWord is), and all of that type's parts are atomics, as all
        // that libc keeps there are words.
        unsafe { &*self.mutex.as_ptr().cast::<RobustWord>() }
    }

    /// libc has taken the lock, when the thread's list began with `before`.
    #[inline(always)]
    fn taken(&self, me: &Thread, identity: Identity, before: usize) -> Held {
        // false: somebody scribbled over the kind at that moment, and libc has taken a mutex of another one.
        me.libc_took(self.on_the_list(), Self::TAG, before);
        self.owner.store(identity.bits(), Ordering::Relaxed);
        me.held_unlinked()
    }

    /// Gives the lock back; leaves `owner` to the next one.
    #[inline(always)]
    fn give_back(&self, me: &Thread, owner: u64) {
        // Before the lock is free: killed until then, the kernel marks it again.
        self.owner.store(owner, Ordering::Relaxed);
        me.unlink_libcs(self.on_the_list(), Self::TAG);
        // Does nothing to what isn't this thread's, where somebody scribbled over it: that is left for waiters to make out.
        self.mutex.release(me.tid(), Self::PROTOCOL);
        me.clear_pending();
    }

    /// The lock was to be taken quickly, and there is something to tell about it: gives it back, with that in it.
    #[cold]
    fn leave_to_the_patient(&self, me: &Thread, identity: Identity, locked: Locked, before: usize) {
        let untold = self.owner.load(Ordering::Relaxed) & UNTOLD;
        self.taken(me, identity, before);
        let died = locked == Locked::OwnerDied;
        if died {
            // Fails only for a state that is consistent.
            let _ = self.mutex.consistent();
        }
        self.give_back(me, if died { UNTOLD } else { untold });
    }

    /// Somebody scribbled over the mutex: puts its kind right, reports it, and has the next one told.
    #[cold]
    fn repair(&self) -> Refused {
        let word = self.mutex.make_whole(Self::PROTOCOL);
        self.owner.fetch_or(UNTOLD, Ordering::Relaxed);
        Refused::Failed(Error::Corrupted { word })
    }

    /// The answer to a thread that has the lock on its list.
    #[cold]
    fn refuse_own(&self, me: &Thread, patience: Patience) -> Refused {
        match self.mutex.word().load(Ordering::Relaxed) {
            word if id_of(word) == me.tid() => patience.refuse_own(),
            word => Refused::Failed(Error::Corrupted { word }),
        }
    }

    /// Marks the lock as the kernel would have, if its owner is gone, or the word names nobody that it could be
    /// waiting for; says whether it is worth another try.
    #[cold]
    fn bury_if_gone(&self, word: u32) -> bool {
        if word == 0 || is_left(word) {
            return true;
        }
        let (id, hint) = (id_of(word), self.owner.load(Ordering::Acquire));
        let is_gone = || match Identity::from_bits(hint & !UNTOLD) {
            Some(owner) if owner.thread() == id => owner.is_gone(),
            _ => id == 0 || Identity::is_thread_gone(id),
        };
        // Asked twice, with the words unchanged in between: before the first answer the owner may have unlocked and ended,
        // and after it a new thread of its id may have taken the lock.
        let unchanged =
            || self.mutex.word().load(Ordering::SeqCst) == word && self.owner.load(Ordering::SeqCst) == hint;
        is_gone() && unchanged() && is_gone() && unchanged() && self.mark(word)
    }

    fn mark(&self, word: u32) -> bool {
        let marked = word & WAITERS | OWNER_DIED;
        self.mutex.word().compare_exchange(word, marked, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// libc takes this thread for the owner: is it a namesake of one that died unmarked?
    #[cold]
    fn bury_namesake(&self, me: &Thread, identity: Identity) -> bool {
        let word = self.mutex.word().load(Ordering::SeqCst);
        let owner = Identity::from_bits(self.owner.load(Ordering::Relaxed) & !UNTOLD);
        let is_namesake = owner.is_some_and(|owner| owner.thread() == me.tid() && owner != identity);
        is_namesake && id_of(word) == me.tid() && self.mark(word)
    }

    /// A program in C unlocked it without making it consistent: as if it had died, which is what libc is told.
    ///
    /// libc refuses such a mutex after it has taken it, and glibc's trylock (up to 2.41 at least) doesn't give it back.
    #[cold]
    fn revive(&self, me: &Thread) {
        let leave = |word| (word == 0 || id_of(word) == me.tid()).then_some(word & WAITERS | OWNER_DIED);
        // Err: somebody else has done it.
        let _ = self.mutex.word().fetch_update(Ordering::SeqCst, Ordering::Relaxed, leave);
    }

    /// Waits until the lock is this thread's, which doesn't have it.
    fn wait(&self, me: &Thread, identity: Identity, patience: Patience) -> Result<Acquired<Held>, Refused> {
        let deadline = deadline_of(patience);
        let before = me.first();
        let mut spin = Spin::new(&self.estimate);
        loop {
            let word = self.mutex.word().load(Ordering::Relaxed);
            let is_free = word == 0 || is_left(word);
            let is_over = matches!(patience, Patience::None) || deadline.is_some_and(Deadline::has_passed);
            // Who inherits a priority gives it by sleeping.
            if !is_free && !is_over && !INHERITS && spin.pause() {
                continue;
            }
            if INHERITS && !is_free && self.bury_if_gone(word) {
                continue;
            }
            let until = if is_free || is_over { None } else { Some(Deadline::or_slice(deadline, SLICE)) };
            if until.is_some() {
                spin.failed();
            }
            if !self.mutex.is_whole(Self::PROTOCOL) {
                return Err(self.repair());
            }
            match self.attempt(until)? {
                locked @ (Locked::Clean | Locked::OwnerDied) => {
                    if until.is_none() {
                        spin.paid();
                    }
                    let died = locked == Locked::OwnerDied;
                    let untold = self.owner.load(Ordering::Relaxed) & UNTOLD != 0;
                    let held = self.taken(me, identity, before);
                    if died {
                        // Fails only where somebody scribbled over it.
                        let _ = self.mutex.consistent();
                    }
                    return Ok(Acquired { held, owner_died: died || untold });
                }
                Locked::Own if self.bury_namesake(me, identity) => {}
                Locked::Own => return Err(patience.refuse_own()),
                Locked::GivenUp => self.revive(me),
                Locked::Busy if is_over => {
                    if me.may_ask(self) && self.bury_if_gone(self.mutex.word().load(Ordering::SeqCst)) {
                        continue;
                    }
                    return Err(if deadline.is_some() { Refused::TimedOut } else { Refused::WouldBlock });
                }
                Locked::Busy => {
                    if until.is_some() {
                        self.bury_if_gone(self.mutex.word().load(Ordering::SeqCst));
                    }
                    spin = Spin::new(&self.estimate);
                }
            }
        }
    }

    /// As long as `until`, or not at all.
    fn attempt(&self, until: Option<nix::sys::time::TimeSpec>) -> Result<Locked, Refused> {
        let (call, done) = match until {
            None => ("pthread_mutex_trylock", self.mutex.try_lock()),
            Some(until) => ("pthread_mutex_clocklock", self.mutex.lock_until(until)),
        };
        done.map_err(|errno| Refused::Failed(failed(call, errno)))
    }
}

// SAFETY: invariant 1, and libc's promise that one thread holds the mutex.
unsafe impl<const INHERITS: bool> RawMutex for Mutex<INHERITS> {
    const UNLOCKED: Self = Self::new();
    type Held = Held;

    #[inline(always)]
    fn lock_at_once(&self) -> Option<Held> {
        thread::with(|me| {
            let identity = me.identity()?;
            if self.settled.load(Ordering::Relaxed) != me.namespace() || !me.has_room_for_libc() {
                return None;
            }
            if me.has(self.on_the_list()) || !self.mutex.is_whole(Self::PROTOCOL) {
                return None;
            }
            let before = me.first();
            match self.mutex.try_lock() {
                Ok(Locked::Clean) if self.owner.load(Ordering::Relaxed) == 0 => Some(self.taken(me, identity, before)),
                Ok(locked @ (Locked::Clean | Locked::OwnerDied)) => {
                    self.leave_to_the_patient(me, identity, locked, before);
                    None
                }
                Ok(Locked::GivenUp) => {
                    self.revive(me);
                    None
                }
                _ => None,
            }
        })
    }

    #[cold]
    fn lock(&self, patience: Patience) -> Result<Acquired<Held>, Refused> {
        thread::with(|me| {
            let identity = self.enter(me)?;
            if me.has(self.on_the_list()) {
                return Err(self.refuse_own(me, patience));
            }
            let taken = self.wait(me, identity, patience);
            if taken.is_err() {
                me.clear_pending(); // glibc (up to 2.41 at least) leaves it there when a wait's time is over
            }
            taken
        })
    }

    #[inline(always)]
    unsafe fn unlock(&self, held: Held) {
        thread::with(|me| {
            // A forked child has a copy of what its parent holds.
            if me.is_holder(held) {
                self.give_back(me, 0);
            }
        });
    }

    #[inline]
    fn mark(held: Held) -> Held {
        held.mark()
    }

    #[inline]
    fn is_marked(held: Held) -> bool {
        held.is_marked()
    }

    fn is_inherited(&self, held: Held) -> bool {
        held.is_inherited()
    }

    fn held_here(&self) -> Option<Held> {
        thread::with(|me| {
            let mine = self.owner.load(Ordering::Relaxed) == me.identity()?.bits();
            (mine && id_of(self.mutex.word().load(Ordering::Relaxed)) == me.tid()).then(|| me.held_unlinked())
        })
    }

    fn is_locked(&self) -> bool {
        self.owner_thread().is_some()
    }

    fn owner_died(&self) -> bool {
        is_left(self.mutex.word().load(Ordering::Relaxed)) || self.owner.load(Ordering::Relaxed) & UNTOLD != 0
    }

    fn forget_death(&self) {
        if !self.owner_died() {
            return;
        }
        // Only who holds the lock may say that its state is consistent. Refused, somebody else is about to be told.
        if let Ok(Acquired { held, .. }) = self.lock(Patience::None) {
            // SAFETY: just taken, in this thread.
            unsafe { self.unlock(held) };
        }
    }

    fn owner_thread(&self) -> Option<u32> {
        match id_of(self.mutex.word().load(Ordering::Relaxed)) {
            0 => None,
            id => Some(id),
        }
    }

    fn owner_process(&self) -> Option<u32> {
        self.owner_thread().and_then(sys::thread::process_of)
    }

    unsafe fn settle(&self) -> Result<()> {
        let namespace = process::pid_namespace()?;
        // SAFETY: handed through.
        unsafe { self.mutex.init(Self::PROTOCOL) }.map_err(|(call, errno)| {
            sys::failed(
                call,
                "a lock's mutex",
                errno,
                "this libc must have robust, process-shared mutexes of that kind",
            )
        })?;
        self.owner.store(0, Ordering::Relaxed);
        self.settled.store(namespace as u32, Ordering::Relaxed);
        Ok(())
    }

    unsafe fn teardown(&self) {}
}

// SAFETY: `mutex` is a robust `pthread_mutex_t` once it is settled.
unsafe impl<const INHERITS: bool> RawPthread for Mutex<INHERITS> {
    fn as_pthread(&self) -> *mut c_void {
        self.mutex.as_ptr().cast()
    }
}

fn failed(call: &'static str, errno: Errno) -> Error {
    sys::failed(call, "a lock's mutex", errno, "somebody scribbled over it: make the region anew")
}
