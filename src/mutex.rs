//! `Mutex<T>`: the data it guards, poison, and the ways to lock.

mod guard;

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::offset_of;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

pub use guard::{MappedMutexGuard, MutexGuard};

use crate::backend::{Acquired, Backend, RawMutex, RawPthread, Refused};
use crate::cell::layout::Type;
use crate::cell::safe::{Resident, ShmData, ShmSafe};
use crate::deadline::Patience;
use crate::error::{Cause, LockError, LockResult, PoisonError, Result};
use crate::poison::Poison;

/// Mutual exclusion over a `T`, between processes when it stands in a cell, between threads anywhere.
///
/// Write [`pshared::Mutex`](crate::Mutex), the same with the backend chosen. The calls are those of
/// [`std::sync::Mutex`], and so is poison, with its cause: an owner that **panicked or died** leaves the lock usable and
/// poisoned, and every way to take it says so until somebody calls [`clear_poison`](Mutex::clear_poison).
///
/// ```
/// use pshared::{Cause, Mutex, Shm};
///
/// # let name = format!("doc-mutex-{}", std::process::id());
/// let totals = Shm::create(&name, || Ok(Mutex::new([0_u64; 16])))?;
/// totals.lock()?[3] += 1;
///
/// // Whatever happened to the last owner, this one goes on, after repairing what may be half-written:
/// let mut guard = totals.lock_or_recover(|totals, _cause: Cause| totals.fill(0))?;
/// guard[3] += 1;
/// # drop(guard);
/// # Shm::<Mutex<[u64; 16]>>::remove(&name)?;
/// # Ok::<(), pshared::Error>(())
/// ```
///
/// # Not in a cell
///
/// On the stack, in a `static` or in an `Arc` it is an ordinary lock between the threads of one process. It may be
/// moved while no guard is out. A thread that ends while it holds such a lock is noticed within a second. In a forked
/// child the copy of a lock that was held is found poisoned.
///
/// # Limits
///
/// - Not for signal handlers.
/// - A thread holds at most 2048 locks that stand in cells: the kernel looks at no more when the thread dies.
#[repr(C)]
pub struct Mutex<T: ?Sized, B: Backend> {
    raw: B::Mutex,
    poison: Poison,
    data: UnsafeCell<T>,
}

/// The thread that holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Owner {
    /// Its process.
    pub pid: u32,
    /// The thread itself; equal to `pid` in a process's first thread.
    pub tid: u32,
}

// SAFETY: the lock hands the T from thread to thread, one at a time.
unsafe impl<T: ?Sized + Send, B: Backend> Send for Mutex<T, B> {}
// SAFETY: as above; the rest is atomic.
unsafe impl<T: ?Sized + Send, B: Backend> Sync for Mutex<T, B> {}
// Poison tells of a panic inside, so looking at the data after one is a decision.
impl<T: ?Sized, B: Backend> UnwindSafe for Mutex<T, B> {}
impl<T: ?Sized, B: Backend> RefUnwindSafe for Mutex<T, B> {}

impl<T, B: Backend> Mutex<T, B> {
    /// An unlocked mutex around `data`.
    pub const fn new(data: T) -> Self {
        Mutex { raw: B::Mutex::UNLOCKED, poison: Poison::none(), data: UnsafeCell::new(data) }
    }

    /// The data.
    ///
    /// # Errors
    ///
    /// [`LockError::Poisoned`] with the data, if an owner panicked or died.
    pub fn into_inner(self) -> LockResult<T> {
        let cause = self.poisoned_by();
        poisoned_or(self.data.into_inner(), cause)
    }
}

impl<T: ?Sized, B: Backend> Mutex<T, B> {
    /// Takes the lock, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// - [`Poisoned`](LockError::Poisoned) with the guard: an owner panicked or died and nobody has cleared it.
    /// - [`WouldDeadlock`](LockError::WouldDeadlock): this thread holds the lock.
    /// - [`Failed`](LockError::Failed): see [`Error`](crate::Error); the lock was not taken.
    #[inline(always)]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T, B>> {
        self.lock_with(|| Patience::Forever)
    }

    /// Takes the lock if nobody has it.
    ///
    /// # Errors
    ///
    /// As [`lock`](Mutex::lock), and [`WouldBlock`](LockError::WouldBlock) if somebody has it, this thread included.
    #[inline(always)]
    pub fn try_lock(&self) -> LockResult<MutexGuard<'_, T, B>> {
        self.lock_with(|| Patience::None)
    }

    /// Takes the lock, waiting for at most `timeout`, by the monotonic clock. A lock that is free is taken however
    /// short the time; a time beyond what the clock can express is for ever.
    ///
    /// # Errors
    ///
    /// As [`lock`](Mutex::lock), and [`TimedOut`](LockError::TimedOut), never before the time is up.
    pub fn try_lock_for(&self, timeout: Duration) -> LockResult<MutexGuard<'_, T, B>> {
        self.lock_with(|| Patience::for_duration(timeout))
    }

    /// Takes the lock, waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`try_lock_for`](Mutex::try_lock_for).
    pub fn try_lock_until(&self, deadline: Instant) -> LockResult<MutexGuard<'_, T, B>> {
        self.lock_with(|| Patience::until(deadline))
    }

    /// Takes the lock; if it is poisoned, lets `repair` put the data right and clears the poison.
    ///
    /// A panic or a death during the repair leaves the poison, so the next one repairs again: write `repair` so that it
    /// can start over.
    ///
    /// # Errors
    ///
    /// As [`lock`](Mutex::lock) without poison.
    pub fn lock_or_recover(&self, repair: impl FnOnce(&mut T, Cause)) -> Result<MutexGuard<'_, T, B>> {
        match self.lock() {
            Ok(guard) => Ok(guard),
            Err(error) => {
                let (mut guard, cause) = error.recover()?;
                repair(&mut guard, cause);
                self.poison.clear();
                Ok(guard)
            }
        }
    }

    #[inline(always)]
    fn lock_with(&self, patience: impl FnOnce() -> Patience) -> LockResult<MutexGuard<'_, T, B>> {
        // Written so that the guard stays in registers on the way through: the contended way hands its results back in
        // registers too, and its error through memory of its own.
        let held = match self.raw.lock_at_once() {
            Some(held) => held,
            None => {
                let mut refused = None;
                match self.lock_contended(patience, &mut refused) {
                    Some(held) => held,
                    None => return Err(refused.unwrap_or(Refused::WouldBlock).into()),
                }
            }
        };
        // SAFETY: the lock was just taken and `held` says how to give it back.
        let guard = unsafe { MutexGuard::new(self, held) };
        match self.poison.cause() {
            None => Ok(guard),
            Some(cause) => Err(LockError::Poisoned(PoisonError::new(guard, cause))),
        }
    }

    /// The lock without its data.
    pub(crate) fn raw(&self) -> &B::Mutex {
        &self.raw
    }

    /// The guard of a lock that was taken by way of [`raw`](Mutex::raw), with what is to be said about it.
    ///
    /// # Safety
    ///
    /// The calling thread has just taken the lock, and `acquired` is what it got.
    pub(crate) unsafe fn guard(
        &self,
        acquired: Acquired<<B::Mutex as RawMutex>::Held>,
    ) -> LockResult<MutexGuard<'_, T, B>> {
        if acquired.owner_died {
            // Before anything else: if this thread dies too, the word says so again.
            self.poison.note(Cause::OwnerDied);
        }
        // SAFETY: the caller's promise.
        let guard = unsafe { MutexGuard::new(self, acquired.held) };
        match self.poison.cause() {
            None => Ok(guard),
            Some(cause) => Err(LockError::Poisoned(PoisonError::new(guard, cause))),
        }
    }

    #[cold]
    #[inline(never)]
    fn lock_contended(
        &self,
        patience: impl FnOnce() -> Patience,
        refused: &mut Option<Refused>,
    ) -> Option<<B::Mutex as RawMutex>::Held> {
        match self.raw.lock(patience()) {
            Ok(Acquired { held, owner_died }) => {
                if owner_died {
                    // Before anything else: if this thread dies too, the word says so again.
                    self.poison.note(Cause::OwnerDied);
                }
                Some(held)
            }
            Err(why) => {
                *refused = Some(why);
                None
            }
        }
    }

    /// The data, without locking: `&mut self` says that nobody else has the lock.
    ///
    /// # Errors
    ///
    /// [`LockError::Poisoned`] with the data, if an owner panicked or died.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let cause = self.poisoned_by();
        poisoned_or(self.data.get_mut(), cause)
    }

    /// Whether somebody holds the lock at this moment.
    pub fn is_locked(&self) -> bool {
        self.raw.is_locked()
    }

    /// Who holds the lock at this moment; `None` if nobody does, or if the system can't tell the process (the thread
    /// is gone, or `/proc` isn't mounted).
    pub fn owner(&self) -> Option<Owner> {
        let tid = self.raw.owner_thread()?;
        self.raw.owner_process().map(|pid| Owner { pid, tid })
    }

    /// Whether the next one to take the lock is told that the data may be half-written. Asking repairs nothing.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned_by().is_some()
    }

    /// Declares the data sound: the lock is no longer poisoned. May be called with or without holding the lock.
    pub fn clear_poison(&self) {
        self.poison.clear();
        self.raw.forget_death();
    }

    fn poisoned_by(&self) -> Option<Cause> {
        if self.raw.owner_died() { Some(Cause::OwnerDied) } else { self.poison.cause() }
    }
}

pub(crate) fn poisoned_or<D>(data: D, cause: Option<Cause>) -> LockResult<D> {
    match cause {
        None => Ok(data),
        Some(cause) => Err(LockError::Poisoned(PoisonError::new(data, cause))),
    }
}

impl<G> From<Refused> for LockError<G> {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::WouldBlock => LockError::WouldBlock,
            Refused::TimedOut => LockError::TimedOut,
            Refused::WouldDeadlock => LockError::WouldDeadlock,
            Refused::Failed(error) => LockError::Failed(error),
        }
    }
}

impl<T: ?Sized, B: Backend> Mutex<T, B>
where
    B::Mutex: RawPthread,
{
    /// The lock's `pthread_mutex_t`, for programs in C that map the same region: it is where this points to, minus where
    /// the region begins. The poison and the data follow it, see [`ShmCell::TYPE`](crate::ShmSafe::TYPE).
    ///
    /// The mutex is process-shared, robust and of the kind `PTHREAD_MUTEX_ERRORCHECK`. A program in C that takes it
    /// - calls `pthread_mutex_consistent` when it gets `EOWNERDEAD`, stores 0 in the eight bytes behind the mutex, and
    ///   repairs the data: the poison, which is this crate's, isn't told of that death;
    /// - waits by `pthread_mutex_clocklock` or `pthread_mutex_timedlock` in slices, or it may wait for ever when a waiter
    ///   beside it is killed;
    /// - gives back what it took, and nothing else: what this crate has taken, this crate gives back, so a thread waits on a
    ///   condition (`pthread_cond_wait`) only with a mutex that it took in C.
    ///
    /// It is neither initialised nor destroyed by whoever gets it, and is a mutex only in a cell.
    pub fn raw_mutex(&self) -> *mut std::ffi::c_void {
        self.raw.as_pthread()
    }
}

impl<T, B: Backend> From<T> for Mutex<T, B> {
    fn from(data: T) -> Self {
        Mutex::new(data)
    }
}

impl<T: Default, B: Backend> Default for Mutex<T, B> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

/// Shows the data if the lock is free, and never waits. The data of an owner that died is left alone.
impl<T: ?Sized + fmt::Debug, B: Backend> fmt::Debug for Mutex<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Mutex");
        if self.raw.owner_died() {
            shown.field("data", &format_args!("<owner died>"));
        } else if self.is_locked() {
            shown.field("data", &format_args!("<locked>"));
        } else {
            match self.try_lock() {
                Ok(guard) => shown.field("data", &&*guard),
                Err(LockError::Poisoned(poison)) => shown.field("data", &&**poison.get_ref()),
                Err(_) => shown.field("data", &format_args!("<locked>")),
            };
        }
        shown.field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

// SAFETY: repr(C) over the backend's words, an atomic and the data; shared use goes through the lock. T: ShmData keeps
// locks and addresses out of the data. There is one lock to show.
unsafe impl<T: ShmData, B: Backend> ShmSafe for Mutex<T, B> {
    const TYPE: Type = Type::lock::<Self, T>("Mutex", B::NAME, 0, offset_of!(Self, data));

    fn each_lock(&self, visit: &mut dyn FnMut(&dyn Resident) -> Result<()>) -> Result<()> {
        visit(self)
    }
}

impl<T: ShmData, B: Backend> Resident for Mutex<T, B> {
    unsafe fn settle(&self) -> Result<()> {
        // SAFETY: handed through.
        unsafe { self.raw.settle() }
    }

    unsafe fn teardown(&self) {
        // SAFETY: handed through.
        unsafe { self.raw.teardown() }
    }

    unsafe fn reset(&self) -> Result<()> {
        self.poison.note(Cause::OwnerDied);
        // SAFETY: handed through.
        unsafe { self.raw.settle() }
    }

    fn each_owner(&self, see: &mut dyn FnMut(u32)) {
        if let Some(tid) = self.raw.owner_thread() {
            see(tid);
        }
    }
}

static_assertions::const_assert_eq!(std::mem::size_of::<Mutex<(), crate::backend::futex::Futex>>(), 48);
static_assertions::const_assert_eq!(std::mem::align_of::<Mutex<(), crate::backend::futex::Futex>>(), 8);
