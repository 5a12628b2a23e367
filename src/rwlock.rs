//! `RwLock<T>`: the data it guards, poison, and the ways to lock.

mod guard;

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::offset_of;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

pub use guard::{
    MappedRwLockReadGuard, MappedRwLockWriteGuard, RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard,
    UpgradeError,
};

use crate::backend::{Backend, RawRwLock, RawUpgradableRwLock, Refused};
use crate::cell::layout::Type;
use crate::cell::safe::{Resident, ShmData, ShmSafe};
use crate::deadline::Patience;
use crate::error::{Cause, LockError, LockResult, PoisonError, Result};
use crate::poison::Poison;

/// Many readers or one writer of a `T`, between processes when it stands in a cell, between threads anywhere.
///
/// Write [`pshared::RwLock`](crate::RwLock), the same with the backend chosen. The calls are those of
/// [`std::sync::RwLock`] and of `parking_lot`. A writer that **panicked or died** leaves the lock usable and poisoned,
/// and every way to take it says so until somebody calls [`clear_poison`](RwLock::clear_poison). A reader that dies
/// leaves the lock as if it had unlocked.
///
/// ```
/// use pshared::{RwLock, Shm};
///
/// # let name = format!("doc-rwlock-{}", std::process::id());
/// let limits = Shm::create(&name, || Ok(RwLock::new([10_u32, 20])))?;
/// {
///     let (one, other) = (limits.read()?, limits.read()?); // side by side, from any process
///     assert_eq!(one[0] + other[1], 30);
/// }
/// limits.write_or_recover(|limits, _cause| *limits = [10, 20])?[0] = 11;
///
/// let guard = limits.upgradable_read()?; // reads beside the readers, and may come to write
/// if guard[0] == 11 {
///     let mut guard = pshared::RwLockUpgradableReadGuard::upgrade(guard)?;
///     guard[0] = 12;
/// }
/// assert_eq!(limits.read()?[0], 12);
/// # pshared::Shm::<RwLock<[u32; 2]>>::remove(&name)?;
/// # Ok::<(), pshared::Error>(())
/// ```
///
/// # Readers
///
/// `READERS` threads read at a time, 64 where nothing else is said; one more waits until one of them is out, or is told
/// [`WouldBlock`](LockError::WouldBlock). Each has a cache line of its own, so readers of different processes don't slow
/// each other down. A thread that reads already gets in again at once, whoever waits.
///
/// # Fairness
///
/// A writer that comes while others read waits for those only: later readers wait for it. Readers that wait while a writer
/// writes get in before the next writer. Among writers there is no order.
///
/// # Not in a cell
///
/// As [`Mutex`](crate::generic::Mutex#not-in-a-cell).
///
/// # Limits
///
/// Those of [`Mutex`](crate::generic::Mutex#limits).
#[repr(C)]
pub struct RwLock<T: ?Sized, B: Backend, const READERS: usize> {
    raw: B::RwLock<READERS>,
    poison: Poison,
    data: UnsafeCell<T>,
}

// SAFETY: the lock hands the T from thread to thread.
unsafe impl<T: ?Sized + Send, B: Backend, const READERS: usize> Send for RwLock<T, B, READERS> {}
// SAFETY: several readers have a &T at a time, a writer has it alone; the rest is atomic.
unsafe impl<T: ?Sized + Send + Sync, B: Backend, const READERS: usize> Sync for RwLock<T, B, READERS> {}
// Poison tells of a panic inside, so looking at the data after one is a decision.
impl<T: ?Sized, B: Backend, const READERS: usize> UnwindSafe for RwLock<T, B, READERS> {}
impl<T: ?Sized, B: Backend, const READERS: usize> RefUnwindSafe for RwLock<T, B, READERS> {}

impl<T, B: Backend> RwLock<T, B, 64> {
    /// An unlocked lock around `data`, for 64 readers at a time.
    pub const fn new(data: T) -> Self {
        RwLock::with_readers(data)
    }
}

impl<T, B: Backend, const READERS: usize> RwLock<T, B, READERS> {
    /// An unlocked lock around `data`, for `READERS` readers at a time: `RwLock::<_, 128>::with_readers(data)`.
    pub const fn with_readers(data: T) -> Self {
        RwLock { raw: B::RwLock::<READERS>::UNLOCKED, poison: Poison::none(), data: UnsafeCell::new(data) }
    }

    /// The data.
    ///
    /// # Errors
    ///
    /// [`LockError::Poisoned`] with the data, if a writer panicked or died.
    pub fn into_inner(self) -> LockResult<T> {
        let cause = self.poisoned_by();
        poisoned_or(self.data.into_inner(), cause)
    }
}

/// The guard of a reader.
type Read<'a, T, B, const READERS: usize> = RwLockReadGuard<'a, T, B, READERS>;
/// The guard of a writer.
type Write<'a, T, B, const READERS: usize> = RwLockWriteGuard<'a, T, B, READERS>;
/// The guard of an upgradable reader.
type Upgradable<'a, T, B, const READERS: usize> = RwLockUpgradableReadGuard<'a, T, B, READERS>;

impl<T: ?Sized, B: Backend, const READERS: usize> RwLock<T, B, READERS> {
    /// Takes the lock for reading, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// - [`Poisoned`](LockError::Poisoned) with the guard: a writer panicked or died and nobody has cleared it.
    /// - [`WouldDeadlock`](LockError::WouldDeadlock): this thread holds the lock for writing.
    /// - [`Failed`](LockError::Failed): see [`Error`](crate::Error); the lock was not taken.
    #[inline(always)]
    pub fn read(&self) -> LockResult<Read<'_, T, B, READERS>> {
        self.read_with(|| Patience::Forever)
    }

    /// Takes the lock for reading if no writer has it or waits for it, and a place for a reader is free.
    ///
    /// # Errors
    ///
    /// As [`read`](RwLock::read), and [`WouldBlock`](LockError::WouldBlock) if not; also if this thread writes, and in the
    /// moment in which somebody else tries to get it for writing, if in vain.
    #[inline(always)]
    pub fn try_read(&self) -> LockResult<Read<'_, T, B, READERS>> {
        self.read_with(|| Patience::None)
    }

    /// Takes the lock for reading, waiting for at most `timeout`, by the monotonic clock. A lock that is free is taken
    /// however short the time; a time beyond what the clock can express is for ever.
    ///
    /// # Errors
    ///
    /// As [`read`](RwLock::read), and [`TimedOut`](LockError::TimedOut), never before the time is up.
    pub fn try_read_for(&self, timeout: Duration) -> LockResult<Read<'_, T, B, READERS>> {
        self.read_with(|| Patience::for_duration(timeout))
    }

    /// Takes the lock for reading, waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`try_read_for`](RwLock::try_read_for).
    pub fn try_read_until(&self, deadline: Instant) -> LockResult<Read<'_, T, B, READERS>> {
        self.read_with(|| Patience::until(deadline))
    }

    /// Takes the lock for writing, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// - [`Poisoned`](LockError::Poisoned) with the guard: a writer panicked or died and nobody has cleared it.
    /// - [`WouldDeadlock`](LockError::WouldDeadlock): this thread holds the lock already, in whatever way.
    /// - [`Failed`](LockError::Failed): see [`Error`](crate::Error); the lock was not taken.
    #[inline(always)]
    pub fn write(&self) -> LockResult<Write<'_, T, B, READERS>> {
        self.write_with(|| Patience::Forever)
    }

    /// Takes the lock for writing if nobody has it.
    ///
    /// # Errors
    ///
    /// As [`write`](RwLock::write), and [`WouldBlock`](LockError::WouldBlock) if somebody has it, this thread included.
    #[inline(always)]
    pub fn try_write(&self) -> LockResult<Write<'_, T, B, READERS>> {
        self.write_from(self.raw.try_write_at_once(), || Patience::None)
    }

    /// Takes the lock for writing, waiting for at most `timeout`, as [`try_read_for`](RwLock::try_read_for) does.
    ///
    /// # Errors
    ///
    /// As [`write`](RwLock::write), and [`TimedOut`](LockError::TimedOut), never before the time is up.
    pub fn try_write_for(&self, timeout: Duration) -> LockResult<Write<'_, T, B, READERS>> {
        self.write_with(|| Patience::for_duration(timeout))
    }

    /// Takes the lock for writing, waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`try_write_for`](RwLock::try_write_for).
    pub fn try_write_until(&self, deadline: Instant) -> LockResult<Write<'_, T, B, READERS>> {
        self.write_with(|| Patience::until(deadline))
    }

    /// Takes the lock for writing; if it is poisoned, lets `repair` put the data right and clears the poison.
    ///
    /// A panic or a death during the repair leaves the poison, so the next one repairs again: write `repair` so that it
    /// can start over.
    ///
    /// # Errors
    ///
    /// As [`write`](RwLock::write) without poison.
    pub fn write_or_recover(&self, repair: impl FnOnce(&mut T, Cause)) -> Result<Write<'_, T, B, READERS>> {
        match self.write() {
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
    fn read_with(&self, patience: impl FnOnce() -> Patience) -> LockResult<Read<'_, T, B, READERS>> {
        let held = match self.raw.read_at_once() {
            Some(held) => held,
            None => self.read_contended(patience())?,
        };
        // SAFETY: the lock was just taken for reading and `held` says how to give it back.
        let guard = unsafe { RwLockReadGuard::new(self, held) };
        poisoned_or(guard, self.poison.cause())
    }

    #[cold]
    #[inline(never)]
    fn read_contended(&self, patience: Patience) -> Result<<B::RwLock<READERS> as RawRwLock>::Shared, Refused> {
        self.raw.read(patience, &|| self.poison.note(Cause::OwnerDied))
    }

    #[inline(always)]
    fn write_with(&self, patience: impl FnOnce() -> Patience) -> LockResult<Write<'_, T, B, READERS>> {
        self.write_from(self.raw.write_at_once(), patience)
    }

    #[inline(always)]
    fn write_from(
        &self,
        held: Option<<B::RwLock<READERS> as RawRwLock>::Exclusive>,
        patience: impl FnOnce() -> Patience,
    ) -> LockResult<Write<'_, T, B, READERS>> {
        let held = match held {
            Some(held) => held,
            None => self.write_contended(patience())?,
        };
        // SAFETY: the lock was just taken for writing and `held` says how to give it back.
        let guard = unsafe { RwLockWriteGuard::new(self, held) };
        poisoned_or(guard, self.poison.cause())
    }

    #[cold]
    #[inline(never)]
    fn write_contended(&self, patience: Patience) -> Result<<B::RwLock<READERS> as RawRwLock>::Exclusive, Refused> {
        self.raw.write(patience, &|| self.poison.note(Cause::OwnerDied))
    }

    /// The data, without locking: `&mut self` says that nobody else has the lock.
    ///
    /// # Errors
    ///
    /// [`LockError::Poisoned`] with the data, if a writer panicked or died.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let cause = self.poisoned_by();
        poisoned_or(self.data.get_mut(), cause)
    }

    /// Whether somebody holds the lock at this moment, for reading or writing.
    pub fn is_locked(&self) -> bool {
        self.raw.is_locked()
    }

    /// Whether somebody holds the lock for writing at this moment.
    pub fn is_locked_exclusive(&self) -> bool {
        self.raw.is_locked_exclusively()
    }

    /// Whether the next one to take the lock is told that the data may be half-written. Asking repairs nothing.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned_by().is_some()
    }

    /// Declares the data sound: the lock is no longer poisoned. May be called with or without holding the lock.
    pub fn clear_poison(&self) {
        // The death first, which may be noted until it is forgotten.
        self.raw.forget_death();
        self.poison.clear();
    }

    fn poisoned_by(&self) -> Option<Cause> {
        if self.raw.writer_died() { Some(Cause::OwnerDied) } else { self.poison.cause() }
    }
}

impl<T: ?Sized, B: Backend, const READERS: usize> RwLock<T, B, READERS>
where
    B::RwLock<READERS>: RawUpgradableRwLock,
{
    /// Takes the lock for reading and perhaps writing later, waiting as long as it takes: beside readers, but neither beside
    /// a writer nor beside another upgradable reader.
    ///
    /// # Errors
    ///
    /// - [`Poisoned`](LockError::Poisoned) with the guard: a writer panicked or died and nobody has cleared it.
    /// - [`WouldDeadlock`](LockError::WouldDeadlock): this thread holds the lock already, in whatever way.
    /// - [`Failed`](LockError::Failed): see [`Error`](crate::Error); the lock was not taken.
    pub fn upgradable_read(&self) -> LockResult<Upgradable<'_, T, B, READERS>> {
        self.upgradable_read_with(Patience::Forever)
    }

    /// Takes the lock for reading and perhaps writing later, if that is possible at once.
    ///
    /// # Errors
    ///
    /// As [`upgradable_read`](RwLock::upgradable_read), and [`WouldBlock`](LockError::WouldBlock) if not.
    pub fn try_upgradable_read(&self) -> LockResult<Upgradable<'_, T, B, READERS>> {
        self.upgradable_read_with(Patience::None)
    }

    /// Takes the lock for reading and perhaps writing later, waiting for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`upgradable_read`](RwLock::upgradable_read), and [`TimedOut`](LockError::TimedOut).
    pub fn try_upgradable_read_for(&self, timeout: Duration) -> LockResult<Upgradable<'_, T, B, READERS>> {
        self.upgradable_read_with(Patience::for_duration(timeout))
    }

    /// Takes the lock for reading and perhaps writing later, waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`try_upgradable_read_for`](RwLock::try_upgradable_read_for).
    pub fn try_upgradable_read_until(&self, deadline: Instant) -> LockResult<Upgradable<'_, T, B, READERS>> {
        self.upgradable_read_with(Patience::until(deadline))
    }

    fn upgradable_read_with(&self, patience: Patience) -> LockResult<Upgradable<'_, T, B, READERS>> {
        let held = self.raw.upgradable_read(patience, &|| self.poison.note(Cause::OwnerDied))?;
        // SAFETY: the lock was just taken in this way and `held` says how to give it back.
        let guard = unsafe { RwLockUpgradableReadGuard::new(self, held) };
        poisoned_or(guard, self.poison.cause())
    }
}

#[inline(always)]
fn poisoned_or<D>(data: D, cause: Option<Cause>) -> LockResult<D> {
    match cause {
        None => Ok(data),
        Some(cause) => Err(LockError::Poisoned(PoisonError::new(data, cause))),
    }
}

impl<T, B: Backend> From<T> for RwLock<T, B, 64> {
    fn from(data: T) -> Self {
        RwLock::new(data)
    }
}

impl<T: Default, B: Backend, const READERS: usize> Default for RwLock<T, B, READERS> {
    fn default() -> Self {
        RwLock::with_readers(T::default())
    }
}

/// Shows the data if no writer has the lock, and never waits. The data of a writer that died is left alone.
impl<T: ?Sized + fmt::Debug, B: Backend, const READERS: usize> fmt::Debug for RwLock<T, B, READERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RwLock");
        if self.raw.writer_died() {
            shown.field("data", &format_args!("<writer died>"));
        } else {
            match self.try_read() {
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
unsafe impl<T: ShmData, B: Backend, const READERS: usize> ShmSafe for RwLock<T, B, READERS> {
    const TYPE: Type = Type::lock::<Self, T>("RwLock", B::NAME, READERS, offset_of!(Self, data));

    fn each_lock(&self, visit: &mut dyn FnMut(&dyn Resident) -> Result<()>) -> Result<()> {
        visit(self)
    }
}

impl<T: ShmData, B: Backend, const READERS: usize> Resident for RwLock<T, B, READERS> {
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
        self.raw.each_owner(see);
    }
}

type InFutexes = RwLock<(), crate::backend::futex::Futex, 64>;
static_assertions::const_assert_eq!(size_of::<InFutexes>(), 66 * 64);
static_assertions::const_assert_eq!(align_of::<InFutexes>(), 64);
