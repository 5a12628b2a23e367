//! Two semaphores, one for each direction, and the floor: a cache line.

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::io;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use pshared::backend::Backend;
use pshared::{Shm, ShmSafe, generic};

use super::{HandOver, Side};
use crate::left_over::Kept;
use crate::place::{self, Placed};
use crate::subjects::Subject;

/// Nothing less tells another core anything: one word that says whose turn it is.
pub struct CacheLine(Placed<AtomicU32>);

impl Subject for CacheLine {
    const NAME: &'static str = "floor: a bare cache line";

    fn create(name: &str) -> Self {
        // SAFETY: zeroes are an atomic 0.
        CacheLine(unsafe { Placed::create(name, |_| {}) })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        CacheLine(unsafe { Placed::open(name) })
    }
}

impl HandOver for CacheLine {
    fn bytes() -> Option<usize> {
        Some(size_of::<AtomicU32>())
    }

    #[inline]
    fn give(&self, to: Side) {
        self.0.store(to as u32, Ordering::Release);
    }

    #[inline]
    fn wait(&self, side: Side) {
        while self.0.load(Ordering::Acquire) != side as u32 {
            spin_loop();
        }
    }
}

/// Ours, in a cell.
pub struct Semaphore<B: Backend>(Shm<[Aligned<B>; 2]>);

#[repr(C, align(128))]
#[derive(ShmSafe)]
pub struct Aligned<B: Backend>(generic::Semaphore<B>);

impl<B: Backend> Subject for Semaphore<B> {
    const NAME: &'static str = name!("Semaphore", B);

    fn create(name: &str) -> Self {
        let empty = || generic::Semaphore::counting(0).map(Aligned);
        Semaphore(Shm::create(name, || Ok([empty()?, empty()?])).unwrap())
    }

    fn open(name: &str) -> Self {
        Semaphore(Shm::open(name).unwrap())
    }

    fn remove(name: &str) {
        Shm::<[Aligned<B>; 2]>::remove(name).unwrap(); // with what the system holds for it
    }
}

impl<B: Backend> HandOver for Semaphore<B> {
    fn bytes() -> Option<usize> {
        Some(size_of::<generic::Semaphore<B>>())
    }

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

#[repr(C, align(128))]
struct AlignedSemT(UnsafeCell<libc::sem_t>);

impl Subject for SemT {
    const NAME: &'static str = "sem_t";

    fn create(name: &str) -> Self {
        // SAFETY: both are made for several processes, in memory that nobody else knows yet.
        SemT(unsafe {
            Placed::create(name, |at: *mut [AlignedSemT; 2]| {
                for at in [&raw const (*at)[0], &raw const (*at)[1]] {
                    assert_eq!(libc::sem_init(UnsafeCell::raw_get(&raw const (*at).0), 1, 0), 0);
                }
            })
        })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        SemT(unsafe { Placed::open(name) })
    }
}

impl HandOver for SemT {
    fn bytes() -> Option<usize> {
        Some(size_of::<libc::sem_t>())
    }

    #[inline]
    fn give(&self, to: Side) {
        // SAFETY: an initialised semaphore, made for several addresses.
        assert_eq!(unsafe { libc::sem_post(to.pick(&self.0).0.get()) }, 0);
    }

    #[inline]
    fn wait(&self, side: Side) {
        // SAFETY: as in give.
        assert_eq!(unsafe { libc::sem_wait(side.pick(&self.0).0.get()) }, 0);
    }
}

/// A System V set of two.
pub struct Semop(Placed<AtomicI32>);

impl Semop {
    fn add(&self, to: Side, number: libc::c_short) {
        let mut change = libc::sembuf { sem_num: to as libc::c_ushort, sem_op: number, sem_flg: 0 };
        // SAFETY: one operation, read by the kernel.
        let result = unsafe { libc::semop(self.0.load(Ordering::Relaxed), &raw mut change, 1) };
        assert_eq!(result, 0, "semop: {}", io::Error::last_os_error());
    }
}

impl Subject for Semop {
    const NAME: &'static str = "SysV semop";

    fn create(name: &str) -> Self {
        // SAFETY: makes a set or doesn't, nothing else; its semaphores are 0.
        let set = unsafe { libc::semget(libc::IPC_PRIVATE, 2, 0o600) };
        assert!(set >= 0, "semget: {}", io::Error::last_os_error());
        // SAFETY: an atomic number.
        Semop(unsafe { Placed::create(name, |at: *mut AtomicI32| at.write(AtomicI32::new(set))) })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        Semop(unsafe { Placed::open(name) })
    }

    fn note(&self) {
        Kept::Set(self.0.load(Ordering::Relaxed)).note().unwrap();
    }

    fn remove(name: &str) {
        Kept::Set(Self::open(name).0.load(Ordering::Relaxed)).remove();
        place::remove(name);
    }
}

impl HandOver for Semop {
    fn bytes() -> Option<usize> {
        None
    }

    #[inline]
    fn give(&self, to: Side) {
        self.add(to, 1);
    }

    #[inline]
    fn wait(&self, side: Side) {
        self.add(side, -1);
    }
}
