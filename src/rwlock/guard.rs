//! What holding an `RwLock` looks like: the guards, how one turns into another, and what they do when they are dropped.

mod mapped;

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::thread;
use std::time::Duration;

pub use mapped::{MappedRwLockReadGuard, MappedRwLockWriteGuard};

use super::RwLock;
use crate::backend::{Backend, RawRwLock, RawUpgradableRwLock};
use crate::deadline::Patience;
use crate::error::{Cause, Error, LockError, PoisonError};
use crate::poison::Poison;

type Shared<B, const READERS: usize> = <<B as Backend>::RwLock<READERS> as RawRwLock>::Shared;
type Exclusive<B, const READERS: usize> = <<B as Backend>::RwLock<READERS> as RawRwLock>::Exclusive;
type Upgradable<B, const READERS: usize> = <<B as Backend>::RwLock<READERS> as RawUpgradableRwLock>::Upgradable;

/// The kernel and the backends know holders as threads.
type NotSend = PhantomData<*const ()>;

/// An [`RwLock`] held for reading. Dropping it unlocks.
///
/// It can't leave its thread. A guard that a forked child finds in its copy of the memory holds nothing there;
/// dropping it does nothing.
#[must_use = "dropped at once, the guard unlocks at once"]
pub struct RwLockReadGuard<'a, T: ?Sized, B: Backend, const READERS: usize> {
    lock: &'a RwLock<T, B, READERS>,
    held: Shared<B, READERS>,
    not_send: NotSend,
}

/// An [`RwLock`] held for writing: the way to its data. Dropping it unlocks.
///
/// It can't leave its thread. A guard that a forked child finds in its copy of the memory holds nothing there;
/// dropping it does nothing.
#[must_use = "dropped at once, the guard unlocks at once"]
pub struct RwLockWriteGuard<'a, T: ?Sized, B: Backend, const READERS: usize> {
    lock: &'a RwLock<T, B, READERS>,
    /// Marked if the thread was panicking already when it took the lock: that panic says nothing of the data.
    held: Exclusive<B, READERS>,
    not_send: NotSend,
}

/// An [`RwLock`] held for reading, which can turn into writing. Dropping it unlocks.
///
/// It can't leave its thread. A guard that a forked child finds in its copy of the memory holds nothing there;
/// dropping it does nothing.
#[must_use = "dropped at once, the guard unlocks at once"]
pub struct RwLockUpgradableReadGuard<'a, T: ?Sized, B: Backend, const READERS: usize>
where
    B::RwLock<READERS>: RawUpgradableRwLock,
{
    lock: &'a RwLock<T, B, READERS>,
    held: Upgradable<B, READERS>,
    not_send: NotSend,
}

impl<'a, T: ?Sized, B: Backend, const READERS: usize> RwLockReadGuard<'a, T, B, READERS> {
    /// # Safety
    ///
    /// The calling thread has just taken `lock` for reading, and `held` is what it got.
    #[inline(always)]
    pub(super) unsafe fn new(lock: &'a RwLock<T, B, READERS>, held: Shared<B, READERS>) -> Self {
        RwLockReadGuard { lock, held, not_send: PhantomData }
    }

    #[inline(always)]
    fn data(&self) -> NonNull<T> {
        // SAFETY: the address of a part of something that is borrowed.
        unsafe { NonNull::new_unchecked(self.lock.data.get()) }
    }
}

impl<T: ?Sized, B: Backend, const READERS: usize> Drop for RwLockReadGuard<'_, T, B, READERS> {
    #[inline(always)] // the guard itself is to stay in registers
    fn drop(&mut self) {
        // SAFETY: taken in new, given back here only.
        unsafe { self.lock.raw.unlock_read(self.held) };
    }
}

/// Notes a panic and unlocks.
///
/// # Safety
///
/// `raw` is held for writing in this way, and is not given back a second time.
#[inline(always)]
unsafe fn release<B: Backend, const READERS: usize>(
    raw: &B::RwLock<READERS>,
    poison: &Poison,
    held: Exclusive<B, READERS>,
) {
    if thread::panicking() {
        note_panic::<B, READERS>(raw, poison, held);
    }
    // SAFETY: the caller's promise.
    unsafe { raw.unlock_write(held) };
}

/// Notes the panic that this thread is in, if it began while the lock was held.
#[cold]
#[inline(never)]
fn note_panic<B: Backend, const READERS: usize>(
    raw: &B::RwLock<READERS>,
    poison: &Poison,
    held: Exclusive<B, READERS>,
) {
    if !B::RwLock::<READERS>::is_marked(held) && !raw.is_inherited(held) {
        poison.note(Cause::Panicked);
    }
}

impl<'a, T: ?Sized, B: Backend, const READERS: usize> RwLockWriteGuard<'a, T, B, READERS> {
    /// # Safety
    ///
    /// The calling thread has just taken `lock` for writing, and `held` is what it got.
    #[inline(always)]
    pub(super) unsafe fn new(lock: &'a RwLock<T, B, READERS>, held: Exclusive<B, READERS>) -> Self {
        let held = if thread::panicking() { B::RwLock::<READERS>::mark(held) } else { held };
        RwLockWriteGuard { lock, held, not_send: PhantomData }
    }

    #[inline(always)]
    fn data(&self) -> NonNull<T> {
        // SAFETY: the address of a part of something that is borrowed.
        unsafe { NonNull::new_unchecked(self.lock.data.get()) }
    }
}

impl<'a, T: ?Sized, B: Backend, const READERS: usize> RwLockWriteGuard<'a, T, B, READERS>
where
    B::RwLock<READERS>: RawUpgradableRwLock,
{
    /// Goes on reading, and lets other readers in. No writer comes in between.
    ///
    /// An associated function, so that it doesn't hide a method of the data.
    pub fn downgrade(guard: Self) -> RwLockReadGuard<'a, T, B, READERS> {
        let (lock, held) = guard.taken_apart();
        // SAFETY: held by the guard, which is gone.
        unsafe { RwLockReadGuard::new(lock, lock.raw.downgrade(held)) }
    }

    /// Goes on reading, perhaps to write later, and lets readers in. No writer comes in between.
    pub fn downgrade_to_upgradable(guard: Self) -> RwLockUpgradableReadGuard<'a, T, B, READERS> {
        let (lock, held) = guard.taken_apart();
        // SAFETY: held by the guard, which is gone.
        unsafe { RwLockUpgradableReadGuard::new(lock, lock.raw.downgrade_to_upgradable(held)) }
    }

    /// The guard's end, but for the unlocking.
    fn taken_apart(self) -> (&'a RwLock<T, B, READERS>, Exclusive<B, READERS>) {
        let guard = ManuallyDrop::new(self);
        if thread::panicking() {
            note_panic::<B, READERS>(&guard.lock.raw, &guard.lock.poison, guard.held);
        }
        (guard.lock, guard.held)
    }
}

impl<T: ?Sized, B: Backend, const READERS: usize> Drop for RwLockWriteGuard<'_, T, B, READERS> {
    #[inline(always)] // the guard itself is to stay in registers
    fn drop(&mut self) {
        // SAFETY: taken in new, given back here only.
        unsafe { release::<B, READERS>(&self.lock.raw, &self.lock.poison, self.held) };
    }
}

/// Why an upgrade didn't simply succeed: `U` is the upgradable guard, `W` the writer's.
///
/// `?` turns it into an [`Error`] in functions that return [`Result`](crate::Result): the lock is released.
pub enum UpgradeError<U, W> {
    /// The lock is held for writing, and its data may be half-written.
    Poisoned(PoisonError<W>),
    /// The lock is held as before.
    Refused {
        /// The guard as it was.
        guard: U,
        /// [`Error::WouldBlock`], [`Error::TimedOut`], [`Error::WouldDeadlock`] if this thread reads a second time, or a
        /// failure.
        why: Error,
    },
}

impl<U, W> From<UpgradeError<U, W>> for Error {
    fn from(error: UpgradeError<U, W>) -> Error {
        match error {
            UpgradeError::Poisoned(poison) => Error::Poisoned(poison.cause()),
            UpgradeError::Refused { why, .. } => why,
        }
    }
}

impl<U, W> fmt::Debug for UpgradeError<U, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpgradeError::Poisoned(poison) => f.debug_tuple("Poisoned").field(&poison.cause()).finish(),
            UpgradeError::Refused { why, .. } => f.debug_tuple("Refused").field(why).finish(),
        }
    }
}

impl<U, W> fmt::Display for UpgradeError<U, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpgradeError::Poisoned(poison) => Error::Poisoned(poison.cause()).fmt(f),
            UpgradeError::Refused { why, .. } => why.fmt(f),
        }
    }
}

impl<U, W> std::error::Error for UpgradeError<U, W> {}

/// What an upgrade comes to.
type Upgraded<'a, T, B, const READERS: usize> = Result<
    RwLockWriteGuard<'a, T, B, READERS>,
    UpgradeError<RwLockUpgradableReadGuard<'a, T, B, READERS>, RwLockWriteGuard<'a, T, B, READERS>>,
>;

impl<'a, T: ?Sized, B: Backend, const READERS: usize> RwLockUpgradableReadGuard<'a, T, B, READERS>
where
    B::RwLock<READERS>: RawUpgradableRwLock,
{
    /// # Safety
    ///
    /// The calling thread has just taken `lock` in this way, and `held` is what it got.
    pub(super) unsafe fn new(lock: &'a RwLock<T, B, READERS>, held: Upgradable<B, READERS>) -> Self {
        RwLockUpgradableReadGuard { lock, held, not_send: PhantomData }
    }

    fn data(&self) -> NonNull<T> {
        // SAFETY: the address of a part of something that is borrowed.
        unsafe { NonNull::new_unchecked(self.lock.data.get()) }
    }

    /// Waits until the other readers are out, and writes. No writer comes in between.
    ///
    /// An associated function, so that it doesn't hide a method of the data.
    ///
    /// # Errors
    ///
    /// [`UpgradeError`]: poisoned, or refused with this guard, as [`Error::WouldDeadlock`] if this thread reads through
    /// another guard too.
    pub fn upgrade(guard: Self) -> Upgraded<'a, T, B, READERS> {
        guard.upgrade_with(Patience::Forever)
    }

    /// Writes, if nobody else reads.
    ///
    /// # Errors
    ///
    /// As [`upgrade`](RwLockUpgradableReadGuard::upgrade), and [`Error::WouldBlock`] if somebody else reads.
    pub fn try_upgrade(guard: Self) -> Upgraded<'a, T, B, READERS> {
        guard.upgrade_with(Patience::None)
    }

    /// Waits for at most `timeout` until the other readers are out, and writes.
    ///
    /// # Errors
    ///
    /// As [`upgrade`](RwLockUpgradableReadGuard::upgrade), and [`Error::TimedOut`], never before the time is up.
    pub fn try_upgrade_for(guard: Self, timeout: Duration) -> Upgraded<'a, T, B, READERS> {
        guard.upgrade_with(Patience::for_duration(timeout))
    }

    /// Goes on reading as an ordinary reader.
    pub fn downgrade(guard: Self) -> RwLockReadGuard<'a, T, B, READERS> {
        let guard = ManuallyDrop::new(guard);
        // SAFETY: held by the guard, which is gone.
        unsafe { RwLockReadGuard::new(guard.lock, guard.lock.raw.downgrade_upgradable(guard.held)) }
    }

    fn upgrade_with(self, patience: Patience) -> Upgraded<'a, T, B, READERS> {
        let lock = self.lock;
        // SAFETY: held by this guard, which is gone if that succeeds.
        let held = match unsafe { lock.raw.upgrade(self.held, patience) } {
            Ok(held) => held,
            Err(why) => return Err(UpgradeError::Refused { guard: self, why: LockError::<()>::from(why).into() }),
        };
        std::mem::forget(self);
        // SAFETY: just taken for writing.
        let guard = unsafe { RwLockWriteGuard::new(lock, held) };
        match lock.poison.cause() {
            None => Ok(guard),
            Some(cause) => Err(UpgradeError::Poisoned(PoisonError::new(guard, cause))),
        }
    }
}

impl<T: ?Sized, B: Backend, const READERS: usize> Drop for RwLockUpgradableReadGuard<'_, T, B, READERS>
where
    B::RwLock<READERS>: RawUpgradableRwLock,
{
    fn drop(&mut self) {
        // SAFETY: taken in new, given back here only.
        unsafe { self.lock.raw.unlock_upgradable(self.held) };
    }
}

/// What is the same for every guard: it looks like its data.
macro_rules! looks_like_its_data {
    ($guard:ident $(, where $bound:ident)?) => {
        // SAFETY: a shared guard gives out `&T` only.
        unsafe impl<T: ?Sized + Sync, B: Backend, const READERS: usize> Sync for $guard<'_, T, B, READERS>
        $(where B::RwLock<READERS>: $bound)?
        {
        }

        impl<T: ?Sized, B: Backend, const READERS: usize> Deref for $guard<'_, T, B, READERS>
        $(where B::RwLock<READERS>: $bound)?
        {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                // SAFETY: the lock is held, and nobody writes but through this guard; the data lives as long as the lock.
                unsafe { self.data().as_ref() }
            }
        }

        impl<T: ?Sized + fmt::Debug, B: Backend, const READERS: usize> fmt::Debug for $guard<'_, T, B, READERS>
        $(where B::RwLock<READERS>: $bound)?
        {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<T: ?Sized + fmt::Display, B: Backend, const READERS: usize> fmt::Display for $guard<'_, T, B, READERS>
        $(where B::RwLock<READERS>: $bound)?
        {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    };
}

/// What is the same for every guard that writes.
macro_rules! writes_its_data {
    ($guard:ident) => {
        impl<T: ?Sized, B: Backend, const READERS: usize> DerefMut for $guard<'_, T, B, READERS> {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                // SAFETY: held for writing, and the guard is borrowed exclusively.
                unsafe { self.data().as_mut() }
            }
        }
    };
}

looks_like_its_data!(RwLockReadGuard);
looks_like_its_data!(RwLockWriteGuard);
looks_like_its_data!(RwLockUpgradableReadGuard, where RawUpgradableRwLock);
looks_like_its_data!(MappedRwLockReadGuard);
looks_like_its_data!(MappedRwLockWriteGuard);
writes_its_data!(RwLockWriteGuard);
writes_its_data!(MappedRwLockWriteGuard);
