//! Semaphores of one that stand in for a lock.

use std::cell::UnsafeCell;
use std::hint::black_box;

use super::{Lock, Subject};
use crate::left_over::Kept;
use crate::place::Placed;

/// `sem_t`, process-shared.
pub struct PosixSemaphore(Placed<SemaphoreAndNumber>);

#[repr(C)]
struct SemaphoreAndNumber {
    semaphore: UnsafeCell<libc::sem_t>,
    number: UnsafeCell<u64>,
}

impl Subject for PosixSemaphore {
    const NAME: &'static str = "sem_t as a lock";

    fn create(name: &str) -> Self {
        // SAFETY: a semaphore for several processes, in memory that nobody else knows yet; the number is 0.
        PosixSemaphore(unsafe {
            Placed::create(name, |at: *mut SemaphoreAndNumber| {
                assert_eq!(libc::sem_init(UnsafeCell::raw_get(&raw const (*at).semaphore), 1, 1), 0);
            })
        })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        PosixSemaphore(unsafe { Placed::open(name) })
    }
}

impl Lock for PosixSemaphore {
    const BYTES: Option<usize> = Some(size_of::<libc::sem_t>());

    #[inline(always)]
    fn section<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
        let it = black_box(&*self.0);
        // SAFETY: an initialised semaphore, made for several addresses.
        assert_eq!(unsafe { libc::sem_wait(it.semaphore.get()) }, 0);
        // SAFETY: whoever has the one permit is alone.
        let result = f(unsafe { &mut *it.number.get() });
        // SAFETY: as above.
        assert_eq!(unsafe { libc::sem_post(it.semaphore.get()) }, 0);
        result
    }
}

/// A SysV semaphore, with `SEM_UNDO`.
pub struct SysvSemaphore(Placed<SetAndNumber>);

#[repr(C)]
struct SetAndNumber {
    set: libc::c_int,
    number: UnsafeCell<u64>,
}

impl Subject for SysvSemaphore {
    const NAME: &'static str = "semop, SEM_UNDO";

    fn create(name: &str) -> Self {
        // SAFETY: the set's id and a 0, before anybody else knows them.
        SysvSemaphore(unsafe {
            Placed::create(name, |at: *mut SetAndNumber| {
                let set = libc::semget(libc::IPC_PRIVATE, 1, 0o600);
                assert!(set >= 0, "{}", std::io::Error::last_os_error());
                assert_eq!(libc::semctl(set, 0, libc::SETVAL, 1), 0);
                (*at).set = set;
            })
        })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        SysvSemaphore(unsafe { Placed::open(name) })
    }

    fn note(&self) {
        Kept::Set(self.0.set).note().unwrap();
    }

    fn remove(name: &str) {
        Kept::Set(Self::open(name).0.set).remove();
        crate::place::remove(name);
    }
}

impl Lock for SysvSemaphore {
    const BYTES: Option<usize> = None;

    #[inline(always)]
    fn section<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
        let it = black_box(&*self.0);
        add(it.set, -1);
        // SAFETY: whoever has the one permit is alone.
        let result = f(unsafe { &mut *it.number.get() });
        add(it.set, 1);
        result
    }
}

#[inline(always)]
fn add(set: libc::c_int, number: i16) {
    let mut change = libc::sembuf { sem_num: 0, sem_op: number, sem_flg: libc::SEM_UNDO as i16 };
    // SAFETY: one operation, read by the kernel.
    assert_eq!(unsafe { libc::semop(set, &mut change, 1) }, 0, "{}", std::io::Error::last_os_error());
}
