//! Two semaphores, one for each direction, in cache lines of their own.

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, Ordering};

use pshared::{Semaphore, Shm, ShmSafe};

use crate::common::hand_over::{HandOver, Side};
use crate::common::memory::Placed;
use crate::common::{Shared, Subject, pthread};

/// Nothing less tells another core anything: one word that says whose turn it is.
pub struct CacheLine(Placed<AtomicU32>);

impl Subject for CacheLine {
    const NAME: &'static str = "floor: a bare cache line";

    fn create(name: &str) -> Self {
        // SAFETY: zeroes are an atomic 0.
        CacheLine(unsafe { Placed::create(name, |_| {}) })
    }
}

impl Shared for CacheLine {
    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        CacheLine(unsafe { Placed::open(name) })
    }
}

impl HandOver for CacheLine {
    #[inline]
    fn give(&self, to: Side) {
        self.0.get().store(to as u32, Ordering::Release);
    }

    #[inline]
    fn wait(&self, side: Side) {
        while self.0.get().load(Ordering::Acquire) != side as u32 {
            spin_loop();
        }
    }
}

/// Ours, in a cell.
pub struct InCell(Shm<[Aligned; 2]>);

#[repr(C, align(64))]
#[derive(ShmSafe)]
struct Aligned(Semaphore);

impl Subject for InCell {
    const NAME: &'static str = "pshared::Semaphore in a cell";

    fn create(name: &str) -> Self {
        let two = || Ok([Aligned(Semaphore::counting(0)?), Aligned(Semaphore::counting(0)?)]);
        InCell(Shm::create(name, two).unwrap())
    }
}

impl Shared for InCell {
    fn open(name: &str) -> Self {
        InCell(Shm::open(name).unwrap())
    }
}

impl HandOver for InCell {
    #[inline]
    fn give(&self, to: Side) {
        to.pick(&self.0).0.post().unwrap();
    }

    #[inline]
    fn wait(&self, side: Side) {
        side.pick(&self.0).0.wait().unwrap();
    }
}

/// `sem_t`, process-shared.
pub struct SemT(Placed<[AlignedSemT; 2]>);

#[repr(C, align(64))]
struct AlignedSemT(UnsafeCell<libc::sem_t>);

impl Subject for SemT {
    const NAME: &'static str = "sem_t, process-shared";

    fn create(name: &str) -> Self {
        // SAFETY: both are made for several processes, in memory that nobody else knows yet.
        SemT(unsafe {
            Placed::create(name, |at: *mut [AlignedSemT; 2]| {
                for at in [&raw const (*at)[0], &raw const (*at)[1]] {
                    pthread::make_semaphore(UnsafeCell::raw_get(&raw const (*at).0), 0);
                }
            })
        })
    }
}

impl Shared for SemT {
    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        SemT(unsafe { Placed::open(name) })
    }
}

impl HandOver for SemT {
    #[inline]
    fn give(&self, to: Side) {
        // SAFETY: an initialised semaphore, made for several addresses.
        assert_eq!(unsafe { libc::sem_post(to.pick(self.0.get()).0.get()) }, 0);
    }

    #[inline]
    fn wait(&self, side: Side) {
        // SAFETY: as in give.
        assert_eq!(unsafe { libc::sem_wait(side.pick(self.0.get()).0.get()) }, 0);
    }
}
