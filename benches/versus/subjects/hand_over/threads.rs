//! What threads of one process have.

use std::sync::{self, Arc};

use super::{HandOver, Side, ThreeLocks};
use crate::subjects::{Reach, Subject, threads};

/// A lock in a cache line of its own.
#[repr(align(128))]
pub struct Line<L>(L);

macro_rules! of_threads {
    ($name:literal, $subject:ident($what:ty), $make:expr) => {
        pub struct $subject(Arc<$what>);

        impl Subject for $subject {
            const NAME: &'static str = $name;
            const REACH: Reach = Reach::Threads;

            fn create(name: &str) -> Self {
                $subject(threads::create(name, $make))
            }

            fn open(name: &str) -> Self {
                $subject(threads::open(name))
            }

            fn remove(name: &str) {
                threads::remove(name);
            }
        }
    };
}

macro_rules! three_locks {
    ($name:literal, $subject:ident, $lock:ident :: $mutex:ident, $guard:ident, $($unwrap:tt)*) => {
        of_threads!($name, $subject([Line<$lock::$mutex<()>>; 3]), [(); 3].map(|()| Line($lock::$mutex::new(()))));

        impl ThreeLocks for $subject {
            type Guard<'a> = $lock::$guard<'a, ()>;

            #[inline]
            fn lock(&self, which: usize) -> Self::Guard<'_> {
                self.0[which].0.lock() $($unwrap)*
            }
        }
    };
}

three_locks!("threads only: std::sync::Mutex", StdMutexes, sync::Mutex, MutexGuard, .unwrap());
three_locks!("threads only: parking_lot::Mutex", ParkingLotMutexes, parking_lot::Mutex, MutexGuard,);

/// A mutex around whose turn it is, and a condition variable.
pub struct Turns<M, C> {
    turn: M,
    changed: C,
}

of_threads!(
    "threads only: std::sync::Condvar",
    StdCondvar(Turns<sync::Mutex<u32>, sync::Condvar>),
    Turns { turn: sync::Mutex::new(Side::Ping as u32), changed: sync::Condvar::new() }
);

impl HandOver for StdCondvar {
    fn bytes() -> Option<usize> {
        Some(size_of::<sync::Condvar>())
    }

    fn give(&self, to: Side) {
        *self.0.turn.lock().unwrap() = to as u32;
        self.0.changed.notify_one();
    }

    fn wait(&self, side: Side) {
        drop(self.0.changed.wait_while(self.0.turn.lock().unwrap(), |turn| *turn != side as u32).unwrap());
    }
}

of_threads!(
    "threads only: parking_lot::Condvar",
    ParkingLotCondvar(Turns<parking_lot::Mutex<u32>, parking_lot::Condvar>),
    Turns { turn: parking_lot::Mutex::new(Side::Ping as u32), changed: parking_lot::Condvar::new() }
);

impl HandOver for ParkingLotCondvar {
    fn bytes() -> Option<usize> {
        Some(size_of::<parking_lot::Condvar>())
    }

    fn give(&self, to: Side) {
        *self.0.turn.lock() = to as u32;
        self.0.changed.notify_one();
    }

    fn wait(&self, side: Side) {
        self.0.changed.wait_while(&mut self.0.turn.lock(), |turn| *turn != side as u32);
    }
}
