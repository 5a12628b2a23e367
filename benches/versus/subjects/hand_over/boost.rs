//! Boost.Interprocess, where its headers are installed when this is built.

use std::cell::UnsafeCell;
use std::ffi::c_void;

use super::{HandOver, Side, ThreeLocks};
use crate::place::Placed;
use crate::subjects::Subject;
use crate::subjects::boost::{boost_mutex_lock, boost_mutex_make, boost_mutex_size, boost_mutex_unlock};

unsafe extern "C" {
    fn boost_semaphore_size() -> usize;
    fn boost_semaphore_make(at: *mut c_void);
    fn boost_semaphore_post(at: *mut c_void);
    fn boost_semaphore_wait(at: *mut c_void);
    fn boost_condition_size() -> usize;
    fn boost_condition_make(at: *mut c_void);
    fn boost_condition_notify(at: *mut c_void);
    fn boost_condition_wait(at: *mut c_void, mutex: *mut c_void);
}

/// Room for one of them.
#[repr(C, align(128))]
pub struct Room(UnsafeCell<[u8; 128]>);

impl Room {
    fn at(&self) -> *mut c_void {
        self.0.get().cast()
    }
}

/// Two semaphores, one for each direction.
pub struct Semaphore(Placed<[Room; 2]>);

impl Subject for Semaphore {
    const NAME: &'static str = "Boost interprocess_semaphore";

    fn create(name: &str) -> Self {
        // SAFETY: takes nothing.
        assert!(unsafe { boost_semaphore_size() } <= size_of::<Room>());
        // SAFETY: room for each, as just seen, aligned for everything; they are made for several processes.
        Semaphore(unsafe {
            Placed::create(name, |at: *mut [Room; 2]| {
                boost_semaphore_make((&raw mut (*at)[0]).cast());
                boost_semaphore_make((&raw mut (*at)[1]).cast());
            })
        })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        Semaphore(unsafe { Placed::open(name) })
    }
}

impl HandOver for Semaphore {
    fn bytes() -> Option<usize> {
        // SAFETY: takes nothing.
        Some(unsafe { boost_semaphore_size() })
    }

    #[inline]
    fn give(&self, to: Side) {
        // SAFETY: made by who created it.
        unsafe { boost_semaphore_post(to.pick(&self.0).at()) };
    }

    #[inline]
    fn wait(&self, side: Side) {
        // SAFETY: made by who created it.
        unsafe { boost_semaphore_wait(side.pick(&self.0).at()) };
    }
}

/// A mutex around whose turn it is, and a condition variable.
pub struct Condition(Placed<Turns>);

#[repr(C)]
struct Turns {
    mutex: Room,
    turn: UnsafeCell<u32>,
    changed: Room,
}

impl Condition {
    /// Runs `f` on whose turn it is, with the mutex held.
    fn locked(&self, f: impl FnOnce(*mut u32)) {
        // SAFETY: made by who created it.
        unsafe { boost_mutex_lock(self.0.mutex.at()) };
        f(self.0.turn.get());
        // SAFETY: as above, and held.
        unsafe { boost_mutex_unlock(self.0.mutex.at()) };
    }
}

impl Subject for Condition {
    const NAME: &'static str = "Boost interprocess_condition";

    fn create(name: &str) -> Self {
        // SAFETY: takes nothing.
        assert!(unsafe { boost_condition_size() } <= size_of::<Room>());
        // SAFETY: room for each, aligned for everything; they are made for several processes; 0 is a turn.
        Condition(unsafe {
            Placed::create(name, |at: *mut Turns| {
                boost_mutex_make((&raw mut (*at).mutex).cast());
                boost_condition_make((&raw mut (*at).changed).cast());
            })
        })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        Condition(unsafe { Placed::open(name) })
    }
}

impl HandOver for Condition {
    fn bytes() -> Option<usize> {
        // SAFETY: takes nothing.
        Some(unsafe { boost_condition_size() })
    }

    fn give(&self, to: Side) {
        // SAFETY: the mutex is held.
        self.locked(|turn| unsafe { *turn = to as u32 });
        // SAFETY: made by who created it.
        unsafe { boost_condition_notify(self.0.changed.at()) };
    }

    fn wait(&self, side: Side) {
        self.locked(|turn| {
            // SAFETY: the mutex is held whenever it is looked at.
            while unsafe { turn.read() } != side as u32 {
                // SAFETY: both made by who created them, and the mutex is held.
                unsafe { boost_condition_wait(self.0.changed.at(), self.0.mutex.at()) };
            }
        });
    }
}

/// Three mutexes.
pub struct Mutexes(Placed<[Room; 3]>);

impl Subject for Mutexes {
    const NAME: &'static str = "Boost interprocess_mutex";

    fn create(name: &str) -> Self {
        // SAFETY: takes nothing.
        assert!(unsafe { boost_mutex_size() } <= size_of::<Room>());
        // SAFETY: room for each, as just seen, aligned for everything; they are made for several processes.
        Mutexes(unsafe {
            Placed::create(name, |at: *mut [Room; 3]| {
                for which in 0..3 {
                    boost_mutex_make((&raw mut (*at)[which]).cast());
                }
            })
        })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        Mutexes(unsafe { Placed::open(name) })
    }
}

/// A mutex that is held.
pub struct Held<'a>(&'a Room);

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: made by who created it, and held.
        unsafe { boost_mutex_unlock(self.0.at()) };
    }
}

impl ThreeLocks for Mutexes {
    type Guard<'a> = Held<'a>;

    #[inline]
    fn lock(&self, which: usize) -> Self::Guard<'_> {
        let mutex = &self.0[which];
        // SAFETY: made by who created it.
        unsafe { boost_mutex_lock(mutex.at()) };
        Held(mutex)
    }
}
