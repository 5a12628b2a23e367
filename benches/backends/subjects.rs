//! The backends' primitives, and what they are built on, behind one small trait.

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::mem::MaybeUninit;

use pshared::backend::Backend;
use pshared::{Shm, generic};

use crate::common::memory::Placed;
use crate::common::{Subject, pthread};

/// Something that is done and undone.
pub trait Round: Subject {
    fn round(&self);
}

macro_rules! names {
    ($what:literal, $backend:ty) => {
        match <$backend>::NAME.as_bytes() {
            b"futex" => concat!("pshared::futex::", $what),
            b"pthread" => concat!("pshared::pthread::", $what),
            b"pthread-pi" => concat!("pshared::pthread::Pi", $what),
            b"sysv" => concat!("pshared::sysv::", $what),
            b"posix" => concat!("pshared::posix::", $what),
            _ => concat!("pshared, another ", $what),
        }
    };
}

/// Ours, in a cell.
pub struct Mutex<B: Backend>(Shm<generic::Mutex<u64, B>>, String);

impl<B: Backend> Subject for Mutex<B> {
    const NAME: &'static str = names!("Mutex", B);

    fn create(name: &str) -> Self {
        Mutex(Shm::create(name, || Ok(generic::Mutex::new(0))).unwrap(), name.into())
    }
}

impl<B: Backend> Drop for Mutex<B> {
    fn drop(&mut self) {
        // With what the system holds for it.
        Shm::<generic::Mutex<u64, B>>::remove(&self.1).unwrap();
    }
}

impl<B: Backend> Round for Mutex<B> {
    #[inline]
    fn round(&self) {
        drop(black_box(&*self.0).lock().unwrap());
    }
}

/// Ours, in a cell.
pub struct Semaphore<B: Backend>(Shm<generic::Semaphore<B>>, String);

impl<B: Backend> Subject for Semaphore<B> {
    const NAME: &'static str = names!("Semaphore", B);

    fn create(name: &str) -> Self {
        Semaphore(Shm::create(name, || generic::Semaphore::counting(0)).unwrap(), name.into())
    }
}

impl<B: Backend> Drop for Semaphore<B> {
    fn drop(&mut self) {
        // With what the system holds for it.
        Shm::<generic::Semaphore<B>>::remove(&self.1).unwrap();
    }
}

impl<B: Backend> Round for Semaphore<B> {
    #[inline]
    fn round(&self) {
        let it = black_box(&*self.0);
        it.post().unwrap();
        it.wait().unwrap();
    }
}

/// `pthread_mutex_t`, process-shared and robust; with priority inheritance where `KIND` is `i`.
pub struct RawMutex<const KIND: char>(Placed<UnsafeCell<libc::pthread_mutex_t>>);

impl<const KIND: char> Subject for RawMutex<KIND> {
    const NAME: &'static str = if KIND == 'i' { "pthread_mutex_t, robust, PI" } else { "pthread_mutex_t, robust" };

    fn create(name: &str) -> Self {
        // SAFETY: a mutex for several processes, in memory that nobody else knows yet.
        RawMutex(unsafe {
            Placed::create(name, |at: *mut UnsafeCell<libc::pthread_mutex_t>| {
                let at = UnsafeCell::raw_get(at);
                if KIND == 'i' { make_inheriting(at) } else { pthread::make_mutex(at, true) }
            })
        })
    }
}

/// # Safety
///
/// As [`pthread::make_mutex`].
unsafe fn make_inheriting(at: *mut libc::pthread_mutex_t) {
    let mut attributes = MaybeUninit::uninit();
    let attributes = attributes.as_mut_ptr();
    // SAFETY: initialised by the first call, used by the others, destroyed by the last; the mutex as promised.
    unsafe {
        assert_eq!(libc::pthread_mutexattr_init(attributes), 0);
        assert_eq!(libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED), 0);
        assert_eq!(libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST), 0);
        assert_eq!(libc::pthread_mutexattr_setprotocol(attributes, libc::PTHREAD_PRIO_INHERIT), 0);
        assert_eq!(libc::pthread_mutex_init(at, attributes), 0);
        assert_eq!(libc::pthread_mutexattr_destroy(attributes), 0);
    }
}

impl<const KIND: char> Round for RawMutex<KIND> {
    #[inline]
    fn round(&self) {
        let it = black_box(self.0.get());
        // SAFETY: an initialised mutex, made for several addresses.
        assert_eq!(unsafe { libc::pthread_mutex_lock(it.get()) }, 0);
        // SAFETY: as above, and held.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(it.get()) }, 0);
    }
}

/// `sem_t`, process-shared.
pub struct RawSemaphore(Placed<UnsafeCell<libc::sem_t>>);

impl Subject for RawSemaphore {
    const NAME: &'static str = "sem_t";

    fn create(name: &str) -> Self {
        // SAFETY: a semaphore for several processes, in memory that nobody else knows yet.
        RawSemaphore(unsafe {
            Placed::create(name, |at: *mut UnsafeCell<libc::sem_t>| pthread::make_semaphore(UnsafeCell::raw_get(at), 0))
        })
    }
}

impl Round for RawSemaphore {
    #[inline]
    fn round(&self) {
        let it = black_box(self.0.get());
        // SAFETY: an initialised semaphore, made for several addresses.
        assert_eq!(unsafe { libc::sem_post(it.get()) }, 0);
        // SAFETY: as above.
        assert_eq!(unsafe { libc::sem_wait(it.get()) }, 0);
    }
}

/// A semaphore of a set.
pub struct RawSet(libc::c_int);

impl RawSet {
    fn add(&self, number: i16) {
        let mut change = libc::sembuf { sem_num: 0, sem_op: number, sem_flg: 0 };
        // SAFETY: one operation, read by the kernel.
        assert_eq!(unsafe { libc::semop(self.0, &mut change, 1) }, 0);
    }
}

impl Subject for RawSet {
    const NAME: &'static str = "semop";

    fn create(_: &str) -> Self {
        // SAFETY: makes a new set, nothing else.
        let set = unsafe { libc::semget(libc::IPC_PRIVATE, 1, 0o600) };
        assert!(set >= 0, "{}", std::io::Error::last_os_error());
        RawSet(set)
    }
}

impl Round for RawSet {
    #[inline]
    fn round(&self) {
        self.add(1);
        self.add(-1);
    }
}

impl Drop for RawSet {
    fn drop(&mut self) {
        // SAFETY: it is this one's.
        unsafe { libc::semctl(self.0, 0, libc::IPC_RMID) };
    }
}
