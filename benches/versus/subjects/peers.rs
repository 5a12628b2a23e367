//! Other crates that have something for several processes.

extern crate iceoryx2_bb_loggers; // a logger that says nothing, which iceoryx2 doesn't link without

use std::cell::UnsafeCell;
use std::hint::black_box;

use iceoryx2_bb_posix::mutex::{
    Handle, MutexBuilder as IceoryxBuilder, MutexHandle, MutexLockError, MutexThreadTerminationBehavior,
};

use posix_sync::mutex::robustness_markers::Robust;
use posix_sync::mutex::{BorrowedMutex, MutexBuilder as PosixSyncBuilder, MutexSharing, RawMutexAlloc};
use raw_sync::locks::{LockImpl, LockInit};

use super::{Lock, Subject};
use crate::place::Placed;

/// iceoryx2-bb-posix's `Mutex`, of the kind that says that its owner died.
pub struct Iceoryx(Placed<MutexHandle<u64>>);

impl Subject for Iceoryx {
    const NAME: &'static str = "iceoryx2-bb-posix Mutex, ReleaseWhenLocked";

    fn create(name: &str) -> Self {
        // SAFETY: a handle, initialised where it stays for several processes.
        Iceoryx(unsafe {
            Placed::create(name, |at: *mut MutexHandle<u64>| {
                at.write(MutexHandle::new());
                IceoryxBuilder::new()
                    .is_interprocess_capable(true)
                    .thread_termination_behavior(MutexThreadTerminationBehavior::ReleaseWhenLocked)
                    .create(0, &*at)
                    .unwrap();
            })
        })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        Iceoryx(unsafe { Placed::open(name) })
    }
}

impl Lock for Iceoryx {
    const BYTES: Option<usize> = Some(size_of::<MutexHandle<()>>());

    #[inline(always)]
    fn section<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
        // SAFETY: initialised by who created it.
        let mutex = unsafe { iceoryx2_bb_posix::mutex::Mutex::from_handle(black_box(&*self.0)) };
        let mut guard = match mutex.lock() {
            Ok(guard) => guard,
            Err(MutexLockError::LockAcquiredButOwnerDied(guard)) => {
                mutex.make_consistent();
                guard
            }
            Err(error) => panic!("{error:?}"),
        };
        f(&mut guard)
    }
}

/// posix-sync's `BorrowedMutex`, robust.
pub struct PosixSync(Placed<RawAndNumber>);

#[repr(C)]
struct RawAndNumber {
    mutex: UnsafeCell<libc::pthread_mutex_t>,
    number: UnsafeCell<u64>,
}

impl Subject for PosixSync {
    const NAME: &'static str = "posix-sync BorrowedMutex, robust";

    fn create(name: &str) -> Self {
        // SAFETY: room for a mutex that nobody else knows yet, which stays where it is; the number is 0.
        PosixSync(unsafe {
            Placed::create(name, |at: *mut RawAndNumber| {
                let raw = UnsafeCell::raw_get(&raw const (*at).mutex).cast::<RawMutexAlloc>();
                PosixSyncBuilder::<Robust>::new().with_sharing(MutexSharing::Shared).build_borrowed(raw, &());
            })
        })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        PosixSync(unsafe { Placed::open(name) })
    }
}

impl Lock for PosixSync {
    const BYTES: Option<usize> = Some(RawMutexAlloc::SIZE);

    #[inline(always)]
    fn section<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
        let it = black_box(&*self.0);
        // SAFETY: initialised as a robust one by who created it.
        let mutex = unsafe { BorrowedMutex::<Robust>::from_raw(it.mutex.get().cast(), it) };
        // SAFETY: only pthread's functions change it.
        let _guard = unsafe { mutex.lock() }.unwrap().make_consistent().unwrap();
        // SAFETY: the lock is held.
        f(unsafe { &mut *it.number.get() })
    }
}

/// raw_sync's `Mutex`.
pub struct RawSync {
    lock: Box<dyn LockImpl>,
    _memory: Placed<RawAndNumber>,
}

impl RawSync {
    fn parts(memory: &Placed<RawAndNumber>) -> (*mut u8, *mut u8) {
        (memory.mutex.get().cast(), memory.number.get().cast())
    }
}

impl Subject for RawSync {
    const NAME: &'static str = "raw_sync Mutex";

    fn create(name: &str) -> Self {
        // SAFETY: aligned room for a mutex, which it is made in here, before others are told of it.
        let memory = unsafe { Placed::create(name, |_| {}) };
        let (mutex, number) = Self::parts(&memory);
        // SAFETY: as above; both live as long as the lock.
        let (lock, _) = unsafe { raw_sync::locks::Mutex::new(mutex, number) }.unwrap();
        RawSync { lock, _memory: memory }
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        let memory = unsafe { Placed::open(name) };
        let (mutex, number) = Self::parts(&memory);
        // SAFETY: initialised by who created it; both live as long as the lock.
        let (lock, _) = unsafe { raw_sync::locks::Mutex::from_existing(mutex, number) }.unwrap();
        RawSync { lock, _memory: memory }
    }
}

impl Lock for RawSync {
    const BYTES: Option<usize> = Some(size_of::<libc::pthread_mutex_t>());

    #[inline(always)]
    fn section<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
        let guard = black_box(&*self.lock).lock().unwrap();
        // SAFETY: the number's address, as given above; the lock is held.
        f(unsafe { &mut *guard.cast::<u64>() })
    }
}

/// rustix-futex-sync's `Mutex` for shared memory.
pub struct RustixFutexSync(Placed<rustix_futex_sync::shm::Mutex<u64>>);

impl Subject for RustixFutexSync {
    const NAME: &'static str = "rustix-futex-sync shm::Mutex";

    fn create(name: &str) -> Self {
        // SAFETY: a mutex that keeps no address.
        RustixFutexSync(unsafe {
            Placed::create(name, |at: *mut rustix_futex_sync::shm::Mutex<u64>| {
                at.write(rustix_futex_sync::shm::Mutex::new(0));
            })
        })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        RustixFutexSync(unsafe { Placed::open(name) })
    }
}

impl Lock for RustixFutexSync {
    const BYTES: Option<usize> = Some(size_of::<rustix_futex_sync::shm::Mutex<()>>());

    #[inline(always)]
    fn section<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
        f(&mut black_box(&*self.0).lock())
    }
}
