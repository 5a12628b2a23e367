//! What this thread holds and who it is, kept where no other process can write.
//!
//! # Why
//!
//! The links of the robust list stand in shared memory, where a peer may scribble. So the order of our entries is kept
//! here too, and unlinking follows this record; links in shared memory are compared with it, never followed. How often a
//! lock is held stands here for the same reason: it decides when its entry leaves the list.
//!
//! # State
//!
//! Thread-local, const-initialised and without a destructor, because a guard that sits in somebody's thread-local may
//! be dropped after ours would be gone. `generation` tells whether the rest is of this process: a word that the kernel
//! zeroes in every forked child is compared with it.
//!
//! # Invariants
//!
//! 1. The record's places 1 to `held` are the locks of ours that the kernel reaches from `head`, oldest first, with none
//!    of ours left out; mutexes of libc's that this crate has it take are among them. Entries of the program's own robust
//!    mutexes may stand anywhere between.
//! 2. Where libc has none between, each lock's link leads to the place before it. A link that differs is looked at, not
//!    trusted: libc changes links of ours when it links or unlinks a neighbour, and peers scribble.
//! 3. Every recorded lock stays mapped while it is recorded: settled locks live in mappings that are kept as long as a
//!    thread of the process owns one of them.
//! 4. The count of the first place is 0 while no lock stands there; the other places get theirs with their lock.
//!
//! # Limits
//!
//! While a robust mutex of libc's stands behind a lock of ours, the lock's link is the only way to it, so links are used if
//! they lead to a mutex that this thread holds. A peer that scribbles could lead them to private memory that looks like
//! one; where libc's mutexes are only in front, or there are none, it can't.
//!
//! Locks are for threads, not for signal handlers: a handler that takes a lock while it interrupts this code may find
//! the list half-changed. A thread made by raw `clone` with shared memory and without its own thread-locals is no thread.
//!
//! The model of the list is `tests/models/linking.py`.

mod alone;
mod beside;
mod foreign;
mod known;
mod libcs;

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{self, Ordering, compiler_fence, fence};

use self::foreign::{back_of, first_half, tell_foreign, walk, walk_from};
pub(crate) use self::known::is_held_within;
use super::held::Held;
use super::process;
use super::robust::RobustWord;
use crate::atomic::AtomicU32;
use crate::backend::watched::Identity;
use crate::error::{Error, Result};
use crate::sys::robust_list::{self, Head, LIMIT, LINK_AT, WORD_AT};
use crate::sys::{self, clock, self_memory};

/// How many locks a thread records without a table of its own.
const FEW: usize = 8;

/// How many a table of its own has room for, after the few.
const MANY: usize = LIMIT - FEW;

/// The calling thread.
pub(crate) struct Thread {
    /// The process's generation: a word that the kernel zeroes in a forked child.
    process: Cell<*const atomic::AtomicU32>,
    /// The generation that the rest of the state is of.
    generation: Cell<u32>,
    /// The pid namespace's inode number; they fit 32 bits, 0 is none.
    namespace: Cell<u32>,
    /// How many of ours are on the list beyond the first; 0 where there is none.
    more: Cell<u32>,
    /// Whether libc knows this thread: see [`Thread::reserve_for_libc`].
    by_libc: Cell<bool>,
    /// May be set though no entry of libc's stands behind one of ours, never clear where one does.
    among_foreign: Cell<bool>,
    head: Cell<*const Head>,
    /// The thread's id and, above it, when it was first seen in tenths of a second since boot: it is no younger.
    stamp: Cell<u64>,
    /// Where this thread looks for a free slot first, see [`rwlock`](super::rwlock).
    slot: Cell<u32>,
    /// See [`Thread::identity`]; 0 where nobody has asked.
    identity: Cell<u64>,
    /// Lock and tenth of a second of the last look whether an owner is alive, see [`Thread::may_ask`].
    asked: Cell<(usize, u32)>,
    /// The record: what stands for the head, then the oldest few; the later ones are in `many`. The first lock's place
    /// is empty where no lock of ours is on the list.
    few: [Place; 1 + FEW],
    many: Cell<Option<NonNull<[Place; MANY]>>>,
    /// For a thread whose libc registered no head.
    own_head: Head,
}

/// A place of the record.
struct Place {
    /// Null where it is empty. One of libc's mutexes is a word like ours in all that the list needs; bit 0 is set where
    /// its entry has it.
    lock: Cell<*const RobustWord>,
    /// How often this thread holds the lock beyond the first time.
    again: Cell<usize>,
}

impl Place {
    const fn empty() -> Place {
        Place { lock: Cell::new(std::ptr::null()), again: Cell::new(0) }
    }

    /// The entry of the lock that stands here, as the link before it has it.
    #[inline]
    fn entry(&self) -> usize {
        self.lock.get().addr().wrapping_add(LINK_AT)
    }

    /// The lock that stands here; not for the head's place, or an empty one.
    fn word(&self) -> &RobustWord {
        // SAFETY: invariant 3.
        unsafe { &*self.lock.get().map_addr(|address| address & !1) }
    }

    fn clear(&self) {
        self.set(std::ptr::null(), 0);
    }

    fn set(&self, lock: *const RobustWord, again: usize) {
        self.lock.set(lock);
        self.again.set(again);
    }
}

#[cfg(not(loom))]
thread_local! {
    static THREAD: Thread = const { Thread::new() };
}

#[cfg(loom)]
loom::thread_local! {
    static THREAD: Thread = Thread::new();
}

/// A thread whose state is fresh, with nothing on its list but the one lock, if any, that this was asked for: what the
/// way of an uncontended lock needs, looked up once.
pub(crate) struct Alone<'a> {
    head: &'a Head,
    first: &'a Place,
    generation: u32,
}

/// Runs `f` with the calling thread, whose state may be stale.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&Thread) -> R) -> R {
    // Through a pointer, so that `f` is inlined here and not into a function of the standard library's.
    let me = THREAD.with(std::ptr::from_ref);
    // SAFETY: it has no destructor, so it lives until the thread has ended; `f` can't keep the reference.
    f(unsafe { &*me })
}

impl Thread {
    const fn new() -> Thread {
        Thread {
            process: Cell::new(&raw const process::NOBODY),
            generation: Cell::new(0),
            namespace: Cell::new(0),
            more: Cell::new(0),
            by_libc: Cell::new(false),
            among_foreign: Cell::new(false),
            head: Cell::new(std::ptr::null()),
            stamp: Cell::new(0),
            slot: Cell::new(0),
            identity: Cell::new(0),
            asked: Cell::new((0, 0)),
            few: [const { Place::empty() }; 1 + FEW],
            many: Cell::new(None),
            own_head: Head::unregistered(),
        }
    }

    /// The generation of this process, or 0 where nobody has asked since it was forked.
    #[inline]
    fn current(&self) -> u32 {
        // SAFETY: points to a static or to a page that is never unmapped.
        unsafe { &*self.process.get() }.load(Ordering::Relaxed)
    }

    /// Whether the state is of this thread in this process.
    #[inline]
    pub(crate) fn is_fresh(&self) -> bool {
        self.generation.get() == self.current()
    }

    /// Whether this process holds what `held` is of, not an ancestor of it.
    #[inline]
    pub(crate) fn is_holder(&self, held: Held) -> bool {
        held.is_of(self.current())
    }

    /// Ready to lock without a further look, if the state is fresh and nothing is on the list.
    #[inline(always)]
    pub(crate) fn alone(&self) -> Option<Alone<'_>> {
        let generation = self.current();
        if generation != self.generation.get() {
            return None;
        }
        let head = self.head();
        (head.next.get() == head.address()).then_some(Alone { head, first: &self.few[1], generation })
    }

    /// Ready to unlock without a further look, if the lock is the only entry of the list.
    #[inline(always)]
    pub(crate) fn alone_with(&self, lock: &RobustWord, held: Held) -> Option<Alone<'_>> {
        let generation = self.current();
        // Not before: a thread that has locked in this process has a fresh state.
        if !held.is_just(generation) {
            return None;
        }
        let head = self.head();
        // It joined an empty list, so there is nothing behind it.
        (head.next.get() == lock.entry()).then_some(Alone { head, first: &self.few[1], generation })
    }

    /// What this thread keeps of a lock on the list, among others.
    pub(crate) fn held_linked(&self) -> Held {
        Held::linked(self.generation.get())
    }

    /// What this thread keeps of a lock that isn't on the list.
    #[inline]
    pub(crate) fn held_unlinked(&self) -> Held {
        Held::unlinked(self.generation.get())
    }

    /// The thread's id.
    #[inline]
    pub(crate) fn tid(&self) -> u32 {
        self.stamp.get() as u32
    }

    /// The pid namespace that the thread's id belongs to.
    #[inline]
    pub(crate) fn namespace(&self) -> u32 {
        self.namespace.get()
    }

    /// What tells this thread from a later one of the same id: the id and, above it, a time when it lived.
    #[inline]
    pub(crate) fn stamp(&self) -> u64 {
        self.stamp.get()
    }

    /// Makes the state this thread's in this process, if it isn't.
    pub(crate) fn refresh(&self) -> Result<()> {
        if self.is_fresh() { Ok(()) } else { self.refresh_now() }
    }

    #[cold]
    fn refresh_now(&self) -> Result<()> {
        let word = process::generation_word()?;
        let generation = process::enter(word)?;
        let registered = || {
            robust_list::get()
                .map_err(|e| sys::failed("get_robust_list", "this thread", e, "the kernel must have robust futexes"))
        };
        let mut head_of_libc = registered()?;
        if cfg!(target_env = "musl") && head_of_libc.is_null() {
            // musl registers its own with a thread's first robust mutex, and would do so in place of ours later.
            let _ = sys::pthread::id_of_this_thread();
            head_of_libc = registered()?;
        }
        let head: *const Head = if !head_of_libc.is_null() {
            head_of_libc
        } else {
            // Raw clone: what libc registered for the parent thread stands in our copy of its memory, unregistered.
            let head = if self.head.get().is_null() { &raw const self.own_head } else { self.head.get() };
            // SAFETY: either part of this thread-local or of libc's thread descriptor, both live as long as the thread.
            let it = unsafe { &*head };
            it.next.set(it.address());
            it.pending.set(0);
            // SAFETY: as above.
            unsafe { robust_list::set(head) }
                .map_err(|e| sys::failed("set_robust_list", "this thread", e, "the kernel must have robust futexes"))?;
            head
        };
        // SAFETY: registered by libc or above, so it lives as long as the thread.
        let it = unsafe { &*head };
        if !it.fits() {
            return Err(Error::Unsupported {
                what: "the robust list of this libc".into(),
                why: "its locks have another geometry than this build of pshared",
            });
        }
        it.pending.set(0);
        self.head.set(head);
        self.few[1].clear(); // a child holds nothing
        self.more.set(0);
        self.by_libc.set(false);
        self.few[0].lock.set(std::ptr::without_provenance(it.address().wrapping_sub(LINK_AT)));
        let seen = clock::boot_tenths(process::boot_time_offset());
        self.stamp.set(u64::from(sys::thread::gettid()) | u64::from(seen) << 32);
        self.namespace.set(process::namespace_entered());
        // Ids that follow each other get slots that don't: neighbouring cache lines are fetched together.
        self.slot.set(self.tid().wrapping_mul(37));
        self.identity.set(0);
        self.asked.set((0, 0));
        known::make_known(self, generation)?;
        self.process.set(word);
        self.generation.set(generation);
        Ok(())
    }

    #[inline]
    fn head(&self) -> &Head {
        // SAFETY: callers have a fresh state, so the pointer was set by refresh_now, where it is argued.
        unsafe { &*self.head.get() }
    }

    /// Announces to the kernel that `lock` is being taken or given back.
    #[inline]
    pub(crate) fn set_pending(&self, lock: &RobustWord) {
        self.head().pending.set(lock.entry());
        // The kernel reads it in this thread's own order: only the compiler could reorder.
        compiler_fence(Ordering::SeqCst);
    }

    /// Announces to the kernel that this thread sleeps on `word`, or has just been woken there: if it dies, and nobody
    /// owns the word, another sleeper is woken. Needs a fresh state, as everything that is announced.
    #[inline]
    pub(crate) fn set_pending_word(&self, word: &AtomicU32) {
        // Exposed: the kernel uses the address. It reads nothing there but the word.
        let address = std::ptr::from_ref(word).expose_provenance();
        self.head().pending.set(address + LINK_AT - WORD_AT);
        compiler_fence(Ordering::SeqCst);
    }

    /// Takes the announcement back.
    #[inline]
    pub(crate) fn clear_pending(&self) {
        compiler_fence(Ordering::SeqCst);
        self.head().pending.set(0);
    }

    /// Whether [`link`](Thread::link) has room without [`reserve`](Thread::reserve).
    pub(crate) fn has_room(&self) -> bool {
        self.held() < FEW
    }

    /// Makes sure that [`link`](Thread::link) has room, in the record and within the kernel's limit.
    pub(crate) fn reserve(&self) -> Result<()> {
        match self.held() {
            _ if !self.is_below_limit_by(1) => Err(Error::TooManyLocks { limit: LIMIT }),
            0..FEW => Ok(()),
            FEW..LIMIT if self.many.get().is_some() => Ok(()),
            FEW..LIMIT => {
                let mut many: Vec<Place> = Vec::new();
                many.try_reserve_exact(MANY).map_err(|_| {
                    sys::failed("malloc", "the record of held locks", nix::errno::Errno::ENOMEM, "free memory")
                })?;
                many.resize_with(MANY, Place::empty);
                self.many.set(NonNull::new(Box::into_raw(many.into_boxed_slice()).cast()));
                Ok(())
            }
            LIMIT.. => Err(Error::TooManyLocks { limit: LIMIT }),
        }
    }

    /// A place of the record, from 0 for the head.
    #[inline]
    fn place(&self, at: usize) -> &Place {
        match self.few.get(at) {
            Some(few) => few,
            None => self.later_place(at),
        }
    }

    #[cold]
    fn later_place(&self, at: usize) -> &Place {
        match self.many.get() {
            // SAFETY: allocated by reserve; freed by unlink_from_middle only, when no later place is in use.
            Some(many) => &(unsafe { many.as_ref() })[at - self.few.len()],
            None => unreachable!("linked without reserve"),
        }
    }

    /// Whether `count` more locks are within the kernel's limit.
    pub(crate) fn is_below_limit_by(&self, count: usize) -> bool {
        self.held() + count <= LIMIT
    }

    /// How many locks of ours are on the list.
    fn held(&self) -> usize {
        usize::from(!self.few[1].lock.get().is_null()) + self.more.get() as usize
    }

    fn position(&self, wanted: usize) -> Option<usize> {
        (1..=self.held()).rfind(|at| self.place(*at).entry() & !1 == wanted & !1)
    }

    /// Where the record has a lock whose entry is among these addresses, and that entry.
    pub(crate) fn entry_within(&self, addresses: &std::ops::Range<usize>) -> Option<(usize, usize)> {
        (1..=self.held()).map(|at| (at, self.place(at).entry())).find(|(_, entry)| addresses.contains(entry))
    }

    /// Where this thread looks for a free slot first.
    #[inline]
    pub(crate) fn slot(&self) -> u32 {
        self.slot.get()
    }

    /// Has this thread look there first from now on.
    pub(crate) fn set_slot(&self, slot: u32) {
        self.slot.set(slot);
    }

    /// Puts a lock that this thread has just taken on the robust list, newest first.
    pub(crate) fn link(&self, lock: &RobustWord) -> Held {
        let (head, held) = (self.head(), self.held());
        let first = head.next.get();
        lock.set_next(first);
        let foreign = first != self.place(held).entry();
        if foreign {
            tell_foreign(first, lock.entry());
        }
        self.among_foreign.set(foreign || held > 0 && self.among_foreign.get());
        compiler_fence(Ordering::SeqCst);
        head.next.set(lock.entry());
        self.place(held + 1).set(lock, 0);
        self.more.set(held as u32);
        let generation = self.generation.get();
        if first == head.address() { Held::alone(generation) } else { Held::linked(generation) }
    }

    /// Takes a lock of this thread off the robust list.
    pub(crate) fn unlink(&self, lock: &RobustWord) {
        let held = self.held();
        // The list's first entry, if it is ours, is the newest of ours, which is the last of the record.
        if held > 0 && self.head().next.get() == lock.entry() {
            let below = self.place(held - 1).entry();
            if lock.next() == below {
                self.head().next.set(below);
                compiler_fence(Ordering::SeqCst);
                return self.forget_newest();
            }
        }
        self.unlink_from_middle(lock.entry());
    }

    /// Takes the last lock out of the record.
    fn forget_newest(&self) {
        match self.more.get() {
            0 => self.few[1].clear(),
            more => self.more.set(more - 1),
        }
    }

    /// Takes an entry off the list that is not simply the newest with one of ours behind it.
    #[cold]
    fn unlink_from_middle(&self, gone: usize) {
        let Some(at) = self.position(gone) else {
            return; // never linked by this thread: nothing to take off
        };
        let held = self.held();
        let (gone, below) = (self.place(at).entry(), self.place(at - 1).entry());
        // Where libc has nothing between, the record alone says what comes before and behind: a link that says otherwise
        // was scribbled over.
        let alone = !self.among_foreign.get() && (at < held || self.head().next.get() == gone);
        if alone || self.next_after(at + 1) == gone && self.next_after(at) == below {
            self.set_next_after(at + 1, below);
        } else if !self.unlink_among_foreign(at, gone, below) {
            self.relink_ours(at);
        }
        compiler_fence(Ordering::SeqCst);
        for i in at..held {
            let next = self.place(i + 1);
            self.place(i).set(next.lock.get(), next.again.get());
            fence(Ordering::Release); // other threads may look for it, see `known`
        }
        self.forget_newest();
        if held - 1 == FEW
            && let Some(many) = self.many.take()
        {
            // SAFETY: from Box::into_raw in reserve; no place beyond the few is in use any more.
            drop(unsafe { Box::from_raw(many.as_ptr()) });
        }
    }

    /// What stands in the link of the lock at `at`, or in the head's for the place after the newest.
    fn next_after(&self, at: usize) -> usize {
        if at > self.held() { self.head().next.get() } else { self.place(at).word().next() }
    }

    fn set_next_after(&self, at: usize, next: usize) {
        if at > self.held() {
            self.head().next.set(next);
        } else {
            self.place(at).word().set_next(next);
        }
    }

    /// Unlinks where libc's own robust mutexes stand beside: walks from the head by reads that can't fault. `false` if
    /// the list is broken before it reaches the entry.
    fn unlink_among_foreign(&self, at: usize, gone: usize, below: usize) -> bool {
        let (head, gone) = (self.head().address(), gone & !1);
        let Some(before) = walk(head, |link| link == gone) else { return false };
        // The link stands in shared memory: it is passed on only if it leads to what must come next, by way of a mutex of
        // libc's that this thread holds.
        let next = self.next_after(at);
        let is_foreign = self.among_foreign.get() && self.is_held_behind(next, gone);
        let next = if is_foreign && walk_from(next, head, |link| link == below & !1).is_some() { next } else { below };
        match self.position(before) {
            Some(ours) => self.set_next_after(ours, next),
            None if before == head => self.head().next.set(next),
            // SAFETY: a link of libc's own list, found to lead to our entry; libc's own unlinking writes the same.
            None => _ = unsafe { self_memory::write_word(before, next) },
        }
        if next != below {
            // SAFETY: the back link of an entry of libc's that named our entry as the one before it.
            let _ = unsafe { self_memory::write_word(back_of(next), before) };
        }
        true
    }

    /// Whether `next` looks like a mutex of libc's that this thread holds and that stands behind the entry `before`.
    fn is_held_behind(&self, next: usize, before: usize) -> bool {
        let word = (next & !1).wrapping_sub(LINK_AT - WORD_AT);
        let word = self_memory::read_word(word).map(|bytes| super::robust::OWNER & first_half(bytes));
        word == Ok(self.tid()) && self_memory::read_word(back_of(next)) == Ok(before)
    }

    /// Somebody scribbled over the links: writes our own anew from the record, without the one at `gone`.
    fn relink_ours(&self, gone: usize) {
        let mut next = self.head().address();
        for at in (1..=self.held()).filter(|at| *at != gone) {
            self.set_next_after(at, next);
            next = self.place(at).entry();
        }
        self.head().next.set(next);
    }

    /// Whether this thread holds the lock at this address.
    pub(crate) fn has(&self, lock: &RobustWord) -> bool {
        self.position(lock.entry()).is_some()
    }

    /// What tells this thread from every other one there ever was, if it has been asked for before and the state is
    /// fresh; otherwise ask [`find_identity`](Thread::find_identity).
    #[inline(always)]
    pub(crate) fn identity(&self) -> Option<Identity> {
        if self.is_fresh() { Identity::from_bits(self.identity.get()) } else { None }
    }

    /// The same, found out if need be.
    #[cold]
    pub(crate) fn find_identity(&self) -> Result<Identity> {
        self.refresh()?;
        if let Some(known) = self.identity() {
            return Ok(known);
        }
        let found = Identity::of_this_thread(self.stamp.get());
        self.identity.set(found.bits());
        Ok(found)
    }

    /// Counts that this thread holds the lock at this place of the record once more.
    pub(crate) fn hold_again(&self, at: usize) -> Held {
        let again = &self.place(at).again;
        again.set(again.get() + 1);
        self.held_linked()
    }

    /// Takes one back of the times that this thread holds a lock of its list beyond the first; `false` if there is none.
    pub(crate) fn hold_less(&self, lock: &RobustWord) -> bool {
        let again = self.position(lock.entry()).map(|at| &self.place(at).again);
        let less = again.and_then(|again| again.get().checked_sub(1));
        again.zip(less).map(|(again, less)| again.set(less)).is_some()
    }

    /// Whether a failed try may ask the system if the owner is alive: at most ten times a second for one lock.
    pub(crate) fn may_ask<L>(&self, lock: &L) -> bool {
        let now = (std::ptr::from_ref(lock).addr(), clock::boot_tenths(0));
        now != self.asked.replace(now)
    }
}
