//! What no lock does without, and nothing else.

use std::cell::UnsafeCell;
use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Lock, Subject};
use crate::place::Placed;

/// A compare-exchange to take it, an exchange to give it back; who doesn't get it tries again, and yields at times.
pub struct Exchange(Placed<(AtomicU32, UnsafeCell<u64>)>);

impl Subject for Exchange {
    const NAME: &'static str = "floor: CAS + exchange";

    fn create(name: &str) -> Self {
        // SAFETY: zeroes are an atomic 0 and a 0.
        Exchange(unsafe { Placed::create(name, |_| {}) })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        Exchange(unsafe { Placed::open(name) })
    }
}

impl Lock for Exchange {
    const BYTES: Option<usize> = Some(size_of::<AtomicU32>());

    #[inline(always)]
    fn section<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
        let (word, number) = black_box(&*self.0);
        if word.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            spin(word);
        }
        // SAFETY: whoever stored the 1 is alone until it stores a 0.
        let result = f(unsafe { &mut *number.get() });
        word.swap(0, Ordering::Release);
        result
    }
}

#[cold]
fn spin(word: &AtomicU32) {
    for looks in 1_u32.. {
        if word.load(Ordering::Relaxed) == 0
            && word.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
        {
            return;
        }
        if looks.is_multiple_of(100) {
            std::thread::yield_now();
        }
        spin_loop();
    }
}
