//! Boost.Interprocess, where its headers are installed when this is built.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::hint::black_box;

use super::ReadWrite;
use crate::place::Placed;
use crate::subjects::Subject;

unsafe extern "C" {
    fn boost_sharable_size() -> usize;
    fn boost_sharable_make(at: *mut c_void);
    fn boost_sharable_lock(at: *mut c_void);
    fn boost_sharable_unlock(at: *mut c_void);
    fn boost_sharable_lock_shared(at: *mut c_void);
    fn boost_sharable_unlock_shared(at: *mut c_void);
}

pub struct SharableMutex(Placed<MutexAndNumbers>);

const ROOM: usize = 512;

#[repr(C, align(16))]
struct MutexAndNumbers {
    mutex: UnsafeCell<[u8; ROOM]>,
    numbers: UnsafeCell<[u64; 2]>,
}

impl Subject for SharableMutex {
    const NAME: &'static str = "Boost interprocess_sharable_mutex";

    fn create(name: &str) -> Self {
        // SAFETY: takes nothing.
        assert!(unsafe { boost_sharable_size() } <= ROOM);
        // SAFETY: room for the mutex, as just seen, aligned for everything; the numbers are 0.
        SharableMutex(unsafe {
            Placed::create(name, |at: *mut MutexAndNumbers| {
                boost_sharable_make(UnsafeCell::raw_get(&raw const (*at).mutex).cast());
            })
        })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        SharableMutex(unsafe { Placed::open(name) })
    }
}

impl ReadWrite for SharableMutex {
    fn bytes() -> Option<usize> {
        // SAFETY: takes nothing.
        Some(unsafe { boost_sharable_size() })
    }

    #[inline(always)]
    fn reading<R>(&self, f: impl FnOnce(&[u64; 2]) -> R) -> R {
        let it = black_box(&*self.0);
        // SAFETY: made by who created it.
        unsafe { boost_sharable_lock_shared(it.mutex.get().cast()) };
        // SAFETY: locked for reading.
        let result = f(unsafe { &*it.numbers.get() });
        // SAFETY: as above, and held.
        unsafe { boost_sharable_unlock_shared(it.mutex.get().cast()) };
        result
    }

    #[inline(always)]
    fn writing<R>(&self, f: impl FnOnce(&mut [u64; 2]) -> R) -> R {
        let it = black_box(&*self.0);
        // SAFETY: made by who created it.
        unsafe { boost_sharable_lock(it.mutex.get().cast()) };
        // SAFETY: locked for writing.
        let result = f(unsafe { &mut *it.numbers.get() });
        // SAFETY: as above, and held.
        unsafe { boost_sharable_unlock(it.mutex.get().cast()) };
        result
    }
}
