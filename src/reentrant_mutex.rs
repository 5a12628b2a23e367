//! `ReentrantMutex<T>`: a mutex that its holder may take again.

mod guard;

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::offset_of;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use guard::{MappedReentrantMutexGuard, ReentrantMutexGuard};

use crate::backend::{Acquired, Backend, RawMutex, Refused};
use crate::cell::layout::Type;
use crate::cell::safe::{Resident, ShmSafe};
use crate::deadline::Patience;
use crate::error::{Cause, Error, LockError, LockResult, PoisonError, Result};
use crate::mutex::{Owner, poisoned_or};
use crate::poison::Poison;

/// Mutual exclusion between threads, in processes or one, where the thread that holds the lock may take it again: it is
/// free when all guards are dropped.
///
/// Write [`pshared::ReentrantMutex`](crate::ReentrantMutex), the same with the backend chosen. The calls are those of
/// `parking_lot::ReentrantMutex`, and as there a guard lends `&T` only: one thread may have several. What is to be changed
/// is an atomic, or outside shared memory a [`Cell`](std::cell::Cell). Poison is that of
/// [`Mutex`](crate::generic::Mutex): whoever panics with a guard, or dies, leaves it.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
/// use pshared::{ReentrantMutex, Shm};
///
/// fn add(total: &ReentrantMutex<AtomicU64>, n: u64) -> pshared::Result<()> {
///     let total = total.lock()?;
///     total.store(total.load(Relaxed) + n, Relaxed);
///     Ok(())
/// }
///
/// # let name = format!("doc-reentrant-{}", std::process::id());
/// let total = Shm::create(&name, || Ok(ReentrantMutex::new(AtomicU64::new(0))))?;
/// let guard = total.lock()?; // nobody comes between the two
/// add(&total, 1)?;
/// add(&total, 2)?;
/// assert_eq!(guard.load(Relaxed), 3);
/// # drop(guard);
/// # Shm::<ReentrantMutex<AtomicU64>>::remove(&name)?;
/// # Ok::<(), pshared::Error>(())
/// ```
///
/// Outside a cell it is an ordinary lock between the threads of one process, which may be moved while no guard is out.
/// Its limits are those of [`Mutex`](crate::generic::Mutex); besides, it counts `u32::MAX` guards.
#[repr(C)]
pub struct ReentrantMutex<T: ?Sized, B: Backend> {
    core: Core<B>,
    data: UnsafeCell<T>,
}

/// All but the data.
#[repr(C)]
struct Core<B: Backend> {
    raw: B::Mutex,
    poison: Poison,
    /// The holder's guards. Read and written by the holder only, so Relaxed; whoever becomes it begins at 1, so it
    /// doesn't matter what one that was killed has left.
    guards: AtomicU32,
}

impl<B: Backend> Core<B> {
    #[inline]
    fn lock(&self, patience: impl FnOnce() -> Patience) -> Result<<B::Mutex as RawMutex>::Held, Refused> {
        match self.raw.lock_at_once() {
            Some(held) => {
                self.guards.store(1, Ordering::Relaxed);
                Ok(held)
            }
            None => self.lock_again_or_wait(patience()),
        }
    }

    #[cold]
    fn lock_again_or_wait(&self, patience: Patience) -> Result<<B::Mutex as RawMutex>::Held, Refused> {
        if let Some(held) = self.raw.held_here() {
            let guards = self.guards.load(Ordering::Relaxed);
            let more = guards.checked_add(1).ok_or(Refused::Failed(Error::TooManyGuards { limit: u32::MAX }))?;
            self.guards.store(more, Ordering::Relaxed);
            return Ok(held);
        }
        let Acquired { held, owner_died } = self.raw.lock(patience)?;
        if owner_died {
            // Before anything else: if this thread dies too, the word says so again.
            self.poison.note(Cause::OwnerDied);
        }
        self.guards.store(1, Ordering::Relaxed);
        Ok(held)
    }

    /// Gives back one guard, and with the last one the lock.
    ///
    /// # Safety
    ///
    /// `held` is of a guard that is gone, and is used once.
    #[inline]
    unsafe fn unlock(&self, held: <B::Mutex as RawMutex>::Held) {
        if self.raw.is_inherited(held) {
            return; // the count is the parent's too
        }
        let others = self.guards.load(Ordering::Relaxed).saturating_sub(1);
        self.guards.store(others, Ordering::Relaxed);
        if others == 0 {
            // SAFETY: the last of the guards, which all have what the thread got when it took the lock.
            unsafe { self.raw.unlock(held) };
        }
    }
}

// SAFETY: a thread gets at the T only while it has the lock, so the T is in one thread at a time.
unsafe impl<T: ?Sized + Send, B: Backend> Send for ReentrantMutex<T, B> {}
// SAFETY: as above; the rest is atomic.
unsafe impl<T: ?Sized + Send, B: Backend> Sync for ReentrantMutex<T, B> {}
// Poison tells of a panic inside, so looking at the data after one is a decision.
impl<T: ?Sized, B: Backend> UnwindSafe for ReentrantMutex<T, B> {}
impl<T: ?Sized, B: Backend> RefUnwindSafe for ReentrantMutex<T, B> {}

impl<T, B: Backend> ReentrantMutex<T, B> {
    /// An unlocked mutex around `data`.
    pub const fn new(data: T) -> Self {
        let core = Core { raw: B::Mutex::UNLOCKED, poison: Poison::none(), guards: AtomicU32::new(0) };
        ReentrantMutex { core, data: UnsafeCell::new(data) }
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

impl<T: ?Sized, B: Backend> ReentrantMutex<T, B> {
    /// Takes the lock, waiting as long as it takes unless this thread has it.
    ///
    /// # Errors
    ///
    /// - [`Poisoned`](LockError::Poisoned) with the guard: an owner panicked or died and nobody has cleared it.
    /// - [`WouldDeadlock`](LockError::WouldDeadlock): this thread holds the lock at another address, where the same memory
    ///   is mapped a second time.
    /// - [`Failed`](LockError::Failed): see [`Error`]; the lock was not taken.
    #[inline]
    pub fn lock(&self) -> LockResult<ReentrantMutexGuard<'_, T, B>> {
        self.lock_with(|| Patience::Forever)
    }

    /// Takes the lock if nobody else has it.
    ///
    /// # Errors
    ///
    /// As [`lock`](ReentrantMutex::lock), and [`WouldBlock`](LockError::WouldBlock) if it would have to wait.
    #[inline]
    pub fn try_lock(&self) -> LockResult<ReentrantMutexGuard<'_, T, B>> {
        self.lock_with(|| Patience::None)
    }

    /// Takes the lock, waiting for at most `timeout`, by the monotonic clock.
    ///
    /// # Errors
    ///
    /// As [`lock`](ReentrantMutex::lock), and [`TimedOut`](LockError::TimedOut), never before the time is up.
    pub fn try_lock_for(&self, timeout: Duration) -> LockResult<ReentrantMutexGuard<'_, T, B>> {
        self.lock_with(|| Patience::for_duration(timeout))
    }

    /// Takes the lock, waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`try_lock_for`](ReentrantMutex::try_lock_for).
    pub fn try_lock_until(&self, deadline: Instant) -> LockResult<ReentrantMutexGuard<'_, T, B>> {
        self.lock_with(|| Patience::until(deadline))
    }

    /// Takes the lock; if it is poisoned, lets `repair` put the data right and clears the poison.
    ///
    /// A panic or a death during the repair leaves the poison. This thread may have guards already: then `repair` runs in
    /// the middle of what it does with them.
    ///
    /// # Errors
    ///
    /// As [`lock`](ReentrantMutex::lock) without poison.
    pub fn lock_or_recover(&self, repair: impl FnOnce(&T, Cause)) -> Result<ReentrantMutexGuard<'_, T, B>> {
        match self.lock() {
            Ok(guard) => Ok(guard),
            Err(error) => {
                let (guard, cause) = error.recover()?;
                repair(&guard, cause);
                self.core.poison.clear();
                Ok(guard)
            }
        }
    }

    #[inline]
    fn lock_with(&self, patience: impl FnOnce() -> Patience) -> LockResult<ReentrantMutexGuard<'_, T, B>> {
        let held = self.core.lock(patience)?;
        // SAFETY: the lock was just taken, or taken again, and counted; `held` says how to give it back.
        let guard = unsafe { ReentrantMutexGuard::new(self, held) };
        match self.core.poison.cause() {
            None => Ok(guard),
            Some(cause) => Err(LockError::Poisoned(PoisonError::new(guard, cause))),
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

    /// Whether somebody holds the lock at this moment, this thread included.
    pub fn is_locked(&self) -> bool {
        self.core.raw.is_locked()
    }

    /// Whether this thread holds the lock, and at this address.
    pub fn is_owned_by_current_thread(&self) -> bool {
        self.core.raw.held_here().is_some()
    }

    /// Who holds the lock at this moment; `None` if nobody does, or if the system can't tell the process (the thread
    /// is gone, or `/proc` isn't mounted).
    pub fn owner(&self) -> Option<Owner> {
        let tid = self.core.raw.owner_thread()?;
        self.core.raw.owner_process().map(|pid| Owner { pid, tid })
    }

    /// Whether the next one to take the lock is told that the data may be half-written. Asking repairs nothing.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned_by().is_some()
    }

    /// Declares the data sound: the lock is no longer poisoned. May be called with or without holding the lock.
    pub fn clear_poison(&self) {
        self.core.poison.clear();
        self.core.raw.forget_death();
    }

    fn poisoned_by(&self) -> Option<Cause> {
        if self.core.raw.owner_died() { Some(Cause::OwnerDied) } else { self.core.poison.cause() }
    }
}

impl<T, B: Backend> From<T> for ReentrantMutex<T, B> {
    fn from(data: T) -> Self {
        ReentrantMutex::new(data)
    }
}

impl<T: Default, B: Backend> Default for ReentrantMutex<T, B> {
    fn default() -> Self {
        ReentrantMutex::new(T::default())
    }
}

/// Shows the data if the lock is free or this thread's, and never waits. The data of an owner that died is left alone.
impl<T: ?Sized + fmt::Debug, B: Backend> fmt::Debug for ReentrantMutex<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ReentrantMutex");
        if self.core.raw.owner_died() {
            shown.field("data", &format_args!("<owner died>"));
        } else if self.is_locked() && !self.is_owned_by_current_thread() {
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

// SAFETY: repr(C) over the backend's words, atomics and the data, which is lent as `&T` only: so it may be what may stand
// in a cell by itself, locks among it. All of these are shown, and this one.
unsafe impl<T: ShmSafe, B: Backend> ShmSafe for ReentrantMutex<T, B> {
    const TYPE: Type = Type::lock::<Self, T>("ReentrantMutex", B::NAME, 0, offset_of!(Self, data));

    fn each_lock(&self, visit: &mut dyn FnMut(&dyn Resident) -> Result<()>) -> Result<()> {
        visit(self)?;
        // SAFETY: T is Sync, and there is no `&mut T` while `self` is borrowed.
        unsafe { &*self.data.get() }.each_lock(visit)
    }
}

impl<T: ShmSafe, B: Backend> Resident for ReentrantMutex<T, B> {
    unsafe fn settle(&self) -> Result<()> {
        // SAFETY: handed through.
        unsafe { self.core.raw.settle() }
    }

    unsafe fn teardown(&self) {
        // SAFETY: handed through.
        unsafe { self.core.raw.teardown() }
    }

    unsafe fn reset(&self) -> Result<()> {
        self.core.poison.note(Cause::OwnerDied);
        // SAFETY: handed through.
        unsafe { self.core.raw.settle() }
    }

    fn each_owner(&self, see: &mut dyn FnMut(u32)) {
        if let Some(tid) = self.core.raw.owner_thread() {
            see(tid);
        }
    }
}

static_assertions::const_assert_eq!(std::mem::size_of::<ReentrantMutex<(), crate::backend::futex::Futex>>(), 48);
static_assertions::const_assert_eq!(std::mem::align_of::<ReentrantMutex<(), crate::backend::futex::Futex>>(), 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_too_many_is_an_error_and_harms_nothing() {
        let m = crate::ReentrantMutex::new(());
        let first = m.lock().unwrap();
        m.core.guards.store(u32::MAX - 1, Ordering::Relaxed);
        let last = m.lock().unwrap();
        for _ in 0..2 {
            let refused = m.try_lock().unwrap_err();
            assert_eq!(Error::from(refused), Error::TooManyGuards { limit: u32::MAX });
        }
        drop(last);
        drop(m.lock().unwrap());
        m.core.guards.store(1, Ordering::Relaxed);
        drop(first);
        assert!(!m.is_locked() && !m.is_poisoned());
    }
}
