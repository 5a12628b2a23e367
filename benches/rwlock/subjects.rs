//! The locks that are compared, around two numbers that are equal.

use std::cell::UnsafeCell;
use std::hint::black_box;

use pshared::{RwLock, Shm};
use rustix_futex_sync::shm::RwLock as RustixLock;

use crate::common::memory::Placed;
use crate::common::{Shared, Subject, pthread};

/// How a lock is taken.
#[derive(Clone, Copy)]
pub enum Mode {
    Read,
    Write,
}

/// Something that is locked for reading and for writing.
pub trait Lock: Subject {
    fn lock_and_unlock(&self, mode: Mode);

    /// What stands there, read under the lock.
    fn read(&self) -> [u64; 2];

    /// Adds one to both numbers.
    fn write(&self);
}

/// A lock that other processes can use too.
pub trait SharedLock: Lock + Shared {
    const READER: &'static str;
    const WRITER: &'static str;

    /// Runs `f` with the lock held by a reader.
    fn hold_reading(&self, f: &mut dyn FnMut());

    /// Runs `f` with the lock held by a writer.
    fn hold_writing(&self, f: &mut dyn FnMut());
}

/// Implements [`Lock`] by the calls that std's lock has.
macro_rules! lock_by {
    ($subject:ty, $($unwrap:tt)*) => {
        impl Lock for $subject {
            #[inline(always)]
            fn lock_and_unlock(&self, mode: Mode) {
                match mode {
                    Mode::Read => drop(black_box(self.get()).read() $($unwrap)*),
                    Mode::Write => drop(black_box(self.get()).write() $($unwrap)*),
                }
            }

            #[inline]
            fn read(&self) -> [u64; 2] {
                *self.get().read() $($unwrap)*
            }

            #[inline]
            fn write(&self) {
                add_one(&mut self.get().write() $($unwrap)*);
            }
        }
    };
}

/// Implements [`SharedLock`] by the same calls.
macro_rules! shared_by {
    ($subject:ty, $name:literal, $($unwrap:tt)*) => {
        impl SharedLock for $subject {
            const READER: &'static str = concat!($name, ": reader");
            const WRITER: &'static str = concat!($name, ": writer");

            fn hold_reading(&self, f: &mut dyn FnMut()) {
                let _guard = self.get().read() $($unwrap)*;
                f();
            }

            fn hold_writing(&self, f: &mut dyn FnMut()) {
                let _guard = self.get().write() $($unwrap)*;
                f();
            }
        }
    };
}

/// Ours, in a cell.
pub struct InCell(Shm<RwLock<[u64; 2]>>);

impl InCell {
    #[inline(always)]
    fn get(&self) -> &RwLock<[u64; 2]> {
        &self.0
    }
}

impl Subject for InCell {
    const NAME: &'static str = "pshared::RwLock in a cell";

    fn create(name: &str) -> Self {
        InCell(Shm::create(name, || Ok(RwLock::new([0; 2]))).unwrap())
    }
}

impl Shared for InCell {
    fn open(name: &str) -> Self {
        InCell(Shm::open(name).unwrap())
    }
}

lock_by!(InCell, .unwrap());
shared_by!(InCell, "pshared::RwLock", .unwrap());

macro_rules! of_one_process {
    ($subject:ident, $name:literal, $lock:ty, $($unwrap:tt)*) => {
        #[doc = concat!($name, ", on the heap.")]
        pub struct $subject(Box<$lock>);

        impl $subject {
            #[inline(always)]
            fn get(&self) -> &$lock {
                &self.0
            }
        }

        impl Subject for $subject {
            const NAME: &'static str = $name;

            fn create(_name: &str) -> Self {
                $subject(Box::new(<$lock>::new([0; 2])))
            }
        }

        lock_by!($subject, $($unwrap)*);
    };
}

of_one_process!(OutsideCell, "pshared::RwLock outside a cell", RwLock<[u64; 2]>, .unwrap());
of_one_process!(Std, "std::sync::RwLock", std::sync::RwLock<[u64; 2]>, .unwrap());
of_one_process!(ParkingLot, "parking_lot::RwLock", parking_lot::RwLock<[u64; 2]>,);

/// The `RwLock` of rustix-futex-sync, the kind for shared memory.
pub struct Rustix(Placed<RustixLock<[u64; 2]>>);

impl Rustix {
    #[inline(always)]
    fn get(&self) -> &RustixLock<[u64; 2]> {
        self.0.get()
    }
}

impl Subject for Rustix {
    const NAME: &'static str = "rustix-futex-sync's shm::RwLock";

    fn create(name: &str) -> Self {
        // SAFETY: it is made for several processes.
        Rustix(unsafe { Placed::create(name, |at: *mut RustixLock<[u64; 2]>| at.write(RustixLock::new([0; 2]))) })
    }
}

impl Shared for Rustix {
    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        Rustix(unsafe { Placed::open(name) })
    }
}

lock_by!(Rustix,);
shared_by!(Rustix, "rustix-futex-sync",);

/// `pthread_rwlock_t` with `PTHREAD_PROCESS_SHARED`.
pub struct Pthread(Placed<PthreadAndNumbers>);

#[repr(C)]
struct PthreadAndNumbers {
    lock: UnsafeCell<libc::pthread_rwlock_t>,
    numbers: UnsafeCell<[u64; 2]>,
}

impl Pthread {
    #[inline]
    fn reading<R>(&self, f: impl FnOnce(&[u64; 2]) -> R) -> R {
        let it = black_box(self.0.get());
        // SAFETY: an initialised lock, made for several addresses.
        assert_eq!(unsafe { libc::pthread_rwlock_rdlock(it.lock.get()) }, 0);
        // SAFETY: locked for reading.
        let result = f(unsafe { &*it.numbers.get() });
        self.unlock();
        result
    }

    #[inline]
    fn writing<R>(&self, f: impl FnOnce(&mut [u64; 2]) -> R) -> R {
        let it = black_box(self.0.get());
        // SAFETY: as in reading.
        assert_eq!(unsafe { libc::pthread_rwlock_wrlock(it.lock.get()) }, 0);
        // SAFETY: locked for writing.
        let result = f(unsafe { &mut *it.numbers.get() });
        self.unlock();
        result
    }

    #[inline]
    fn unlock(&self) {
        // SAFETY: called with the lock held.
        assert_eq!(unsafe { libc::pthread_rwlock_unlock(self.0.get().lock.get()) }, 0);
    }
}

impl Subject for Pthread {
    const NAME: &'static str = "pthread_rwlock_t, process-shared";

    fn create(name: &str) -> Self {
        // SAFETY: the lock is made for several processes, in memory that nobody else knows yet; the numbers are 0.
        Pthread(unsafe {
            Placed::create(name, |at: *mut PthreadAndNumbers| {
                pthread::make_rwlock(UnsafeCell::raw_get(&raw const (*at).lock));
            })
        })
    }
}

impl Lock for Pthread {
    #[inline(always)]
    fn lock_and_unlock(&self, mode: Mode) {
        match mode {
            Mode::Read => self.reading(|_| {}),
            Mode::Write => self.writing(|_| {}),
        }
    }

    #[inline]
    fn read(&self) -> [u64; 2] {
        self.reading(|numbers| *numbers)
    }

    #[inline]
    fn write(&self) {
        self.writing(add_one);
    }
}

impl Shared for Pthread {
    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        Pthread(unsafe { Placed::open(name) })
    }
}

impl SharedLock for Pthread {
    const READER: &'static str = "pthread_rwlock_t: reader";
    const WRITER: &'static str = "pthread_rwlock_t: writer";

    fn hold_reading(&self, f: &mut dyn FnMut()) {
        self.reading(|_| f());
    }

    fn hold_writing(&self, f: &mut dyn FnMut()) {
        self.writing(|_| f());
    }
}

#[inline]
fn add_one(numbers: &mut [u64; 2]) {
    for number in numbers {
        *number += 1;
    }
}
