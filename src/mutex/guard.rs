//! What holding a `Mutex` looks like: the guard, the guard of a part, and what both do when they are dropped.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::thread;

use super::Mutex;
use crate::backend::{Backend, RawMutex};
use crate::error::Cause;
use crate::poison::Poison;

/// A lock that this thread holds; dropping it notes a panic and unlocks.
struct Hold<'a, B: Backend> {
    raw: &'a B::Mutex,
    poison: &'a Poison,
    held: <B::Mutex as RawMutex>::Held,
    /// The thread was panicking already when it took the lock, so that panic says nothing of the data.
    was_panicking: bool,
    /// The kernel and the backends know owners as threads.
    not_send: PhantomData<*const ()>,
}

impl<B: Backend> Drop for Hold<'_, B> {
    #[inline]
    fn drop(&mut self) {
        if thread::panicking() && !self.was_panicking && !self.raw.is_inherited(self.held) {
            self.poison.note(Cause::Panicked);
        }
        // SAFETY: made together with the lock in MutexGuard::new, dropped once.
        unsafe { self.raw.unlock(self.held) };
    }
}

/// A held [`Mutex`]: the way to its data. Dropping it unlocks.
///
/// It can't leave its thread. A guard that a forked child finds in its copy of the memory holds nothing there;
/// dropping it does nothing.
#[must_use = "dropped at once, the guard unlocks at once"]
pub struct MutexGuard<'a, T: ?Sized, B: Backend> {
    hold: Hold<'a, B>,
    data: NonNull<T>,
    exclusive: PhantomData<&'a mut T>,
}

/// A held [`Mutex`], narrowed to a part of its data by [`MutexGuard::map`].
#[must_use = "dropped at once, the guard unlocks at once"]
pub struct MappedMutexGuard<'a, T: ?Sized, B: Backend> {
    hold: Hold<'a, B>,
    data: NonNull<T>,
    exclusive: PhantomData<&'a mut T>,
}

impl<'a, T: ?Sized, B: Backend> MutexGuard<'a, T, B> {
    /// # Safety
    ///
    /// The calling thread has just taken `lock`, and `held` is what it got.
    #[inline]
    pub(super) unsafe fn new(lock: &'a Mutex<T, B>, held: <B::Mutex as RawMutex>::Held) -> Self {
        let was_panicking = thread::panicking();
        let hold = Hold { raw: &lock.raw, poison: &lock.poison, held, was_panicking, not_send: PhantomData };
        // SAFETY: a reference's address is never null.
        let data = unsafe { NonNull::new_unchecked(lock.data.get()) };
        MutexGuard { hold, data, exclusive: PhantomData }
    }
}

macro_rules! guard {
    ($guard:ident) => {
        // SAFETY: a shared guard gives out `&T` only.
        unsafe impl<T: ?Sized + Sync, B: Backend> Sync for $guard<'_, T, B> {}

        impl<'a, T: ?Sized, B: Backend> $guard<'a, T, B> {
            /// Narrows the guard to a part of the data. If `part` panics, the lock is poisoned and released.
            ///
            /// An associated function, so that it doesn't hide a method of the data.
            pub fn map<U: ?Sized>(mut guard: Self, part: impl FnOnce(&mut T) -> &mut U) -> MappedMutexGuard<'a, U, B> {
                let data = NonNull::from(part(&mut guard));
                guard.narrowed(data)
            }

            /// Narrows the guard to a part of the data, if there is such a part.
            ///
            /// # Errors
            ///
            /// The guard as it was, if `part` finds nothing.
            pub fn filter_map<U: ?Sized>(
                mut guard: Self,
                part: impl FnOnce(&mut T) -> Option<&mut U>,
            ) -> Result<MappedMutexGuard<'a, U, B>, Self> {
                match part(&mut guard).map(NonNull::from) {
                    Some(data) => Ok(guard.narrowed(data)),
                    None => Err(guard),
                }
            }

            fn narrowed<U: ?Sized>(self, data: NonNull<U>) -> MappedMutexGuard<'a, U, B> {
                MappedMutexGuard { hold: self.hold, data, exclusive: PhantomData }
            }
        }

        impl<T: ?Sized, B: Backend> Deref for $guard<'_, T, B> {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                // SAFETY: the lock is held and this is the one guard; the data lives as long as the lock.
                unsafe { self.data.as_ref() }
            }
        }

        impl<T: ?Sized, B: Backend> DerefMut for $guard<'_, T, B> {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                // SAFETY: as in deref, and the guard is borrowed exclusively.
                unsafe { self.data.as_mut() }
            }
        }

        impl<T: ?Sized + fmt::Debug, B: Backend> fmt::Debug for $guard<'_, T, B> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<T: ?Sized + fmt::Display, B: Backend> fmt::Display for $guard<'_, T, B> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    };
}

guard!(MutexGuard);
guard!(MappedMutexGuard);
