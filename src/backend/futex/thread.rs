//! What this thread holds and who it is, kept where no other process can write.
//!
//! # Why
//!
//! The links of the robust list stand in shared memory, where a peer may scribble. So the order of our entries is kept
//! here too, and unlinking follows this record; links in shared memory are compared with it, never followed.
//!
//! # State
//!
//! Thread-local, const-initialised and without a destructor, because a guard that sits in somebody's thread-local may
//! be dropped after ours would be gone. `generation` tells whether the rest is of this process: a word that the kernel
//! zeroes in every forked child is compared with it.
//!
//! # Invariants
//!
//! 1. `record[..held]` are the entries of ours that the kernel reaches from `head`, oldest first, with nothing of ours
//!    left out; entries of libc's own robust mutexes may stand anywhere between.
//! 2. `record[i].next` is what the entry's link was when this module last wrote it. libc changes links when it removes
//!    a neighbour of its own, so a link that differs is looked at, not trusted.
//! 3. Every recorded lock stays mapped while it is recorded: settled locks live in mappings that are kept as long as a
//!    thread of the process owns one of them.
//!
//! # Limits
//!
//! Locks are for threads, not for signal handlers: a handler that takes a lock while it interrupts this code may find
//! the list half-changed. A thread made by raw `clone` with shared memory and without its own thread-locals is no thread.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering, compiler_fence};

use super::robust::RobustWord;
use crate::error::{Error, Result};
use crate::sys::robust_list::{self, Head, LIMIT};
use crate::sys::{self, clock, fork, namespace, self_memory};

/// How many locks a thread records without a table of its own.
const FEW: usize = 8;

/// One linked lock: its entry and what its link was when we wrote it.
#[derive(Clone, Copy)]
struct Linked {
    entry: usize,
    lock: *const RobustWord,
    next: usize,
}

impl Linked {
    const NONE: Linked = Linked { entry: 0, lock: std::ptr::null(), next: 0 };
}

/// The calling thread.
pub(crate) struct Thread {
    generation: Cell<u32>,
    tid: Cell<u32>,
    /// The pid namespace's inode number; they fit 32 bits, 0 is none.
    namespace: Cell<u32>,
    held: Cell<u32>,
    head: Cell<*const Head>,
    /// Tenths of a second since boot when this thread was first seen: it is no younger than that.
    seen: Cell<u32>,
    /// Lock and tenth of a second of the last look whether an owner is alive, see [`Thread::may_ask`].
    asked: Cell<(usize, u32)>,
    /// The record when it is larger than `few`.
    many: Cell<Option<NonNull<[Cell<Linked>; LIMIT]>>>,
    few: [Cell<Linked>; FEW],
    /// For a thread whose libc registered no head.
    own_head: Head,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            generation: Cell::new(0),
            tid: Cell::new(0),
            namespace: Cell::new(0),
            held: Cell::new(0),
            head: Cell::new(std::ptr::null()),
            seen: Cell::new(0),
            asked: Cell::new((0, 0)),
            many: Cell::new(None),
            few: [const { Cell::new(Linked::NONE) }; FEW],
            own_head: Head::unregistered(),
        }
    };
}

/// A generation that no thread has: what is read before the first thread comes.
static NOBODY: AtomicU32 = AtomicU32::new(u32::MAX);

/// The word that the kernel zeroes in a forked child; otherwise the process's generation.
static GENERATION: AtomicPtr<AtomicU32> = AtomicPtr::new(&raw const NOBODY as *mut AtomicU32);

/// Generations given so far, in this process and its ancestors.
static GIVEN: AtomicU32 = AtomicU32::new(0);

/// What is the same for all threads of a process, and the generation that it was found out for.
static PROCESS_NAMESPACE: AtomicU64 = AtomicU64::new(0);
static PROCESS_BOOT_OFFSET: AtomicI64 = AtomicI64::new(0);
static PROCESS_GENERATION: AtomicU32 = AtomicU32::new(0);

#[inline]
fn process_generation() -> u32 {
    // SAFETY: points to a static or to a page that is never unmapped once it stands here.
    unsafe { &*GENERATION.load(Ordering::Acquire) }.load(Ordering::Relaxed)
}

/// Whether what a thread of this generation locked is this process's, not an ancestor's.
#[inline]
pub(crate) fn is_current(generation: u32) -> bool {
    generation == process_generation()
}

/// Runs `f` with the calling thread, whose state may be stale.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&Thread) -> R) -> R {
    THREAD.with(f)
}

impl Thread {
    /// Whether the state is of this thread in this process.
    #[inline]
    pub(crate) fn is_fresh(&self) -> bool {
        self.generation.get() == process_generation()
    }

    /// Whether the state is fresh, the thread is in pid namespace `namespace`, and one more lock fits at once.
    #[inline]
    pub(crate) fn is_ready_for(&self, namespace: u32) -> bool {
        self.is_fresh() & (self.namespace.get() == namespace) && (self.held.get() as usize) < FEW
    }

    /// The process's generation when the state was made.
    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.generation.get()
    }

    /// The thread's id.
    #[inline]
    pub(crate) fn tid(&self) -> u32 {
        self.tid.get()
    }

    /// The pid namespace that the thread's id belongs to.
    pub(crate) fn namespace(&self) -> u32 {
        self.namespace.get()
    }

    /// What tells this thread from a later one of the same id: the id and, above it, a time when it lived.
    #[inline]
    pub(crate) fn stamp(&self) -> u64 {
        u64::from(self.tid.get()) | u64::from(self.seen.get()) << 32
    }

    /// Makes the state this thread's in this process, if it isn't.
    pub(crate) fn refresh(&self) -> Result<()> {
        if self.is_fresh() { Ok(()) } else { self.refresh_now() }
    }

    #[cold]
    fn refresh_now(&self) -> Result<()> {
        let generation = enter_process()?;
        let registered = robust_list::get()
            .map_err(|e| sys::failed("get_robust_list", "this thread", e, "the kernel must have robust futexes"))?;
        let head: *const Head = if !registered.is_null() {
            registered
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
        self.held.set(0); // a child holds nothing
        self.tid.set(sys::thread::gettid());
        self.namespace.set(PROCESS_NAMESPACE.load(Ordering::Relaxed) as u32);
        self.seen.set(clock::boot_tenths(PROCESS_BOOT_OFFSET.load(Ordering::Relaxed)));
        self.asked.set((0, 0));
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

    /// Takes the announcement back.
    #[inline]
    pub(crate) fn clear_pending(&self) {
        compiler_fence(Ordering::SeqCst);
        self.head().pending.set(0);
    }

    /// Makes sure that [`link`](Thread::link) has room, in the record and within the kernel's limit.
    pub(crate) fn reserve(&self) -> Result<()> {
        match self.held.get() as usize {
            LIMIT.. => Err(Error::TooManyLocks { limit: LIMIT }),
            held if held >= FEW && self.many.get().is_none() => {
                let mut many = Vec::new();
                many.try_reserve_exact(LIMIT).map_err(|_| {
                    sys::failed("malloc", "the record of held locks", nix::errno::Errno::ENOMEM, "free memory")
                })?;
                many.extend(self.few.iter().cloned());
                many.resize_with(LIMIT, || Cell::new(Linked::NONE));
                self.many.set(NonNull::new(Box::into_raw(many.into_boxed_slice()).cast()));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The record with its free places.
    #[inline]
    fn record(&self) -> &[Cell<Linked>] {
        match self.many.get() {
            None => &self.few,
            // SAFETY: allocated by reserve; freed by shrink only, whose caller has no use for the record any more.
            Some(many) => unsafe { many.as_ref() },
        }
    }

    /// Gives a large record back when nothing is held.
    fn shrink(&self) {
        if self.held.get() == 0
            && let Some(many) = self.many.take()
        {
            // SAFETY: from Box::into_raw in reserve; nothing refers to it any more.
            drop(unsafe { Box::from_raw(many.as_ptr()) });
        }
    }

    /// Puts a lock that this thread has just taken on the robust list, newest first.
    #[inline]
    pub(crate) fn link(&self, lock: &RobustWord) {
        let head = self.head();
        let record = self.record();
        let held = self.held.get() as usize;
        let first = head.next.get();
        let ours = if held == 0 { head.address() } else { record[held - 1].get().entry };
        let entry = lock.entry();
        lock.set_next(first);
        if first != ours {
            tell_foreign(first, entry);
        }
        compiler_fence(Ordering::SeqCst);
        head.next.set(entry);
        record[held].set(Linked { entry, lock, next: first });
        self.held.set(held as u32 + 1);
    }

    /// Takes a lock of this thread off the robust list.
    #[inline]
    pub(crate) fn unlink(&self, lock: &RobustWord) {
        let head = self.head();
        let held = self.held.get() as usize;
        let entry = lock.entry();
        if self.many.get().is_none() && held > 0 {
            let top = self.few[held - 1].get();
            let below = if held == 1 { head.address() } else { self.few[held - 2].get().entry };
            if top.entry == entry && head.next.get() == entry && top.next == below && lock.next() == below {
                head.next.set(below);
                compiler_fence(Ordering::SeqCst);
                self.held.set(held as u32 - 1);
                return;
            }
        }
        self.unlink_from_middle(entry);
    }

    /// Takes an entry off the list that is not simply the newest with one of ours behind it.
    #[cold]
    fn unlink_from_middle(&self, entry: usize) {
        let head = self.head();
        let held = self.held.get() as usize;
        let record = self.record();
        let Some(at) = record[..held].iter().rposition(|linked| linked.get().entry == entry) else {
            return; // never linked by this thread: nothing to take off
        };
        let below = if at == 0 { head.address() } else { record[at - 1].get().entry };
        let clean = self.next_after(at + 1) == entry && record[at].get().next == below && self.next_after(at) == below;
        if clean {
            self.set_next_after(at + 1, below);
        } else if !self.unlink_among_foreign(at, entry, below) {
            self.relink_ours(at);
        }
        compiler_fence(Ordering::SeqCst);
        for i in at..held - 1 {
            record[i].set(record[i + 1].get());
        }
        self.held.set(held as u32 - 1);
        self.shrink();
    }

    /// What stands in the link of `record[at]`, or in the head for the place after the newest.
    fn next_after(&self, at: usize) -> usize {
        if at == self.held.get() as usize {
            self.head().next.get()
        } else {
            // SAFETY: invariant 3.
            unsafe { &*self.record()[at].get().lock }.next()
        }
    }

    fn set_next_after(&self, at: usize, next: usize) {
        if at == self.held.get() as usize {
            self.head().next.set(next);
        } else {
            // SAFETY: invariant 3.
            unsafe { &*self.record()[at].get().lock }.set_next(next);
            let linked = self.record()[at].get();
            self.record()[at].set(Linked { next, ..linked });
        }
    }

    /// Unlinks where libc's own robust mutexes stand beside: walks from the head by reads that can't fault. `false` if
    /// the list is broken before it reaches the entry.
    fn unlink_among_foreign(&self, at: usize, entry: usize, below: usize) -> bool {
        let head = self.head().address();
        let Some(before) = walk(head, |link| link == entry) else { return false };
        let next = self.next_after(at);
        // The link stands in shared memory: it is passed on only if it leads to what must come next.
        let next = if next == below || walk_from(next, head, |link| link == below).is_some() { next } else { below };
        let held = self.held.get() as usize;
        match self.record()[..held].iter().position(|linked| linked.get().entry == before) {
            Some(ours) => self.set_next_after(ours, next),
            None if before == head => self.head().next.set(next),
            // SAFETY: a link of libc's own list, found to lead to our entry; libc's own unlinking writes the same.
            None => _ = unsafe { self_memory::write_word(before, next) },
        }
        if next != below {
            let back = (next & !1).wrapping_sub(size_of::<usize>());
            if self_memory::read_word(back) == Ok(entry) {
                // SAFETY: the back link of an entry of libc's that named our entry as the one before it.
                let _ = unsafe { self_memory::write_word(back, before) };
            }
        }
        true
    }

    /// Somebody scribbled over the links: writes our own anew from the record, without `record[gone]`.
    fn relink_ours(&self, gone: usize) {
        let mut next = self.head().address();
        for at in (0..self.held.get() as usize).filter(|at| *at != gone) {
            self.set_next_after(at, next);
            next = self.record()[at].get().entry;
        }
        self.head().next.set(next);
    }

    /// Whether this thread holds the lock at this address.
    pub(crate) fn has(&self, lock: &RobustWord) -> bool {
        let held = self.held.get() as usize;
        self.record()[..held].iter().any(|linked| linked.get().entry == lock.entry())
    }

    /// Whether a failed try may ask the system if the owner is alive: at most ten times a second for one lock.
    pub(crate) fn may_ask(&self, lock: &RobustWord) -> bool {
        let now = (lock.entry(), clock::boot_tenths(0));
        now != self.asked.replace(now)
    }
}

/// The boot-time offset of this process, see [`namespace::boot_time_offset`].
pub(crate) fn boot_time_offset() -> i64 {
    PROCESS_BOOT_OFFSET.load(Ordering::Relaxed)
}

/// The inode number of this process's pid namespace.
pub(crate) fn pid_namespace() -> Result<u64> {
    enter_process()?;
    Ok(PROCESS_NAMESPACE.load(Ordering::Relaxed))
}

/// Makes the process-wide state this process's and returns its generation.
fn enter_process() -> Result<u32> {
    let word = generation_word()?;
    let mut generation = word.load(Ordering::Relaxed);
    if generation == 0 {
        // Generations start over only after 2^32 of them in one line of ancestors; 0 and u32::MAX are taken.
        let new = GIVEN.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        generation = match word.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => new,
            Err(other) => other,
        };
    }
    if PROCESS_GENERATION.load(Ordering::Acquire) != generation {
        let inode = namespace::pid_namespace().map_err(|e| {
            sys::failed("stat", "/proc/self/ns/pid", e, "mount /proc: it tells which pid namespace this process is in")
        })?;
        PROCESS_NAMESPACE.store(inode, Ordering::Relaxed);
        PROCESS_BOOT_OFFSET.store(namespace::boot_time_offset(), Ordering::Relaxed);
        PROCESS_GENERATION.store(generation, Ordering::Release);
    }
    Ok(generation)
}

fn generation_word() -> Result<&'static AtomicU32> {
    let nobody = (&raw const NOBODY).cast_mut();
    let current = GENERATION.load(Ordering::Acquire);
    if current != nobody {
        // SAFETY: never unmapped once it stands there.
        return Ok(unsafe { &*current });
    }
    let word = fork::wiped_word().map_err(|e| {
        sys::failed("madvise(MADV_WIPEONFORK)", "a page", e, "Linux 4.14 or later is needed to notice forks")
    })?;
    match GENERATION.compare_exchange(nobody, word.as_ptr().cast::<AtomicU32>(), Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Ok(word),
        Err(winner) => {
            fork::unmap_wiped_word(word);
            // SAFETY: as above.
            Ok(unsafe { &*winner })
        }
    }
}

/// Tells an entry of libc's at the front of the list that `entry` is now before it, as libc's own linking does.
#[cold]
fn tell_foreign(first: usize, entry: usize) {
    let back = (first & !1).wrapping_sub(size_of::<usize>());
    // SAFETY: libc reads and writes this word of its own entry, and only while it links or unlinks in this thread.
    let _ = unsafe { self_memory::write_word(back, entry) };
}

/// The address of the link, from the head on, whose value satisfies `found`. Reads that can't fault, a bounded number.
fn walk(head: usize, found: impl Fn(usize) -> bool) -> Option<usize> {
    walk_from(head, head, found)
}

fn walk_from(start: usize, head: usize, found: impl Fn(usize) -> bool) -> Option<usize> {
    let mut link = start & !1;
    for _ in 0..=LIMIT {
        let next = self_memory::read_word(link).ok()?;
        if found(next & !1) {
            return Some(link);
        }
        if next & !1 == head {
            return None;
        }
        link = next & !1;
    }
    None
}
