//! Shared memory for those that don't bring their own, and names that go when the one who made them is done.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};

use pshared::region::{Mapping, Posix, Region};

use crate::subjects::Subject;

/// A `T` at the beginning of shared memory. It isn't dropped.
pub struct Placed<T> {
    memory: Mapping,
    what: PhantomData<T>,
}

impl<T> Placed<T> {
    /// In new shared memory `name`, zeroed and then filled before others find it.
    ///
    /// # Safety
    ///
    /// `fill` leaves a `T` there that may be used from several processes, at several addresses.
    pub unsafe fn create(name: &str, fill: impl FnOnce(*mut T)) -> Placed<T> {
        const { assert!(align_of::<T>() <= 4096) };
        let staged = Posix::new(name).unwrap().stage(size_of::<T>().next_multiple_of(4096)).unwrap();
        fill(staged.mapping().as_ptr().as_ptr().cast());
        staged.publish().unwrap();
        Placed { memory: staged.into_mapping(), what: PhantomData }
    }

    /// What another process created.
    ///
    /// # Safety
    ///
    /// It was the same `T`.
    pub unsafe fn open(name: &str) -> Placed<T> {
        Placed { memory: Posix::new(name).unwrap().open().unwrap(), what: PhantomData }
    }
}

impl<T> Deref for Placed<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: mapped as long as `self` lives, large enough and aligned to a page; a T, as promised by who made this.
        unsafe { self.memory.as_ptr().cast().as_ref() }
    }
}

/// What names begin with; then comes the process.
pub const NAME: &str = "pshared-versus-";

/// A name that nobody else has; what is in shared memory under it is removed in the end.
pub struct Name(String);

impl Name {
    pub fn new() -> Name {
        static NAMES: AtomicU32 = AtomicU32::new(0);
        Name(format!("{NAME}{}-{}", std::process::id(), NAMES.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Removes shared memory `name`, if there is any.
pub fn remove(name: &str) {
    let _ = Posix::new(name).unwrap().remove(); // fails where there is none
}

/// A subject that this process created, removed in the end.
pub struct Made<S: Subject> {
    subject: S,
    name: Name,
}

impl<S: Subject> Made<S> {
    pub fn new() -> Made<S> {
        let name = Name::new();
        Made { subject: S::create(&name), name }
    }

    /// What others open it by.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<S: Subject> Deref for Made<S> {
    type Target = S;

    #[inline(always)]
    fn deref(&self) -> &S {
        &self.subject
    }
}

impl<S: Subject> Drop for Made<S> {
    fn drop(&mut self) {
        S::remove(&self.name);
    }
}
