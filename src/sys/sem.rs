//! POSIX semaphores: unnamed ones, sem_init(3) and its kin, always process-shared; named ones, sem_open(3).

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_int};
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use nix::errno::Errno;
#[cfg(not(loom))]
use nix::sys::time::TimeSpec;

#[cfg(not(loom))]
unsafe extern "C" {
    /// glibc 2.30, not in POSIX before Issue 8: `sem_timedwait` by a clock of choice.
    fn sem_clockwait(sem: *mut libc::sem_t, clock: libc::clockid_t, until: *const libc::timespec) -> c_int;
}

/// A place for a `sem_t`. All zero until [`init`](Sem::init).
#[repr(transparent)]
pub(crate) struct Sem(UnsafeCell<MaybeUninit<libc::sem_t>>);

// SAFETY: every access after `init` is by functions that are made for concurrent use.
unsafe impl Send for Sem {}
// SAFETY: as above.
unsafe impl Sync for Sem {}

impl std::fmt::Debug for Sem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sem_t")
    }
}

fn checked(done: c_int) -> Result<(), Errno> {
    if done == 0 { Ok(()) } else { Err(Errno::last()) }
}

impl Sem {
    pub(crate) const fn new() -> Sem {
        Sem(UnsafeCell::new(MaybeUninit::zeroed()))
    }

    /// The address, for the C functions.
    pub(crate) fn as_ptr(&self) -> *mut libc::sem_t {
        self.0.get().cast()
    }
}

#[cfg(not(loom))]
impl Sem {
    /// `sem_init` with `pshared` set.
    ///
    /// # Safety
    ///
    /// Nobody else uses it during the call, and it stays where it is until [`destroy`](Sem::destroy).
    pub(crate) unsafe fn init(&self, value: u32) -> Result<(), Errno> {
        // SAFETY: the caller's promise; the memory has the type's size and alignment.
        checked(unsafe { libc::sem_init(self.as_ptr(), 1, value) })
    }

    /// `sem_destroy`.
    ///
    /// # Safety
    ///
    /// Initialised, and nobody uses it any more.
    pub(crate) unsafe fn destroy(&self) -> Result<(), Errno> {
        // SAFETY: the caller's promise.
        checked(unsafe { libc::sem_destroy(self.as_ptr()) })
    }

    // The calls below are for initialised semaphores. On one that isn't, all zero or scribbled over, they do no worse
    // than sleep and wake for nothing, or fail: a sem_t of Linux's libcs is a count, the futex that goes with it and how
    // that is to be called, no pointers.

    /// EINVAL where glibc would end the process: it puts what stands beside the count into its futex calls, and takes
    /// their failure for its own. (Who scribbles between this look and the call can still do that.)
    fn check(&self) -> Result<(), Errno> {
        #[cfg(all(target_env = "gnu", target_pointer_width = "64"))]
        {
            use std::sync::atomic::{AtomicU32, Ordering};

            /// What `sem_init` writes there for a process-shared one, since glibc 2.21: the bit that glibc takes out of its
            /// futex calls, which are private otherwise.
            const SHARED: u32 = libc::FUTEX_PRIVATE_FLAG as u32;
            const AT: usize = 8;
            // SAFETY: within the sem_t, aligned, and written by `init` only or by whoever scribbles, in another process.
            let kind = unsafe { &*self.as_ptr().cast::<u8>().add(AT).cast::<AtomicU32>() };
            if kind.load(Ordering::Relaxed) != SHARED {
                return Err(Errno::EINVAL);
            }
        }
        Ok(())
    }

    /// `sem_post`.
    pub(crate) fn post(&self) -> Result<(), Errno> {
        self.check()?;
        // SAFETY: see above.
        checked(unsafe { libc::sem_post(self.as_ptr()) })
    }

    /// `sem_trywait`: whether there was one to take.
    pub(crate) fn try_wait(&self) -> Result<bool, Errno> {
        // SAFETY: see above.
        match checked(unsafe { libc::sem_trywait(self.as_ptr()) }) {
            Ok(()) => Ok(true),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// `sem_clockwait` until `until` on the monotonic clock; `false` when that has come. Goes on after signals.
    pub(crate) fn wait(&self, until: TimeSpec) -> Result<bool, Errno> {
        let until = libc::timespec { tv_sec: until.tv_sec(), tv_nsec: until.tv_nsec() };
        loop {
            self.check()?;
            // SAFETY: see above; the timespec outlives the call.
            match checked(unsafe { sem_clockwait(self.as_ptr(), libc::CLOCK_MONOTONIC, &until) }) {
                Ok(()) => return Ok(true),
                Err(Errno::ETIMEDOUT) => return Ok(false),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// `sem_getvalue`.
    pub(crate) fn value(&self) -> Result<u32, Errno> {
        let mut value: c_int = 0;
        // SAFETY: see above; `value` is ours.
        checked(unsafe { libc::sem_getvalue(self.as_ptr(), &mut value) })?;
        Ok(u32::try_from(value).unwrap_or(0))
    }
}

/// The most that `sem_post` counts to: `SEM_VALUE_MAX` of Linux's libcs, which the libc crate doesn't have.
pub(crate) const VALUE_MAX: u32 = i32::MAX as u32;

/// What becomes of the one that exists already.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Existing {
    /// It is opened, and no new one is made.
    Opened,
    /// EEXIST (`O_EXCL`).
    Refused,
}

/// What `sem_open` gave; `sem_close` when dropped.
#[derive(Debug)]
pub(crate) struct NamedSem(NonNull<libc::sem_t>);

// SAFETY: every use is by functions that are made for concurrent use, by any thread.
unsafe impl Send for NamedSem {}
// SAFETY: as above.
unsafe impl Sync for NamedSem {}

impl NamedSem {
    /// `sem_open` without `O_CREAT`.
    pub(crate) fn open(name: &CStr) -> Result<NamedSem, Errno> {
        // SAFETY: a C string; without O_CREAT there are no more arguments.
        NamedSem::opened(unsafe { libc::sem_open(name.as_ptr(), 0) })
    }

    /// `sem_open` with `O_CREAT`.
    pub(crate) fn create(name: &CStr, existing: Existing, mode: u32, value: u32) -> Result<NamedSem, Errno> {
        let flags = match existing {
            Existing::Opened => libc::O_CREAT,
            Existing::Refused => libc::O_CREAT | libc::O_EXCL,
        };
        // SAFETY: a C string; with O_CREAT a mode_t, an unsigned int as it is passed here, and an unsigned int.
        NamedSem::opened(unsafe { libc::sem_open(name.as_ptr(), flags, mode, value) })
    }

    fn opened(sem: *mut libc::sem_t) -> Result<NamedSem, Errno> {
        // SEM_FAILED is null on Linux's libcs.
        NonNull::new(sem).map(NamedSem).ok_or_else(Errno::last)
    }

    /// The semaphore.
    pub(crate) fn sem(&self) -> &Sem {
        // SAFETY: open, so initialised and mapped as long as `self` lives; Sem is transparent over a sem_t, and shared.
        unsafe { self.0.cast::<Sem>().as_ref() }
    }
}

impl Drop for NamedSem {
    fn drop(&mut self) {
        // SAFETY: open, and not used after this. It fails on what isn't open only.
        unsafe { libc::sem_close(self.0.as_ptr()) };
    }
}

/// `sem_unlink`.
pub(crate) fn unlink(name: &CStr) -> Result<(), Errno> {
    // SAFETY: a C string.
    checked(unsafe { libc::sem_unlink(name.as_ptr()) })
}
