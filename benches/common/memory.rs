//! Shared memory for what isn't this crate's.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};

use pshared::region::{Mapping, Posix, Region};

const SIZE: usize = 4096;

/// A `T` at the beginning of a page of shared memory. It isn't dropped.
pub struct Placed<T> {
    page: Mapping,
    what: PhantomData<T>,
}

impl<T> Placed<T> {
    /// In new shared memory `name`, zeroed and then filled before others find it.
    ///
    /// # Safety
    ///
    /// `fill` leaves a `T` there that may be used from several processes, at several addresses.
    pub unsafe fn create(name: &str, fill: impl FnOnce(*mut T)) -> Placed<T> {
        const { assert!(size_of::<T>() <= SIZE) };
        let staged = Posix::new(name).unwrap().stage(SIZE).unwrap();
        fill(staged.mapping().as_ptr().as_ptr().cast());
        staged.publish().unwrap();
        Placed { page: staged.into_mapping(), what: PhantomData }
    }

    /// What another process created.
    ///
    /// # Safety
    ///
    /// It was the same `T`.
    pub unsafe fn open(name: &str) -> Placed<T> {
        Placed { page: Posix::new(name).unwrap().open().unwrap(), what: PhantomData }
    }

    #[inline(always)]
    pub fn get(&self) -> &T {
        // SAFETY: mapped as long as `self` lives, large enough and aligned to a page; a T, as promised by who made this.
        unsafe { self.page.as_ptr().cast().as_ref() }
    }
}

/// A name in shared memory that nobody else has, removed in the end.
pub struct Name(pub String);

impl Name {
    pub fn new(what: &str) -> Name {
        static NAMES: AtomicU32 = AtomicU32::new(0);
        let number = NAMES.fetch_add(1, Ordering::Relaxed);
        Name(format!("pshared-bench-{}-{number}-{what}", std::process::id()))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // Fails where the subject has nothing in shared memory.
        let _ = Posix::new(&self.0).unwrap().remove();
    }
}
