//! Three mutexes each.

use std::cell::UnsafeCell;
use std::fs::{self, File, OpenOptions};
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, RawFd};

use pshared::backend::Backend;
use pshared::{Shm, ShmSafe, generic};

use super::ThreeLocks;
use crate::place::Placed;
use crate::subjects::Subject;
use crate::subjects::files::FileLock;
use crate::subjects::pthread::make_mutex;

/// Ours, in a cell.
pub struct Mutexes<B: Backend>(Shm<[Aligned<B>; 3]>);

#[repr(C, align(128))]
#[derive(ShmSafe)]
pub struct Aligned<B: Backend>(generic::Mutex<(), B>);

impl<B: Backend> Subject for Mutexes<B> {
    const NAME: &'static str = name!("Mutex", B);

    fn create(name: &str) -> Self {
        let three = || Ok([(); 3].map(|()| Aligned(generic::Mutex::new(()))));
        Mutexes(Shm::create(name, three).unwrap())
    }

    fn open(name: &str) -> Self {
        Mutexes(Shm::open(name).unwrap())
    }

    fn remove(name: &str) {
        Shm::<[Aligned<B>; 3]>::remove(name).unwrap(); // with what the system holds for it
    }
}

impl<B: Backend> ThreeLocks for Mutexes<B> {
    type Guard<'a> = generic::MutexGuard<'a, (), B>;

    #[inline]
    fn lock(&self, which: usize) -> Self::Guard<'_> {
        self.0[which].0.lock().unwrap()
    }
}

/// `pthread_mutex_t`: `p`lain, `r`obust, or robust with priority `i`nheritance.
pub struct PthreadMutexes<const KIND: char>(Placed<[AlignedPthread; 3]>);

#[repr(C, align(128))]
struct AlignedPthread(UnsafeCell<libc::pthread_mutex_t>);

impl<const KIND: char> Subject for PthreadMutexes<KIND> {
    const NAME: &'static str = match KIND {
        'p' => "pthread_mutex_t",
        'r' => "pthread_mutex_t, robust",
        _ => "pthread_mutex_t, robust, PI",
    };

    fn create(name: &str) -> Self {
        // SAFETY: they are made for several processes, in memory that nobody else knows yet.
        PthreadMutexes(unsafe {
            Placed::create(name, |at: *mut [AlignedPthread; 3]| {
                for which in 0..3 {
                    make_mutex(UnsafeCell::raw_get(&raw const (*at)[which].0), KIND != 'p', KIND == 'i');
                }
            })
        })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        PthreadMutexes(unsafe { Placed::open(name) })
    }
}

/// A mutex that is held.
pub struct Held<'a>(&'a UnsafeCell<libc::pthread_mutex_t>);

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: an initialised mutex, held by this thread.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(self.0.get()) }, 0);
    }
}

impl<const KIND: char> ThreeLocks for PthreadMutexes<KIND> {
    type Guard<'a> = Held<'a>;

    #[inline]
    fn lock(&self, which: usize) -> Self::Guard<'_> {
        let mutex = &self.0[which].0;
        // SAFETY: an initialised mutex, made for several addresses.
        assert_eq!(unsafe { libc::pthread_mutex_lock(mutex.get()) }, 0);
        Held(mutex)
    }
}

/// Three files that have no names any more: others open them by the descriptors of the process that created them.
pub struct Files<L> {
    files: [File; 3],
    _place: Placed<Descriptors>,
    how: PhantomData<L>,
}

#[repr(C)]
struct Descriptors {
    creator: u32,
    files: [RawFd; 3],
}

impl<L: FileLock> Subject for Files<L> {
    const NAME: &'static str = L::NAME;

    fn create(name: &str) -> Self {
        let files = [0, 1, 2].map(|which| {
            let path = std::env::temp_dir().join(format!("{name}-{which}"));
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
            fs::remove_file(&path).unwrap();
            file
        });
        let descriptors =
            Descriptors { creator: std::process::id(), files: files.each_ref().map(|file| file.as_raw_fd()) };
        // SAFETY: nothing in it has an address.
        let place = unsafe { Placed::create(name, |at: *mut Descriptors| at.write(descriptors)) };
        Files { files, _place: place, how: PhantomData }
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        let place = unsafe { Placed::<Descriptors>::open(name) };
        let files = place.files.map(|file| {
            let path = format!("/proc/{}/fd/{file}", place.creator);
            OpenOptions::new().read(true).write(true).open(path).unwrap()
        });
        Files { files, _place: place, how: PhantomData }
    }
}

/// A file that is locked.
pub struct Locked<'a, L: FileLock>(&'a File, PhantomData<L>);

impl<L: FileLock> Drop for Locked<'_, L> {
    fn drop(&mut self) {
        L::unlock(self.0);
    }
}

impl<L: FileLock> ThreeLocks for Files<L> {
    type Guard<'a> = Locked<'a, L>;

    fn lock(&self, which: usize) -> Self::Guard<'_> {
        let file = &self.files[which];
        L::lock(file);
        Locked(file, PhantomData)
    }
}
