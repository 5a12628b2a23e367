//! Shared memory for those that don't bring their own, and names that go when the one who made them is done.

use std::ffi::c_void;
use std::fs::File;
use std::marker::PhantomData;
use std::num::NonZero;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::fcntl::OFlag;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap, shm_open, shm_unlink};
use nix::sys::stat::Mode;

use crate::subjects::Subject;

/// A `T` at the beginning of shared memory, which is had as one has it without this crate: `shm_open`, `ftruncate`, `mmap`.
/// It isn't dropped.
pub struct Placed<T> {
    memory: NonNull<c_void>,
    what: PhantomData<T>,
}

impl<T> Placed<T> {
    /// What is mapped: whole pages.
    const BYTES: NonZero<usize> = {
        assert!(align_of::<T>() <= 4096);
        NonZero::new(if size_of::<T>() == 0 { 4096 } else { size_of::<T>().next_multiple_of(4096) }).unwrap()
    };

    /// In new shared memory `name`, zeroed and then filled; others are told of it later.
    ///
    /// # Safety
    ///
    /// `fill` leaves a `T` there that may be used from several processes, at several addresses.
    pub unsafe fn create(name: &str, fill: impl FnOnce(*mut T)) -> Placed<T> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
        let file = File::from(shm_open(&*path(name), flags, Mode::S_IRUSR | Mode::S_IWUSR).unwrap());
        file.set_len(Self::BYTES.get() as u64).unwrap();
        let placed = Placed::map(file);
        fill(placed.memory.as_ptr().cast());
        placed
    }

    /// What another process created.
    ///
    /// # Safety
    ///
    /// It was the same `T`.
    pub unsafe fn open(name: &str) -> Placed<T> {
        Placed::map(shm_open(&*path(name), OFlag::O_RDWR, Mode::empty()).unwrap())
    }

    fn map(file: impl AsFd) -> Placed<T> {
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping where the kernel has room for it.
        let memory = unsafe { mmap(None, Self::BYTES, access, MapFlags::MAP_SHARED, file, 0) }.unwrap();
        Placed { memory, what: PhantomData }
    }
}

impl<T> Drop for Placed<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, with this length, and nothing is borrowed of it any more.
        unsafe { munmap(self.memory, Self::BYTES.get()) }.unwrap();
    }
}

/// What `shm_open` wants.
fn path(name: &str) -> String {
    format!("/{name}")
}

impl<T> Deref for Placed<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: mapped as long as `self` lives, large enough and aligned to a page; a T, as promised by who made this.
        unsafe { self.memory.cast().as_ref() }
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
    let _ = shm_unlink(&*path(name)); // fails where there is none
}

/// A subject that this process created, removed in the end.
pub struct Made<S: Subject> {
    subject: S,
    name: Name,
}

impl<S: Subject> Made<S> {
    pub fn new() -> Made<S> {
        let name = Name::new();
        let subject = S::create(&name);
        subject.note();
        Made { subject, name }
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
