//! A robust mutex of the program's own, beside the library's locks.

use std::mem::MaybeUninit;

/// A robust mutex of libc's, for this process alone.
pub struct Robust(Box<MaybeUninit<libc::pthread_mutex_t>>);

impl Robust {
    pub fn new() -> Robust {
        let mut mutex = Box::new(MaybeUninit::uninit());
        let mut attributes = MaybeUninit::uninit();
        let at = attributes.as_mut_ptr();
        // SAFETY: initialised first; the mutex stays in its box.
        let done = unsafe {
            [
                libc::pthread_mutexattr_init(at),
                libc::pthread_mutexattr_setrobust(at, libc::PTHREAD_MUTEX_ROBUST),
                libc::pthread_mutex_init(mutex.as_mut_ptr(), at),
                libc::pthread_mutexattr_destroy(at),
            ]
        };
        assert_eq!(done, [0; 4]);
        Robust(mutex)
    }

    /// Takes it and gives it back.
    pub fn use_up(&mut self) {
        let mutex = self.0.as_mut_ptr();
        // SAFETY: initialised in `new`, and used by this thread only.
        let done = unsafe { [libc::pthread_mutex_lock(mutex), libc::pthread_mutex_unlock(mutex)] };
        assert_eq!(done, [0; 2]);
    }
}
