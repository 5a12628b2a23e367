//! A mutex around whose turn it is, and a condition variable.

use std::cell::UnsafeCell;

use pshared::{Condvar, Mutex, Shm, ShmSafe};

use crate::common::hand_over::{HandOver, Side};
use crate::common::memory::Placed;
use crate::common::{Shared, Subject, pthread};

/// Ours, in a cell.
pub struct InCell(Shm<Turns>);

#[repr(C)]
#[derive(ShmSafe)]
struct Turns {
    turn: Mutex<u32>,
    changed: Condvar,
}

impl Subject for InCell {
    const NAME: &'static str = "pshared::Condvar in a cell";

    fn create(name: &str) -> Self {
        let turns = || Ok(Turns { turn: Mutex::new(Side::Ping as u32), changed: Condvar::new() });
        InCell(Shm::create(name, turns).unwrap())
    }
}

impl Shared for InCell {
    fn open(name: &str) -> Self {
        InCell(Shm::open(name).unwrap())
    }
}

impl HandOver for InCell {
    fn give(&self, to: Side) {
        *self.0.turn.lock().unwrap() = to as u32;
        self.0.changed.notify_one();
    }

    fn wait(&self, side: Side) {
        drop(self.0.changed.wait_while(self.0.turn.lock().unwrap(), |turn| *turn != side as u32).unwrap());
    }
}

/// `pthread_cond_t` and `pthread_mutex_t`, process-shared.
pub struct Pthread(Placed<PthreadTurns>);

#[repr(C)]
struct PthreadTurns {
    mutex: UnsafeCell<libc::pthread_mutex_t>,
    turn: UnsafeCell<u32>,
    changed: UnsafeCell<libc::pthread_cond_t>,
}

impl Pthread {
    /// Runs `f` on whose turn it is, with the mutex held; `f` is also given a way to wait.
    fn locked(&self, f: impl FnOnce(*mut u32, &dyn Fn())) {
        let it = self.0.get();
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

impl Subject for Pthread {
    const NAME: &'static str = "pthread_cond_t, process-shared";

    fn create(name: &str) -> Self {
        // SAFETY: both are made for several processes, in memory that nobody else knows yet; 0 is a turn.
        Pthread(unsafe {
            Placed::create(name, |at: *mut PthreadTurns| {
                pthread::make_mutex(UnsafeCell::raw_get(&raw const (*at).mutex), false);
                pthread::make_condvar(UnsafeCell::raw_get(&raw const (*at).changed));
            })
        })
    }
}

impl Shared for Pthread {
    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        Pthread(unsafe { Placed::open(name) })
    }
}

impl HandOver for Pthread {
    fn give(&self, to: Side) {
        // SAFETY: the mutex is held.
        self.locked(|turn, _| unsafe { *turn = to as u32 });
        // SAFETY: as in locked.
        assert_eq!(unsafe { libc::pthread_cond_signal(self.0.get().changed.get()) }, 0);
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
