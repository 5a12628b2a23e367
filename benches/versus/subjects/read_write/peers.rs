//! What other crates have.

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::ptr::from_ref;

use posix_sync::rwlock::{BorrowedRwLock, RawRwLockAlloc, RwLockBuilder, RwLockSharing};
use raw_sync::locks::{LockImpl, LockInit};
use rustix_futex_sync::shm;

use super::ReadWrite;
use crate::place::Placed;
use crate::subjects::Subject;

/// A futex, of the kind for shared memory.
pub struct Rustix(Placed<shm::RwLock<[u64; 2]>>);

impl Subject for Rustix {
    const NAME: &'static str = "rustix-futex-sync shm::RwLock";

    fn create(name: &str) -> Self {
        // SAFETY: it is made for several processes.
        Rustix(unsafe { Placed::create(name, |at: *mut shm::RwLock<[u64; 2]>| at.write(shm::RwLock::new([0; 2]))) })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        Rustix(unsafe { Placed::open(name) })
    }
}

impl ReadWrite for Rustix {
    fn bytes() -> Option<usize> {
        Some(size_of::<shm::RwLock<()>>())
    }

    #[inline(always)]
    fn reading<R>(&self, f: impl FnOnce(&[u64; 2]) -> R) -> R {
        f(&black_box(&*self.0).read())
    }

    #[inline(always)]
    fn writing<R>(&self, f: impl FnOnce(&mut [u64; 2]) -> R) -> R {
        f(&mut black_box(&*self.0).write())
    }
}

/// Room for a `pthread_rwlock_t`, which both of the others wrap, and the numbers.
#[repr(C)]
struct RoomAndNumbers {
    lock: UnsafeCell<libc::pthread_rwlock_t>,
    numbers: UnsafeCell<[u64; 2]>,
}

impl RoomAndNumbers {
    /// In new shared memory, with a lock made by `make`.
    fn create<L>(name: &str, make: impl FnOnce(*mut u8) -> L) -> (Placed<Self>, L) {
        let mut lock = None;
        // SAFETY: the lock's maker and its users are the same crate's, and made for several processes; the numbers are 0.
        let place = unsafe { Placed::create(name, |at: *mut Self| lock = Some(make(at.cast()))) };
        (place, lock.expect("it was made"))
    }

    /// Where the lock is.
    fn lock(&self) -> *mut u8 {
        from_ref(self).cast_mut().cast()
    }
}

/// A wrapper of `pthread_rwlock_t`.
pub struct RawSync {
    lock: Box<dyn LockImpl>,
    place: Placed<RoomAndNumbers>,
}

impl Subject for RawSync {
    const NAME: &'static str = "raw_sync RwLock";

    fn create(name: &str) -> Self {
        // SAFETY: room for the lock, zeroed; the data is looked at elsewhere. What is said of it stays mapped, see place.
        let make = |at| unsafe { raw_sync::locks::RwLock::new(at, at) }.unwrap().0;
        let (place, lock) = RoomAndNumbers::create(name, make);
        RawSync { lock, place }
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        let place = unsafe { Placed::<RoomAndNumbers>::open(name) };
        // SAFETY: there is one, mapped as long as `place` lives.
        let lock = unsafe { raw_sync::locks::RwLock::from_existing(place.lock(), place.lock()) }.unwrap().0;
        RawSync { lock, place }
    }
}

impl ReadWrite for RawSync {
    fn bytes() -> Option<usize> {
        Some(size_of::<libc::pthread_rwlock_t>())
    }

    #[inline(always)]
    fn reading<R>(&self, f: impl FnOnce(&[u64; 2]) -> R) -> R {
        let _guard = black_box(&*self.lock).rlock().unwrap();
        // SAFETY: locked for reading.
        f(unsafe { &*self.place.numbers.get() })
    }

    #[inline(always)]
    fn writing<R>(&self, f: impl FnOnce(&mut [u64; 2]) -> R) -> R {
        let _guard = black_box(&*self.lock).lock().unwrap();
        // SAFETY: locked for writing.
        f(unsafe { &mut *self.place.numbers.get() })
    }
}

/// A wrapper of `pthread_rwlock_t`.
pub struct PosixSync(Placed<RoomAndNumbers>);

impl PosixSync {
    #[inline(always)]
    fn lock(&self) -> BorrowedRwLock<'_> {
        // SAFETY: `create` made one there.
        unsafe { BorrowedRwLock::from_raw(black_box(self.0.lock()).cast::<RawRwLockAlloc>(), &self.0) }
    }
}

impl Subject for PosixSync {
    const NAME: &'static str = "posix-sync BorrowedRwLock";

    fn create(name: &str) -> Self {
        let (place, ()) = RoomAndNumbers::create(name, |at| {
            // SAFETY: aligned room that nobody uses yet.
            unsafe { RwLockBuilder::new().with_sharing(RwLockSharing::Shared).build_borrowed(at.cast(), &()) };
        });
        PosixSync(place)
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        PosixSync(unsafe { Placed::open(name) })
    }
}

impl ReadWrite for PosixSync {
    fn bytes() -> Option<usize> {
        Some(size_of::<libc::pthread_rwlock_t>())
    }

    #[inline(always)]
    fn reading<R>(&self, f: impl FnOnce(&[u64; 2]) -> R) -> R {
        let lock = self.lock();
        // SAFETY: it isn't destroyed.
        let _guard = unsafe { lock.read() }.unwrap();
        // SAFETY: locked for reading.
        f(unsafe { &*self.0.numbers.get() })
    }

    #[inline(always)]
    fn writing<R>(&self, f: impl FnOnce(&mut [u64; 2]) -> R) -> R {
        let lock = self.lock();
        // SAFETY: it isn't destroyed.
        let _guard = unsafe { lock.write() }.unwrap();
        // SAFETY: locked for writing.
        f(unsafe { &mut *self.0.numbers.get() })
    }
}
