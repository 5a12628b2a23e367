//! A mutex around whose turn it is, and a condition variable.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

use pshared::backend::Backend;
use pshared::{Shm, ShmSafe, generic};

use super::{HandOver, Side};
use crate::place::Placed;
use crate::subjects::Subject;
use crate::subjects::pthread::make_mutex;

/// Ours, in a cell.
pub struct Condvar<B: Backend>(Shm<Turns<B>>);

#[repr(C)]
#[derive(ShmSafe)]
pub struct Turns<B: Backend> {
    turn: generic::Mutex<u32, B>,
    changed: generic::Condvar<B>,
}

impl<B: Backend> Subject for Condvar<B> {
    const NAME: &'static str = name!("Condvar", B);

    fn create(name: &str) -> Self {
        let turn = || generic::Mutex::new(Side::Ping as u32);
        Condvar(Shm::create(name, || Ok(Turns { turn: turn(), changed: generic::Condvar::new() })).unwrap())
    }

    fn open(name: &str) -> Self {
        Condvar(Shm::open(name).unwrap())
    }

    fn remove(name: &str) {
        Shm::<Turns<B>>::remove(name).unwrap(); // with what the system holds for it
    }
}

impl<B: Backend> HandOver for Condvar<B> {
    fn bytes() -> Option<usize> {
        Some(size_of::<generic::Condvar<B>>())
    }

    fn give(&self, to: Side) {
        *self.0.turn.lock().unwrap() = to as u32;
        self.0.changed.notify_one();
    }

    fn wait(&self, side: Side) {
        drop(self.0.changed.wait_while(self.0.turn.lock().unwrap(), |turn| *turn != side as u32).unwrap());
    }
}

/// `pthread_cond_t` and `pthread_mutex_t`, process-shared.
pub struct PthreadCond(Placed<PthreadTurns>);

#[repr(C)]
struct PthreadTurns {
    mutex: UnsafeCell<libc::pthread_mutex_t>,
    turn: UnsafeCell<u32>,
    changed: UnsafeCell<libc::pthread_cond_t>,
}

impl PthreadCond {
    /// Runs `f` on whose turn it is, with the mutex held; `f` is also given a way to wait.
    fn locked(&self, f: impl FnOnce(*mut u32, &dyn Fn())) {
        let it = &*self.0;
        // SAFETY: an initialised mutex, made for several addresses.
        assert_eq!(unsafe { libc::pthread_mutex_lock(it.mutex.get()) }, 0);
        f(it.turn.get(), &|| {
            // SAFETY: both initialised, made for several addresses, and the mutex is held.
            assert_eq!(unsafe { libc::pthread_cond_wait(it.changed.get(), it.mutex.get()) }, 0);
        });
        // SAFETY: held.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(it.mutex.get()) }, 0);
    }
}

impl Subject for PthreadCond {
    const NAME: &'static str = "pthread_cond_t";

    fn create(name: &str) -> Self {
        // SAFETY: both are made for several processes, in memory that nobody else knows yet; 0 is a turn.
        PthreadCond(unsafe {
            Placed::create(name, |at: *mut PthreadTurns| {
                make_mutex(UnsafeCell::raw_get(&raw const (*at).mutex), false, false);
                make_condvar(UnsafeCell::raw_get(&raw const (*at).changed));
            })
        })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        PthreadCond(unsafe { Placed::open(name) })
    }
}

/// # Safety
///
/// `at` is zeroed memory for it that nobody uses yet.
unsafe fn make_condvar(at: *mut libc::pthread_cond_t) {
    let mut attributes = MaybeUninit::uninit();
    let attributes = attributes.as_mut_ptr();
    // SAFETY: initialised by the first call, used by the others, destroyed by the last; the condvar as promised.
    unsafe {
        assert_eq!(libc::pthread_condattr_init(attributes), 0);
        assert_eq!(libc::pthread_condattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED), 0);
        assert_eq!(libc::pthread_cond_init(at, attributes), 0);
        assert_eq!(libc::pthread_condattr_destroy(attributes), 0);
    }
}

impl HandOver for PthreadCond {
    fn bytes() -> Option<usize> {
        Some(size_of::<libc::pthread_cond_t>())
    }

    fn give(&self, to: Side) {
        // SAFETY: the mutex is held.
        self.locked(|turn, _| unsafe { *turn = to as u32 });
        // SAFETY: as in locked.
        assert_eq!(unsafe { libc::pthread_cond_signal(self.0.changed.get()) }, 0);
    }

    fn wait(&self, side: Side) {
        self.locked(|turn, wait| {
            // SAFETY: the mutex is held whenever it is looked at.
            while unsafe { turn.read() } != side as u32 {
                wait();
            }
        });
    }
}
