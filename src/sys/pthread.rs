//! Robust mutexes of POSIX threads: pthread_mutex_lock(3) and its kin, always process-shared. These calls return their
//! error.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::time::{ClockId, clock_gettime};

use super::futex;
use super::robust_list::WORD_AT;
use crate::atomic::AtomicU32;

#[cfg(target_env = "gnu")]
unsafe extern "C" {
    /// glibc 2.30, not in POSIX before Issue 8: `pthread_mutex_timedlock` by a clock of choice.
    fn pthread_mutex_clocklock(
        mutex: *mut libc::pthread_mutex_t,
        clock: libc::clockid_t,
        until: *const libc::timespec,
    ) -> c_int;
}

/// What happens to the priority of a thread that holds the mutex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Nothing: `PTHREAD_PRIO_NONE`.
    None,
    /// It is raised to that of the most important waiter: `PTHREAD_PRIO_INHERIT`.
    Inherit,
}

/// How an attempt to lock ended that wasn't refused by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locked {
    /// It is taken.
    Clean,
    /// It is taken, and its last owner died: `EOWNERDEAD`. The state is inconsistent until
    /// [`consistent`](RobustMutex::consistent).
    OwnerDied,
    /// Another thread has it: `EBUSY`, or `ETIMEDOUT` by then.
    Busy,
    /// This thread has it: `EDEADLK`.
    Own,
    /// Somebody unlocked it while the state was inconsistent: `ENOTRECOVERABLE`.
    GivenUp,
}

/// A place for a `pthread_mutex_t`. All zero until [`init`](RobustMutex::init).
///
/// Its lock word, 4 bytes at [`WORD_AT`] in every Linux libc that has robust mutexes (glibc since 2.4, musl since 0.7),
/// is a robust futex as the kernel defines it:
///
/// | bits | meaning |
/// |---|---|
/// | 0–29 | the owner's thread id, 0 where it is free |
/// | 30, [`OWNER_DIED`] | the last owner died |
/// | 31, [`WAITERS`] | somebody may be asleep |
#[repr(transparent)]
pub(crate) struct RobustMutex(UnsafeCell<MaybeUninit<libc::pthread_mutex_t>>);

/// The owner's thread id, in the lock word.
pub(crate) const OWNER: u32 = (1 << 30) - 1;
/// The last owner died, in the lock word.
pub(crate) const OWNER_DIED: u32 = 1 << 30;
/// Somebody may be asleep, in the lock word.
pub(crate) const WAITERS: u32 = 1 << 31;

/// In bit 0 of the entry of a mutex with priority inheritance on a thread's list.
pub(crate) const INHERITING_ENTRY: usize = if cfg!(target_env = "musl") { 0 } else { 1 };

/// Where a mutex has its kind, and glibc the holder and how many hold it, in bytes from the start.
const KIND_AT: usize = if cfg!(target_env = "musl") { 0 } else { 16 };
const HOLDER_AT: usize = 8;
const USERS_AT: usize = 12;

static_assertions::const_assert!(cfg!(target_pointer_width = "64")); // elsewhere they are at other places

// SAFETY: every access after `init` is by functions that are made for concurrent use, or atomic.
unsafe impl Send for RobustMutex {}
// SAFETY: as above.
unsafe impl Sync for RobustMutex {}

impl std::fmt::Debug for RobustMutex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("pthread_mutex_t")
    }
}

#[inline(always)]
fn checked(errno: c_int) -> Result<(), Errno> {
    if errno == 0 { Ok(()) } else { Err(Errno::from_raw(errno)) }
}

#[inline(always)]
fn locked(errno: c_int) -> Result<Locked, Errno> {
    match errno {
        0 => Ok(Locked::Clean),
        libc::EOWNERDEAD => Ok(Locked::OwnerDied),
        libc::EBUSY | libc::ETIMEDOUT => Ok(Locked::Busy),
        libc::EDEADLK => Ok(Locked::Own),
        libc::ENOTRECOVERABLE => Ok(Locked::GivenUp),
        errno => Err(Errno::from_raw(errno)),
    }
}

impl RobustMutex {
    pub(crate) const fn new() -> RobustMutex {
        RobustMutex(UnsafeCell::new(MaybeUninit::zeroed()))
    }

    /// The address, for the C functions.
    pub(crate) fn as_ptr(&self) -> *mut libc::pthread_mutex_t {
        self.0.get().cast()
    }

    /// The lock word.
    #[inline(always)]
    pub(crate) fn word(&self) -> &AtomicU32 {
        // SAFETY: within the object and aligned (asserted below); libc and the kernel change it by atomic operations
        // only once it is initialised.
        unsafe { AtomicU32::from_ptr(self.0.get().byte_add(WORD_AT).cast()) }
    }

    /// `pthread_mutex_init`, with `PTHREAD_PROCESS_SHARED`, `PTHREAD_MUTEX_ROBUST` and `PTHREAD_MUTEX_ERRORCHECK`.
    ///
    /// # Safety
    ///
    /// Nobody else uses it during the call, and it stays where it is as long as it is used.
    pub(crate) unsafe fn init(&self, protocol: Protocol) -> Result<(), (&'static str, Errno)> {
        let mut attributes = MaybeUninit::uninit();
        let at = attributes.as_mut_ptr();
        let call = |name, errno| checked(errno).map_err(|errno| (name, errno));
        // SAFETY: a live local of the right type.
        call("pthread_mutexattr_init", unsafe { libc::pthread_mutexattr_init(at) })?;
        let protocol = match protocol {
            Protocol::None => libc::PTHREAD_PRIO_NONE,
            Protocol::Inherit => libc::PTHREAD_PRIO_INHERIT,
        };
        // SAFETY: initialised by the first call and destroyed by the last; the mutex is this one's, as promised.
        unsafe {
            let shared = libc::pthread_mutexattr_setpshared(at, libc::PTHREAD_PROCESS_SHARED);
            let done = call("pthread_mutexattr_setpshared", shared)
                .and_then(|()| {
                    let robust = libc::pthread_mutexattr_setrobust(at, libc::PTHREAD_MUTEX_ROBUST);
                    call("pthread_mutexattr_setrobust", robust)
                })
                .and_then(|()| {
                    let kind = libc::pthread_mutexattr_settype(at, libc::PTHREAD_MUTEX_ERRORCHECK);
                    call("pthread_mutexattr_settype", kind)
                })
                .and_then(|()| call("pthread_mutexattr_setprotocol", libc::pthread_mutexattr_setprotocol(at, protocol)))
                .and_then(|()| call("pthread_mutex_init", libc::pthread_mutex_init(self.as_ptr(), at)));
            done.and(call("pthread_mutexattr_destroy", libc::pthread_mutexattr_destroy(at)))
        }
    }

    // There is no pthread_mutex_destroy: it would fail the locking of whoever still has memory mapped whose name is
    // removed, and Linux's libcs hold nothing for a mutex.
    //
    // The calls below are for initialised mutexes; the callers have a mark for that.

    /// `pthread_mutex_trylock`.
    #[inline(always)]
    pub(crate) fn try_lock(&self) -> Result<Locked, Errno> {
        // SAFETY: see above.
        locked(unsafe { libc::pthread_mutex_trylock(self.as_ptr()) })
    }

    /// `pthread_mutex_clocklock` until `until` on the monotonic clock. Where libc lacks it, or can't wait for this kind by
    /// that clock (glibc before 2.35, or Linux before 5.14, and priority inheritance), `pthread_mutex_timedlock` for as long by
    /// the wall clock: one that is set back meanwhile makes it longer.
    pub(crate) fn lock_until(&self, until: TimeSpec) -> Result<Locked, Errno> {
        #[cfg(target_env = "gnu")]
        {
            let moment = libc::timespec { tv_sec: until.tv_sec(), tv_nsec: until.tv_nsec() };
            // SAFETY: see above; the timespec outlives the call.
            let errno = unsafe { pthread_mutex_clocklock(self.as_ptr(), libc::CLOCK_MONOTONIC, &moment) };
            if errno != libc::EINVAL {
                return locked(errno);
            }
        }
        let left = until - super::clock::monotonic();
        let wall = clock_gettime(ClockId::CLOCK_REALTIME)? + left.max(TimeSpec::nanoseconds(0));
        let moment = libc::timespec { tv_sec: wall.tv_sec(), tv_nsec: wall.tv_nsec() };
        // SAFETY: as above.
        locked(unsafe { libc::pthread_mutex_timedlock(self.as_ptr(), &moment) })
    }

    /// `pthread_mutex_consistent`: for who was told that the owner died.
    pub(crate) fn consistent(&self) -> Result<(), Errno> {
        // SAFETY: see above.
        checked(unsafe { libc::pthread_mutex_consistent(self.as_ptr()) })
    }

    /// What `pthread_mutex_unlock` does beyond taking the mutex off the thread's list, which is done: frees it and wakes one
    /// that waits. Nothing, where `me` isn't the owner.
    #[inline(always)]
    pub(crate) fn release(&self, me: u32, protocol: Protocol) {
        self.forget_holder();
        // What libc stores, 0, and nothing beside it: who is woken has it say again that others sleep.
        if self.word().compare_exchange(me, 0, Ordering::Release, Ordering::Relaxed).is_ok() {
            if cfg!(target_env = "musl") {
                let _ = futex::wake(self.word(), 1); // its waiters are counted elsewhere
            }
        } else {
            self.release_contended(me, protocol);
        }
    }

    #[cold]
    fn release_contended(&self, me: u32, protocol: Protocol) {
        match protocol {
            Protocol::None => {
                let free = |word| (word & OWNER == me).then_some(0);
                if self.word().fetch_update(Ordering::Release, Ordering::Relaxed, free).is_ok() {
                    // Can't fail on a mapped, aligned word.
                    let _ = futex::wake(self.word(), 1);
                }
            }
            // Err: not this thread's.
            Protocol::Inherit => drop(futex::unlock_pi(self.word())),
        }
    }

    /// What glibc keeps of the holder beside the word: nothing depends on it in a robust mutex, but debuggers show it.
    #[inline(always)]
    fn forget_holder(&self) {
        if cfg!(target_env = "gnu") {
            self.part(HOLDER_AT).store(0, Ordering::Relaxed);
            let users = self.part(USERS_AT);
            users.store(users.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
        }
    }

    /// A word of 4 bytes, so many behind the start.
    #[inline(always)]
    fn part(&self, at: usize) -> &AtomicU32 {
        const { assert!(USERS_AT + size_of::<u32>() <= size_of::<RobustMutex>()) };
        const { assert!(KIND_AT + size_of::<u32>() <= size_of::<RobustMutex>()) };
        debug_assert!([HOLDER_AT, USERS_AT, KIND_AT].contains(&at));
        // SAFETY: within the object, aligned like it, and written by libc only, by this thread or while it is its own.
        unsafe { AtomicU32::from_ptr(self.0.get().byte_add(at).cast()) }
    }

    /// Whether the mutex is of the kind that it was made with. libc does with it what its kind says, and for others that is
    /// to end the process, or to wait for ever.
    #[inline(always)]
    pub(crate) fn is_whole(&self, protocol: Protocol) -> bool {
        self.part(KIND_AT).load(Ordering::Relaxed) == kind_of(protocol)
    }

    /// Puts the kind right; returns what was there.
    pub(crate) fn make_whole(&self, protocol: Protocol) -> u32 {
        self.part(KIND_AT).swap(kind_of(protocol), Ordering::Relaxed)
    }
}

/// The thread's id as libc knows it, which is another one's where the thread was made without libc's help: what
/// `pthread_mutex_trylock` writes into a lock word.
pub(crate) fn id_of_this_thread() -> Result<u32, Errno> {
    let probe = RobustMutex::new();
    // SAFETY: a local that nobody else sees; it isn't moved from here on.
    unsafe { probe.init(Protocol::None) }.map_err(|(_, errno)| errno)?;
    probe.try_lock()?;
    let id = probe.word().load(Ordering::Relaxed) & OWNER;
    // SAFETY: initialised, and locked by this thread; nobody else has written there.
    checked(unsafe { libc::pthread_mutex_unlock(probe.as_ptr()) })?;
    Ok(id)
}

/// What libc calls the kinds, by protocol; 0 where nobody has asked.
static KINDS: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];

#[inline(always)]
fn kind_of(protocol: Protocol) -> u32 {
    match KINDS[protocol as usize].load(Ordering::Relaxed) {
        0 => find_kind(protocol),
        kind => kind,
    }
}

#[cold]
fn find_kind(protocol: Protocol) -> u32 {
    let probe = RobustMutex::new();
    // SAFETY: a local that nobody else sees. Err: then it stays 0, which no mutex that was made has, and this is asked again.
    let _ = unsafe { probe.init(protocol) };
    let kind = probe.part(KIND_AT).load(Ordering::Relaxed);
    KINDS[protocol as usize].store(kind, Ordering::Relaxed);
    kind
}

static_assertions::const_assert!(WORD_AT + size_of::<AtomicU32>() <= size_of::<libc::pthread_mutex_t>());
static_assertions::const_assert!(align_of::<libc::pthread_mutex_t>() >= align_of::<AtomicU32>());
