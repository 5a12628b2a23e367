//! What holding a `Mutex` looks like: the guard, the guard of a part, and what both do when they are dropped.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::thread;

use super::Mutex;
use crate::backend::{Backend, RawMutex};
use crate::error::Cause;
use crate::poison::Poison;

/// How this thread holds a lock.
struct Hold<B: Backend> {
    /// Marked if the thread was panicking already when it took the lock: that panic says nothing of the data.
    held: <B::Mutex as RawMutex>::Held,
    /// The kernel and the backends know owners as threads.
    not_send: PhantomData<*const ()>,
}

impl<B: Backend> Clone for Hold<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Hold<B> {}

impl<B: Backend> Hold<B> {
    /// Notes a panic and unlocks.
    ///
    /// # Safety
    ///
    /// `raw` is held in this way, and is not given back a second time.
    #[inline(always)]
    unsafe fn release(self, raw: &B::Mutex, poison: &Poison) {
        if thread::panicking() {
            self.note_panic(raw, poison);
        }
        // SAFETY: the caller's promise.
        unsafe { raw.unlock(self.held) };
    }

    #[cold]
    #[inline(never)]
    fn note_panic(self, raw: &B::Mutex, poison: &Poison) {
        if !B::Mutex::is_marked(self.held) && !raw.is_inherited(self.held) {
            poison.note(Cause::Panicked);
        }
    }
}

/// A held [`Mutex`]: the way to its data. Dropping it unlocks.
///
/// It can't leave its thread. A guard that a forked child finds in its copy of the memory holds nothing there;
/// dropping it does nothing.
#[must_use = "dropped at once, the guard unlocks at once"]
pub struct MutexGuard<'a, T: ?Sized, B: Backend> {
    lock: &'a Mutex<T, B>,
    hold: Hold<B>,
}

/// A held [`Mutex`], narrowed to a part of its data by [`MutexGuard::map`].
#[must_use = "dropped at once, the guard unlocks at once"]
pub struct MappedMutexGuard<'a, T: ?Sized, B: Backend> {
    raw: &'a B::Mutex,
    poison: &'a Poison,
    hold: Hold<B>,
    data: NonNull<T>,
    exclusive: PhantomData<&'a mut T>,
}

impl<'a, T: ?Sized, B: Backend> MutexGuard<'a, T, B> {
    /// # Safety
    ///
    /// The calling thread has just taken `lock`, and `held` is what it got.
    #[inline]
    pub(super) unsafe fn new(lock: &'a Mutex<T, B>, held: <B::Mutex as RawMutex>::Held) -> Self {
        let held = if thread::panicking() { B::Mutex::mark(held) } else { held };
        MutexGuard { lock, hold: Hold { held, not_send: PhantomData } }
    }

    /// The lock, and how it is held: whoever takes the guard apart unlocks.
    pub(crate) fn into_parts(self) -> (&'a Mutex<T, B>, <B::Mutex as RawMutex>::Held) {
        let guard = ManuallyDrop::new(self);
        (guard.lock, guard.hold.held)
    }

    /// Whether this is the copy, in a forked child, of what the parent holds.
    pub(crate) fn is_inherited(&self) -> bool {
        self.lock.raw.is_inherited(self.hold.held)
    }

    #[inline]
    fn data(&self) -> NonNull<T> {
        // SAFETY: the address of a part of something that is borrowed.
        unsafe { NonNull::new_unchecked(self.lock.data.get()) }
    }

    fn narrowed<U: ?Sized>(self, data: NonNull<U>) -> MappedMutexGuard<'a, U, B> {
        let whole = ManuallyDrop::new(self); // the narrow guard unlocks
        let MutexGuard { lock, hold } = *whole;
        MappedMutexGuard { raw: &lock.raw, poison: &lock.poison, hold, data, exclusive: PhantomData }
    }
}

impl<T: ?Sized, B: Backend> Drop for MutexGuard<'_, T, B> {
    #[inline(always)] // the guard itself is to stay in registers
    fn drop(&mut self) {
        // SAFETY: taken in new, given back here only.
        unsafe { self.hold.release(&self.lock.raw, &self.lock.poison) };
    }
}

impl<'a, T: ?Sized, B: Backend> MappedMutexGuard<'a, T, B> {
    #[inline]
    fn data(&self) -> NonNull<T> {
        self.data
    }

    fn narrowed<U: ?Sized>(self, data: NonNull<U>) -> MappedMutexGuard<'a, U, B> {
        let wide = ManuallyDrop::new(self); // the narrower guard unlocks
        let MappedMutexGuard { raw, poison, hold, .. } = *wide;
        MappedMutexGuard { raw, poison, hold, data, exclusive: PhantomData }
    }
}

impl<T: ?Sized, B: Backend> Drop for MappedMutexGuard<'_, T, B> {
    #[inline(always)] // the guard itself is to stay in registers
    fn drop(&mut self) {
        // SAFETY: taken in MutexGuard::new, given back here only.
        unsafe { self.hold.release(self.raw, self.poison) };
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
        }

        impl<T: ?Sized, B: Backend> Deref for $guard<'_, T, B> {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                // SAFETY: the lock is held and this is the one guard; the data lives as long as the lock.
                unsafe { self.data().as_ref() }
            }
        }

        impl<T: ?Sized, B: Backend> DerefMut for $guard<'_, T, B> {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                // SAFETY: as in deref, and the guard is borrowed exclusively.
                unsafe { self.data().as_mut() }
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
