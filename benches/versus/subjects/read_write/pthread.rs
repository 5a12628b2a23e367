//! `pthread_rwlock_t`, process-shared.

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::mem::MaybeUninit;

use super::ReadWrite;
use crate::place::Placed;
use crate::subjects::Subject;

pub struct RwLock(Placed<LockAndNumbers>);

#[repr(C)]
struct LockAndNumbers {
    lock: UnsafeCell<libc::pthread_rwlock_t>,
    numbers: UnsafeCell<[u64; 2]>,
}

impl RwLock {
    #[inline(always)]
    fn unlock(it: &LockAndNumbers) {
        // SAFETY: an initialised lock, held by this thread.
        assert_eq!(unsafe { libc::pthread_rwlock_unlock(it.lock.get()) }, 0);
    }
}

impl Subject for RwLock {
    const NAME: &'static str = "pthread_rwlock_t";

    fn create(name: &str) -> Self {
        // SAFETY: a lock for several processes, in memory that nobody else knows yet; the numbers are 0.
        RwLock(unsafe {
            Placed::create(name, |at: *mut LockAndNumbers| make(UnsafeCell::raw_get(&raw const (*at).lock)))
        })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        RwLock(unsafe { Placed::open(name) })
    }
}

/// # Safety
///
/// `at` is zeroed memory for it that nobody uses yet.
unsafe fn make(at: *mut libc::pthread_rwlock_t) {
    let mut attributes = MaybeUninit::uninit();
    let attributes = attributes.as_mut_ptr();
    // SAFETY: initialised by the first call, used by the others, destroyed by the last; the lock as promised.
    unsafe {
        assert_eq!(libc::pthread_rwlockattr_init(attributes), 0);
        assert_eq!(libc::pthread_rwlockattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED), 0);
        assert_eq!(libc::pthread_rwlock_init(at, attributes), 0);
        assert_eq!(libc::pthread_rwlockattr_destroy(attributes), 0);
    }
}

impl ReadWrite for RwLock {
    fn bytes() -> Option<usize> {
        Some(size_of::<libc::pthread_rwlock_t>())
    }

    #[inline(always)]
    fn reading<R>(&self, f: impl FnOnce(&[u64; 2]) -> R) -> R {
        let it = black_box(&*self.0);
        // SAFETY: an initialised lock, made for several addresses.
        assert_eq!(unsafe { libc::pthread_rwlock_rdlock(it.lock.get()) }, 0);
        // SAFETY: locked for reading.
        let result = f(unsafe { &*it.numbers.get() });
        RwLock::unlock(it);
        result
    }

    #[inline(always)]
    fn writing<R>(&self, f: impl FnOnce(&mut [u64; 2]) -> R) -> R {
        let it = black_box(&*self.0);
        // SAFETY: as in reading.
        assert_eq!(unsafe { libc::pthread_rwlock_wrlock(it.lock.get()) }, 0);
        // SAFETY: locked for writing.
        let result = f(unsafe { &mut *it.numbers.get() });
        RwLock::unlock(it);
        result
    }
}
