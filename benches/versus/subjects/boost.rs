//! Boost.Interprocess, where its headers are installed when this is built.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::hint::black_box;

use super::{Lock, Subject};
use crate::place::Placed;

unsafe extern "C" {
    pub fn boost_mutex_size() -> usize;
    pub fn boost_mutex_make(at: *mut c_void);
    pub fn boost_mutex_lock(at: *mut c_void);
    pub fn boost_mutex_unlock(at: *mut c_void);
}

/// `interprocess_mutex`, which is a `pthread_mutex_t` here.
pub struct Mutex(Placed<MutexAndNumber>);

#[repr(C, align(16))]
struct MutexAndNumber {
    mutex: UnsafeCell<[u8; ROOM]>,
    number: UnsafeCell<u64>,
}

const ROOM: usize = size_of::<libc::pthread_mutex_t>();

impl Subject for Mutex {
    const NAME: &'static str = "Boost interprocess_mutex";

    fn create(name: &str) -> Self {
        // SAFETY: takes nothing.
        assert!(unsafe { boost_mutex_size() } <= ROOM);
        // SAFETY: room for the mutex, as just seen, aligned for everything; the number is 0.
        Mutex(unsafe {
            Placed::create(name, |at: *mut MutexAndNumber| {
                boost_mutex_make(UnsafeCell::raw_get(&raw const (*at).mutex).cast());
            })
        })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        Mutex(unsafe { Placed::open(name) })
    }
}

impl Lock for Mutex {
    const BYTES: Option<usize> = Some(ROOM);

    #[inline(always)]
    fn section<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
        let it = black_box(&*self.0);
        // SAFETY: made by who created it.
        unsafe { boost_mutex_lock(it.mutex.get().cast()) };
        // SAFETY: the lock is held.
        let result = f(unsafe { &mut *it.number.get() });
        // SAFETY: as above, and held.
        unsafe { boost_mutex_unlock(it.mutex.get().cast()) };
        result
    }
}
