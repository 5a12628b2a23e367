//! Making the process-shared things of libc, each call checked.

use std::mem::MaybeUninit;

/// # Safety
///
/// `at` is zeroed memory for it that nobody uses yet.
pub unsafe fn make_mutex(at: *mut libc::pthread_mutex_t, robust: bool) {
    let mut attributes = MaybeUninit::uninit();
    let attributes = attributes.as_mut_ptr();
    // SAFETY: initialised by the first call, used by the others, destroyed by the last; the mutex as promised.
    unsafe {
        assert_eq!(libc::pthread_mutexattr_init(attributes), 0);
        assert_eq!(libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED), 0);
        if robust {
            assert_eq!(libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST), 0);
        }
        assert_eq!(libc::pthread_mutex_init(at, attributes), 0);
        assert_eq!(libc::pthread_mutexattr_destroy(attributes), 0);
    }
}

/// # Safety
///
/// As [`make_mutex`].
pub unsafe fn make_condvar(at: *mut libc::pthread_cond_t) {
    let mut attributes = MaybeUninit::uninit();
    let attributes = attributes.as_mut_ptr();
    // SAFETY: as in make_mutex.
    unsafe {
        assert_eq!(libc::pthread_condattr_init(attributes), 0);
        assert_eq!(libc::pthread_condattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED), 0);
        assert_eq!(libc::pthread_cond_init(at, attributes), 0);
        assert_eq!(libc::pthread_condattr_destroy(attributes), 0);
    }
}

/// # Safety
///
/// As [`make_mutex`].
pub unsafe fn make_rwlock(at: *mut libc::pthread_rwlock_t) {
    let mut attributes = MaybeUninit::uninit();
    let attributes = attributes.as_mut_ptr();
    // SAFETY: as in make_mutex.
    unsafe {
        assert_eq!(libc::pthread_rwlockattr_init(attributes), 0);
        assert_eq!(libc::pthread_rwlockattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED), 0);
        assert_eq!(libc::pthread_rwlock_init(at, attributes), 0);
        assert_eq!(libc::pthread_rwlockattr_destroy(attributes), 0);
    }
}

/// # Safety
///
/// As [`make_mutex`].
pub unsafe fn make_semaphore(at: *mut libc::sem_t, value: u32) {
    // SAFETY: as promised.
    assert_eq!(unsafe { libc::sem_init(at, 1, value) }, 0);
}
