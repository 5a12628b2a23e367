//! What libc has for several processes, each call checked.

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::mem::MaybeUninit;

use super::{Lock, Subject};
use crate::place::Placed;

/// `pthread_mutex_t`: `p`lain, `r`obust, or robust with priority `i`nheritance.
pub struct Mutex<const KIND: char>(Placed<MutexAndNumber>);

#[repr(C)]
struct MutexAndNumber {
    mutex: UnsafeCell<libc::pthread_mutex_t>,
    number: UnsafeCell<u64>,
}

impl<const KIND: char> Subject for Mutex<KIND> {
    const NAME: &'static str = match KIND {
        'p' => "pthread_mutex_t",
        'r' => "pthread_mutex_t, robust",
        _ => "pthread_mutex_t, robust, PI",
    };

    fn create(name: &str) -> Self {
        // SAFETY: a mutex for several processes, in memory that nobody else knows yet; the number is 0.
        Mutex(unsafe {
            Placed::create(name, |at: *mut MutexAndNumber| {
                make_mutex(UnsafeCell::raw_get(&raw const (*at).mutex), KIND != 'p', KIND == 'i');
            })
        })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        Mutex(unsafe { Placed::open(name) })
    }
}

impl<const KIND: char> Lock for Mutex<KIND> {
    const BYTES: Option<usize> = Some(size_of::<libc::pthread_mutex_t>());

    #[inline(always)]
    fn section<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
        let it = black_box(&*self.0);
        // SAFETY: an initialised mutex, made for several addresses.
        let locked = unsafe { libc::pthread_mutex_lock(it.mutex.get()) };
        if locked != 0 {
            recover(it, locked);
        }
        // SAFETY: the lock is held.
        let result = f(unsafe { &mut *it.number.get() });
        // SAFETY: an initialised mutex, held by this thread.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(it.mutex.get()) }, 0);
        result
    }
}

#[cold]
fn recover(it: &MutexAndNumber, locked: libc::c_int) {
    assert_eq!(locked, libc::EOWNERDEAD);
    // SAFETY: a robust mutex that this thread has just taken over.
    assert_eq!(unsafe { libc::pthread_mutex_consistent(it.mutex.get()) }, 0);
}

/// # Safety
///
/// `at` is zeroed memory for it that nobody uses yet.
pub unsafe fn make_mutex(at: *mut libc::pthread_mutex_t, is_robust: bool, inherits: bool) {
    let mut attributes = MaybeUninit::uninit();
    let attributes = attributes.as_mut_ptr();
    // SAFETY: initialised by the first call, used by the others, destroyed by the last; the mutex as promised.
    unsafe {
        assert_eq!(libc::pthread_mutexattr_init(attributes), 0);
        assert_eq!(libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED), 0);
        if is_robust {
            assert_eq!(libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST), 0);
        }
        if inherits {
            assert_eq!(libc::pthread_mutexattr_setprotocol(attributes, libc::PTHREAD_PRIO_INHERIT), 0);
        }
        assert_eq!(libc::pthread_mutex_init(at, attributes), 0);
        assert_eq!(libc::pthread_mutexattr_destroy(attributes), 0);
    }
}
