//! The locks that are compared, behind one small trait each for threads and for processes.

use std::cell::UnsafeCell;
use std::hint::black_box;

use pshared::{Mutex, Shm};

use crate::common::memory::Placed;
use crate::common::{Shared, Subject, pthread};

/// Something that is locked and unlocked.
pub trait Lock: Subject {
    fn lock_and_unlock(&self);
}

/// A lock that other processes can use too, with a number that it guards.
pub trait SharedLock: Lock + Shared {
    fn put(&self, number: u64);

    /// Takes one from the number; `false` if nothing is left.
    fn take_one(&self) -> bool;

    /// Runs `f` with the lock held.
    fn hold(&self, f: &mut dyn FnMut());
}

/// Ours, in a cell.
pub struct InCell(Shm<Mutex<u64>>);

impl Subject for InCell {
    const NAME: &'static str = "pshared::Mutex in a cell";

    fn create(name: &str) -> Self {
        InCell(Shm::create(name, || Ok(Mutex::new(0))).unwrap())
    }
}

impl Lock for InCell {
    #[inline]
    fn lock_and_unlock(&self) {
        drop(black_box(&*self.0).lock().unwrap());
    }
}

impl Shared for InCell {
    fn open(name: &str) -> Self {
        InCell(Shm::open(name).unwrap())
    }
}

impl SharedLock for InCell {
    fn put(&self, number: u64) {
        *self.0.lock().unwrap() = number;
    }

    #[inline]
    fn take_one(&self) -> bool {
        take_one(&mut self.0.lock().unwrap())
    }

    fn hold(&self, f: &mut dyn FnMut()) {
        let _guard = self.0.lock().unwrap();
        f();
    }
}

macro_rules! of_one_process {
    ($subject:ident, $name:literal, $lock:ty, $($unwrap:tt)*) => {
        #[doc = concat!($name, ", on the heap.")]
        pub struct $subject(Box<$lock>);

        impl Subject for $subject {
            const NAME: &'static str = $name;

            fn create(_name: &str) -> Self {
                $subject(Box::new(<$lock>::new(0)))
            }
        }

        impl Lock for $subject {
            #[inline]
            fn lock_and_unlock(&self) {
                drop(black_box(&*self.0).lock() $($unwrap)*);
            }
        }
    };
}

of_one_process!(OutsideCell, "pshared::Mutex outside a cell", Mutex<u64>, .unwrap());
of_one_process!(Std, "std::sync::Mutex", std::sync::Mutex<u64>, .unwrap());
of_one_process!(ParkingLot, "parking_lot::Mutex", parking_lot::Mutex<u64>,);

/// `pthread_mutex_t` with `PTHREAD_PROCESS_SHARED`, and with `PTHREAD_MUTEX_ROBUST` where that is asked for.
pub struct Pthread<const ROBUST: bool>(Placed<PthreadAndNumber>);

#[repr(C)]
struct PthreadAndNumber {
    mutex: UnsafeCell<libc::pthread_mutex_t>,
    number: UnsafeCell<u64>,
}

impl<const ROBUST: bool> Pthread<ROBUST> {
    #[inline]
    fn locked<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
        let it = black_box(self.0.get());
        // SAFETY: an initialised mutex, made for several addresses.
        assert_eq!(unsafe { libc::pthread_mutex_lock(it.mutex.get()) }, 0);
        // SAFETY: the lock is held.
        let result = f(unsafe { &mut *it.number.get() });
        // SAFETY: as above, and held.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(it.mutex.get()) }, 0);
        result
    }
}

impl<const ROBUST: bool> Subject for Pthread<ROBUST> {
    const NAME: &'static str = if ROBUST { "pthread mutex, robust" } else { "pthread mutex, process-shared" };

    fn create(name: &str) -> Self {
        // SAFETY: the mutex is made for several processes, in memory that nobody else knows yet; the number is 0.
        Pthread(unsafe {
            Placed::create(name, |at: *mut PthreadAndNumber| {
                pthread::make_mutex(UnsafeCell::raw_get(&raw const (*at).mutex), ROBUST);
            })
        })
    }
}

impl<const ROBUST: bool> Lock for Pthread<ROBUST> {
    #[inline]
    fn lock_and_unlock(&self) {
        self.locked(|_| {});
    }
}

impl<const ROBUST: bool> Shared for Pthread<ROBUST> {
    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        Pthread(unsafe { Placed::open(name) })
    }
}

impl<const ROBUST: bool> SharedLock for Pthread<ROBUST> {
    fn put(&self, number: u64) {
        self.locked(|it| *it = number);
    }

    #[inline]
    fn take_one(&self) -> bool {
        self.locked(take_one)
    }

    fn hold(&self, f: &mut dyn FnMut()) {
        self.locked(|_| f());
    }
}

#[inline]
fn take_one(number: &mut u64) -> bool {
    let left = *number > 0;
    *number -= u64::from(left);
    left
}
