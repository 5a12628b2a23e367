//! What holding a `ReentrantMutex` looks like: one of a thread's guards, and the guard of a part.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::thread;

use super::{Core, ReentrantMutex};
use crate::backend::{Backend, RawMutex};
use crate::error::Cause;

/// One of the guards of a thread that holds the lock.
struct Hold<'a, B: Backend> {
    core: &'a Core<B>,
    /// Marked if the thread was panicking already when it made this guard: that panic says nothing of the data.
    held: <B::Mutex as RawMutex>::Held,
    /// The kernel and the backends know owners as threads.
    not_send: PhantomData<*const ()>,
}

impl<B: Backend> Drop for Hold<'_, B> {
    fn drop(&mut self) {
        let Hold { core, held, .. } = *self;
        if thread::panicking() && !B::Mutex::is_marked(held) && !core.raw.is_inherited(held) {
            core.poison.note(Cause::Panicked);
        }
        // SAFETY: counted when it was made, dropped once.
        unsafe { core.unlock(held) };
    }
}

/// A held [`ReentrantMutex`]: the way to its data, to look at. Dropping a thread's last one unlocks.
///
/// It can't leave its thread. A guard that a forked child finds in its copy of the memory holds nothing there;
/// dropping it does nothing.
#[must_use = "dropped at once, the guard unlocks at once"]
pub struct ReentrantMutexGuard<'a, T: ?Sized, B: Backend> {
    data: &'a T,
    hold: Hold<'a, B>,
}

/// A held [`ReentrantMutex`], narrowed to a part of its data by [`ReentrantMutexGuard::map`].
#[must_use = "dropped at once, the guard unlocks at once"]
pub struct MappedReentrantMutexGuard<'a, T: ?Sized, B: Backend> {
    data: &'a T,
    hold: Hold<'a, B>,
}

impl<'a, T: ?Sized, B: Backend> ReentrantMutexGuard<'a, T, B> {
    /// # Safety
    ///
    /// The calling thread has just taken `lock`, for the first time or again, and `held` is what it got.
    #[inline]
    pub(super) unsafe fn new(lock: &'a ReentrantMutex<T, B>, held: <B::Mutex as RawMutex>::Held) -> Self {
        let held = if thread::panicking() { B::Mutex::mark(held) } else { held };
        // SAFETY: this thread holds the lock as long as the guard lives, and all of its guards lend shared references.
        let data = unsafe { &*lock.data.get() };
        ReentrantMutexGuard { data, hold: Hold { core: &lock.core, held, not_send: PhantomData } }
    }
}

macro_rules! guard {
    ($guard:ident) => {
        // SAFETY: a shared guard gives out `&T` only, and gives nothing back.
        unsafe impl<T: ?Sized + Sync, B: Backend> Sync for $guard<'_, T, B> {}

        impl<'a, T: ?Sized, B: Backend> $guard<'a, T, B> {
            /// Narrows the guard to a part of the data. If `part` panics, the lock is poisoned, and this guard gone.
            ///
            /// An associated function, so that it doesn't hide a method of the data.
            pub fn map<U: ?Sized>(guard: Self, part: impl FnOnce(&T) -> &U) -> MappedReentrantMutexGuard<'a, U, B> {
                let $guard { data, hold } = guard;
                MappedReentrantMutexGuard { data: part(data), hold }
            }

            /// Narrows the guard to a part of the data, if there is such a part.
            ///
            /// # Errors
            ///
            /// The guard as it was, if `part` finds nothing.
            pub fn filter_map<U: ?Sized>(
                guard: Self,
                part: impl FnOnce(&T) -> Option<&U>,
            ) -> Result<MappedReentrantMutexGuard<'a, U, B>, Self> {
                match part(guard.data) {
                    Some(data) => Ok(MappedReentrantMutexGuard { data, hold: guard.hold }),
                    None => Err(guard),
                }
            }
        }

        impl<T: ?Sized, B: Backend> Deref for $guard<'_, T, B> {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                self.data
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

guard!(ReentrantMutexGuard);
guard!(MappedReentrantMutexGuard);
