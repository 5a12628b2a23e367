//! The locks that are compared, behind one small trait each for threads and for processes.

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use pshared::region::{Mapping, Posix, Region};
use pshared::{Mutex, Shm};

/// Something that is locked and unlocked.
pub trait Subject {
    const NAME: &'static str;

    /// In new shared memory `name`, where the lock can be in shared memory.
    fn create(name: &str) -> Self;

    /// Locks and unlocks.
    fn lock_and_unlock(&self);
}

/// A lock that other processes can use too, with a sum that it guards.
pub trait Shared: Subject {
    /// The lock that another process created.
    fn open(name: &str) -> Self;

    /// Adds one to the sum, unless that would exceed `most`.
    fn add(&self, most: u64) -> bool;

    /// Runs `f` with the lock held.
    fn hold(&self, f: impl FnOnce());
}

/// Nothing less excludes anybody: a compare-exchange to take it, an exchange to give it back.
pub struct Floor(Mapping);

impl Subject for Floor {
    const NAME: &'static str = "floor: CAS + exchange";

    fn create(name: &str) -> Self {
        Floor(fresh(name, |_| {}))
    }

    #[inline]
    fn lock_and_unlock(&self) {
        // SAFETY: mapped, zero at first, and atomic.
        let word = unsafe { self.0.as_ptr().cast::<AtomicU32>().as_ref() };
        let taken = black_box(word).compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
        assert!(taken.is_ok());
        word.swap(0, Ordering::Release);
    }
}

/// Ours, in a cell.
pub struct InCell(Shm<Mutex<u64>>);

impl Subject for InCell {
    const NAME: &'static str = "pshared::Mutex in a cell";

    fn create(name: &str) -> Self {
        InCell(Shm::create(name, || Ok(Mutex::new(0))).unwrap())
    }

    #[inline]
    fn lock_and_unlock(&self) {
        drop(black_box(&*self.0).lock().unwrap());
    }
}

impl Shared for InCell {
    fn open(name: &str) -> Self {
        InCell(Shm::open(name).unwrap())
    }

    #[inline]
    fn add(&self, most: u64) -> bool {
        add_one(&mut self.0.lock().unwrap(), most)
    }

    fn hold(&self, f: impl FnOnce()) {
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
pub struct Pthread<const ROBUST: bool>(Mapping);

#[repr(C)]
struct PthreadAndSum {
    mutex: UnsafeCell<libc::pthread_mutex_t>,
    sum: UnsafeCell<u64>,
}

impl<const ROBUST: bool> Pthread<ROBUST> {
    fn get(&self) -> &PthreadAndSum {
        // SAFETY: mapped; made by `create`, and published only then.
        unsafe { self.0.as_ptr().cast().as_ref() }
    }

    #[inline]
    fn locked<R>(&self, f: impl FnOnce(*mut u64) -> R) -> R {
        let it = black_box(self.get());
        // SAFETY: an initialised mutex at the address where it was initialised.
        assert_eq!(unsafe { libc::pthread_mutex_lock(it.mutex.get()) }, 0);
        let result = f(it.sum.get());
        // SAFETY: as above, and held.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(it.mutex.get()) }, 0);
        result
    }
}

impl<const ROBUST: bool> Subject for Pthread<ROBUST> {
    const NAME: &'static str = if ROBUST { "pthread mutex, robust" } else { "pthread mutex, process-shared" };

    fn create(name: &str) -> Self {
        Pthread(fresh(name, |at| {
            // SAFETY: zeroed memory of its own for all of it; each call is checked.
            unsafe {
                let it = at.cast::<PthreadAndSum>();
                let mut attributes = std::mem::zeroed();
                assert_eq!(libc::pthread_mutexattr_init(&mut attributes), 0);
                assert_eq!(libc::pthread_mutexattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED), 0);
                if ROBUST {
                    assert_eq!(libc::pthread_mutexattr_setrobust(&mut attributes, libc::PTHREAD_MUTEX_ROBUST), 0);
                }
                assert_eq!(libc::pthread_mutex_init((*it).mutex.get(), &attributes), 0);
                assert_eq!(libc::pthread_mutexattr_destroy(&mut attributes), 0);
            }
        }))
    }

    #[inline]
    fn lock_and_unlock(&self) {
        self.locked(|_| {});
    }
}

impl<const ROBUST: bool> Shared for Pthread<ROBUST> {
    fn open(name: &str) -> Self {
        Pthread(Posix::new(name).unwrap().open().unwrap())
    }

    #[inline]
    fn add(&self, most: u64) -> bool {
        // SAFETY: the lock is held.
        self.locked(|sum| add_one(unsafe { &mut *sum }, most))
    }

    fn hold(&self, f: impl FnOnce()) {
        self.locked(|_| f());
    }
}

#[inline]
fn add_one(sum: &mut u64, most: u64) -> bool {
    let room = *sum < most;
    *sum += u64::from(room);
    room
}

/// A page of new shared memory `name`, filled before others find it.
fn fresh(name: &str, fill: impl FnOnce(*mut u8)) -> Mapping {
    let staged = Posix::new(name).unwrap().stage(4096).unwrap();
    fill(staged.mapping().as_ptr().as_ptr());
    staged.publish().unwrap();
    staged.into_mapping()
}

/// A name in shared memory that is removed in the end.
pub struct Name(pub String);

impl Name {
    pub fn new(what: &str) -> Name {
        Name(format!("pshared-bench-{}-{what}", std::process::id()))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // Fails where the subject has nothing in shared memory.
        let _ = Posix::new(&self.0).unwrap().remove();
    }
}
