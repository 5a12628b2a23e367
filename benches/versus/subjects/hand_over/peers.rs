//! What other crates have.

use std::cell::UnsafeCell;
use std::ptr::from_ref;

use posix_sync::condvar::{BorrowedCondvar, CondvarBuilder, CondvarClock, CondvarSharing, RawCondvarAlloc};
use posix_sync::mutex::robustness_markers::Standard;
use posix_sync::mutex::{BorrowedMutex, MutexBuilder, MutexSharing, RawMutexAlloc};
use raw_sync::Timeout;
use raw_sync::events::{Event, EventImpl, EventInit, EventState};
use rustix_futex_sync::shm;

use super::{HandOver, Side, ThreeLocks};
use crate::place::Placed;
use crate::subjects::Subject;

/// A mutex around whose turn it is, and a condition variable, of the kinds for shared memory.
pub struct Rustix(Placed<RustixTurns>);

struct RustixTurns {
    turn: shm::Mutex<u32>,
    changed: shm::Condvar,
}

impl Subject for Rustix {
    const NAME: &'static str = "rustix-futex-sync shm::Condvar";

    fn create(name: &str) -> Self {
        let turns = RustixTurns { turn: shm::Mutex::new(Side::Ping as u32), changed: shm::Condvar::new() };
        // SAFETY: both are made for several processes.
        Rustix(unsafe { Placed::create(name, |at: *mut RustixTurns| at.write(turns)) })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        Rustix(unsafe { Placed::open(name) })
    }
}

impl HandOver for Rustix {
    fn bytes() -> Option<usize> {
        Some(size_of::<shm::Condvar>())
    }

    fn give(&self, to: Side) {
        *self.0.turn.lock() = to as u32;
        self.0.changed.notify_one();
    }

    fn wait(&self, side: Side) {
        drop(self.0.changed.wait_while(self.0.turn.lock(), |turn| *turn != side as u32));
    }
}

/// Three mutexes of the kind for shared memory.
pub struct RustixMutexes(Placed<[RustixLine; 3]>);

#[repr(align(128))]
struct RustixLine(shm::Mutex<()>);

impl Subject for RustixMutexes {
    const NAME: &'static str = "rustix-futex-sync shm::Mutex";

    fn create(name: &str) -> Self {
        let three = [(); 3].map(|()| RustixLine(shm::Mutex::new(())));
        // SAFETY: they are made for several processes.
        RustixMutexes(unsafe { Placed::create(name, |at: *mut [RustixLine; 3]| at.write(three)) })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        RustixMutexes(unsafe { Placed::open(name) })
    }
}

impl ThreeLocks for RustixMutexes {
    type Guard<'a> = shm::MutexGuard<'a, ()>;

    #[inline]
    fn lock(&self, which: usize) -> Self::Guard<'_> {
        self.0[which].0.lock()
    }
}

/// Two events that reset themselves, which are a `pthread_cond_t` and a `pthread_mutex_t` each.
pub struct RawSync {
    events: [Box<dyn EventImpl>; 2],
    _place: Placed<[EventRoom; 2]>,
}

#[repr(C, align(128))]
struct EventRoom(UnsafeCell<[u8; 256]>);

impl RawSync {
    fn events(at: *mut [EventRoom; 2], get: impl Fn(*mut u8) -> Box<dyn EventImpl>) -> [Box<dyn EventImpl>; 2] {
        [0, 1].map(|event| get(at.cast::<EventRoom>().wrapping_add(event).cast()))
    }
}

impl Subject for RawSync {
    const NAME: &'static str = "raw_sync Event";

    fn create(name: &str) -> Self {
        let mut events = None;
        let make = |at| {
            // SAFETY: aligned room, and enough, as is seen below; it stays mapped as long as the event lives.
            let (event, size) = unsafe { Event::new(at, true) }.unwrap();
            assert!(size <= size_of::<EventRoom>());
            event
        };
        // SAFETY: they are made for several processes.
        let place = unsafe { Placed::create(name, |at| events = Some(RawSync::events(at, make))) };
        RawSync { events: events.expect("they were made"), _place: place }
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        let place = unsafe { Placed::<[EventRoom; 2]>::open(name) };
        // SAFETY: they were made there, and it stays mapped as long as these live.
        let find = |at| unsafe { Event::from_existing(at) }.unwrap().0;
        RawSync { events: RawSync::events(from_ref(&*place).cast_mut(), find), _place: place }
    }
}

impl HandOver for RawSync {
    fn bytes() -> Option<usize> {
        Some(Event::size_of(None))
    }

    fn give(&self, to: Side) {
        to.pick(&self.events).set(EventState::Signaled).unwrap();
    }

    fn wait(&self, side: Side) {
        side.pick(&self.events).wait(Timeout::Infinite).unwrap();
    }
}

/// A `pthread_mutex_t` around whose turn it is, and a `pthread_cond_t`.
pub struct PosixSync(Placed<PosixTurns>);

#[repr(C)]
struct PosixTurns {
    mutex: UnsafeCell<libc::pthread_mutex_t>,
    turn: UnsafeCell<u32>,
    changed: UnsafeCell<libc::pthread_cond_t>,
}

impl PosixSync {
    fn mutex(&self) -> BorrowedMutex<'_, Standard> {
        // SAFETY: `create` made one there.
        unsafe { BorrowedMutex::from_raw(self.0.mutex.get().cast::<RawMutexAlloc>(), &self.0) }
    }

    fn changed(&self) -> BorrowedCondvar<'_> {
        let at = self.0.changed.get().cast::<RawCondvarAlloc>();
        // SAFETY: `create` made one there, with the clock that is the default.
        unsafe { BorrowedCondvar::from_raw(at, &self.0, CondvarClock::Realtime) }
    }
}

impl Subject for PosixSync {
    const NAME: &'static str = "posix-sync BorrowedCondvar";

    fn create(name: &str) -> Self {
        // SAFETY: both are made for several processes, in memory that nobody else knows yet; 0 is a turn.
        PosixSync(unsafe {
            Placed::create(name, |at: *mut PosixTurns| {
                let mutex = UnsafeCell::raw_get(&raw const (*at).mutex).cast();
                MutexBuilder::<Standard>::new().with_sharing(MutexSharing::Shared).build_borrowed(mutex, &());
                let changed = UnsafeCell::raw_get(&raw const (*at).changed).cast();
                CondvarBuilder::new().with_sharing(CondvarSharing::Shared).build_borrowed(changed, &());
            })
        })
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        PosixSync(unsafe { Placed::open(name) })
    }
}

impl HandOver for PosixSync {
    fn bytes() -> Option<usize> {
        Some(RawCondvarAlloc::SIZE)
    }

    fn give(&self, to: Side) {
        let mutex = self.mutex();
        // SAFETY: it isn't destroyed.
        let guard = unsafe { mutex.lock() }.unwrap();
        // SAFETY: the mutex is held.
        unsafe { *self.0.turn.get() = to as u32 };
        drop(guard);
        // SAFETY: as above.
        unsafe { self.changed().notify_one() }.unwrap();
    }

    fn wait(&self, side: Side) {
        let mutex = self.mutex();
        // SAFETY: it isn't destroyed.
        let mut guard = unsafe { mutex.lock() }.unwrap();
        // SAFETY: the mutex is held whenever it is looked at.
        while unsafe { self.0.turn.get().read() } != side as u32 {
            // SAFETY: there is this mutex only.
            unsafe { self.changed().wait(&mut guard) }.unwrap();
        }
    }
}
