//! What readers don't do without, and nothing else.

use std::cell::UnsafeCell;
use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU32, Ordering};

use super::ReadWrite;
use crate::place::Placed;
use crate::subjects::Subject;
use crate::team::SEATS;

/// A word for each reader, in a cache line of its own: a compare-exchange to take it, an exchange to give it back. A writer
/// takes all of them.
pub struct OwnLines {
    shared: Placed<Shared>,
    own: usize,
}

#[repr(C)]
struct Shared {
    lines: [Line; SEATS + 1],
    users: AtomicU32,
    numbers: UnsafeCell<[u64; 2]>,
}

#[repr(C, align(128))]
struct Line(AtomicU32);

impl Line {
    #[inline(always)]
    fn lock(&self) {
        while self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            spin_loop();
        }
    }

    #[inline(always)]
    fn unlock(&self) {
        self.0.swap(0, Ordering::Release);
    }
}

impl OwnLines {
    fn new(shared: Placed<Shared>) -> Self {
        let own = shared.users.fetch_add(1, Ordering::Relaxed) as usize;
        assert!(own < shared.lines.len(), "there is no line left");
        OwnLines { shared, own }
    }
}

impl Subject for OwnLines {
    const NAME: &'static str = "floor: CAS + exchange, a cache line each";

    fn create(name: &str) -> Self {
        // SAFETY: zeroes are atomics and numbers of 0.
        OwnLines::new(unsafe { Placed::create(name, |_| {}) })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        OwnLines::new(unsafe { Placed::open(name) })
    }
}

impl ReadWrite for OwnLines {
    fn bytes() -> Option<usize> {
        Some(size_of::<[Line; SEATS + 1]>())
    }

    #[inline(always)]
    fn reading<R>(&self, f: impl FnOnce(&[u64; 2]) -> R) -> R {
        let shared = black_box(&*self.shared);
        shared.lines[self.own].lock();
        // SAFETY: a writer would have to have this line.
        let result = f(unsafe { &*shared.numbers.get() });
        shared.lines[self.own].unlock();
        result
    }

    #[inline(always)]
    fn writing<R>(&self, f: impl FnOnce(&mut [u64; 2]) -> R) -> R {
        let shared = black_box(&*self.shared);
        shared.lines.iter().for_each(Line::lock);
        // SAFETY: readers would have to have a line, and writers all.
        let result = f(unsafe { &mut *shared.numbers.get() });
        shared.lines.iter().for_each(Line::unlock);
        result
    }
}
