//! Guards narrowed to a part of the data.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use super::{Exclusive, RwLockReadGuard, RwLockWriteGuard, Shared, release};
use crate::backend::{Backend, RawRwLock};
use crate::poison::Poison;

/// An [`RwLock`](super::RwLock) held for reading, narrowed to a part of its data by [`RwLockReadGuard::map`].
#[must_use = "dropped at once, the guard unlocks at once"]
pub struct MappedRwLockReadGuard<'a, T: ?Sized, B: Backend, const READERS: usize> {
    raw: &'a B::RwLock<READERS>,
    held: Shared<B, READERS>,
    data: NonNull<T>,
    shared: PhantomData<&'a T>,
}

/// An [`RwLock`](super::RwLock) held for writing, narrowed to a part of its data by [`RwLockWriteGuard::map`].
#[must_use = "dropped at once, the guard unlocks at once"]
pub struct MappedRwLockWriteGuard<'a, T: ?Sized, B: Backend, const READERS: usize> {
    raw: &'a B::RwLock<READERS>,
    poison: &'a Poison,
    held: Exclusive<B, READERS>,
    data: NonNull<T>,
    exclusive: PhantomData<&'a mut T>,
}

impl<'a, T: ?Sized, B: Backend, const READERS: usize> RwLockReadGuard<'a, T, B, READERS> {
    fn narrowed<U: ?Sized>(self, data: NonNull<U>) -> MappedRwLockReadGuard<'a, U, B, READERS> {
        let whole = ManuallyDrop::new(self); // the narrow guard unlocks
        MappedRwLockReadGuard { raw: &whole.lock.raw, held: whole.held, data, shared: PhantomData }
    }
}

impl<'a, T: ?Sized, B: Backend, const READERS: usize> MappedRwLockReadGuard<'a, T, B, READERS> {
    #[inline]
    pub(super) fn data(&self) -> NonNull<T> {
        self.data
    }

    fn narrowed<U: ?Sized>(self, data: NonNull<U>) -> MappedRwLockReadGuard<'a, U, B, READERS> {
        let wide = ManuallyDrop::new(self); // the narrower guard unlocks
        MappedRwLockReadGuard { raw: wide.raw, held: wide.held, data, shared: PhantomData }
    }
}

impl<T: ?Sized, B: Backend, const READERS: usize> Drop for MappedRwLockReadGuard<'_, T, B, READERS> {
    #[inline(always)] // the guard itself is to stay in registers
    fn drop(&mut self) {
        // SAFETY: taken in RwLockReadGuard::new, given back here only.
        unsafe { self.raw.unlock_read(self.held) };
    }
}

impl<'a, T: ?Sized, B: Backend, const READERS: usize> RwLockWriteGuard<'a, T, B, READERS> {
    fn narrowed<U: ?Sized>(self, data: NonNull<U>) -> MappedRwLockWriteGuard<'a, U, B, READERS> {
        let whole = ManuallyDrop::new(self); // the narrow guard unlocks
        let (lock, held) = (whole.lock, whole.held);
        MappedRwLockWriteGuard { raw: &lock.raw, poison: &lock.poison, held, data, exclusive: PhantomData }
    }
}

impl<'a, T: ?Sized, B: Backend, const READERS: usize> MappedRwLockWriteGuard<'a, T, B, READERS> {
    #[inline]
    pub(super) fn data(&self) -> NonNull<T> {
        self.data
    }

    fn narrowed<U: ?Sized>(self, data: NonNull<U>) -> MappedRwLockWriteGuard<'a, U, B, READERS> {
        let wide = ManuallyDrop::new(self); // the narrower guard unlocks
        let (raw, poison, held) = (wide.raw, wide.poison, wide.held);
        MappedRwLockWriteGuard { raw, poison, held, data, exclusive: PhantomData }
    }
}

impl<T: ?Sized, B: Backend, const READERS: usize> Drop for MappedRwLockWriteGuard<'_, T, B, READERS> {
    #[inline(always)] // the guard itself is to stay in registers
    fn drop(&mut self) {
        // SAFETY: taken in RwLockWriteGuard::new, given back here only.
        unsafe { release::<B, READERS>(self.raw, self.poison, self.held) };
    }
}

macro_rules! reads {
    ($guard:ident) => {
        impl<'a, T: ?Sized, B: Backend, const READERS: usize> $guard<'a, T, B, READERS> {
            /// Narrows the guard to a part of the data.
            ///
            /// An associated function, so that it doesn't hide a method of the data.
            pub fn map<U: ?Sized>(
                guard: Self,
                part: impl FnOnce(&T) -> &U,
            ) -> MappedRwLockReadGuard<'a, U, B, READERS> {
                let data = NonNull::from(part(&guard));
                guard.narrowed(data)
            }

            /// Narrows the guard to a part of the data, if there is such a part.
            ///
            /// # Errors
            ///
            /// The guard as it was, if `part` finds nothing.
            pub fn filter_map<U: ?Sized>(
                guard: Self,
                part: impl FnOnce(&T) -> Option<&U>,
            ) -> Result<MappedRwLockReadGuard<'a, U, B, READERS>, Self> {
                match part(&guard).map(NonNull::from) {
                    Some(data) => Ok(guard.narrowed(data)),
                    None => Err(guard),
                }
            }
        }
    };
}

macro_rules! writes {
    ($guard:ident) => {
        impl<'a, T: ?Sized, B: Backend, const READERS: usize> $guard<'a, T, B, READERS> {
            /// Narrows the guard to a part of the data. If `part` panics, the lock is poisoned and released.
            ///
            /// An associated function, so that it doesn't hide a method of the data.
            pub fn map<U: ?Sized>(
                mut guard: Self,
                part: impl FnOnce(&mut T) -> &mut U,
            ) -> MappedRwLockWriteGuard<'a, U, B, READERS> {
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
            ) -> Result<MappedRwLockWriteGuard<'a, U, B, READERS>, Self> {
                match part(&mut guard).map(NonNull::from) {
                    Some(data) => Ok(guard.narrowed(data)),
                    None => Err(guard),
                }
            }
        }
    };
}

reads!(RwLockReadGuard);
reads!(MappedRwLockReadGuard);
writes!(RwLockWriteGuard);
writes!(MappedRwLockWriteGuard);
