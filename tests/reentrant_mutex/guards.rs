//! Guards: what they may do, narrowing them, losing them, panics with them, what `Debug` shows.

use std::cell::Cell;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::thread;

use pshared::generic::{MappedReentrantMutexGuard, Mutex};
use pshared::{Error, Shm, ShmData, ShmSafe};
use static_assertions::{assert_impl_all, assert_not_impl_any};

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};

type Plain<T> = pshared::ReentrantMutex<T>;
type Guard<T> = pshared::ReentrantMutexGuard<'static, T>;
type Mapped<T> = pshared::MappedReentrantMutexGuard<'static, T>;

assert_impl_all!(Plain<Cell<u64>>: Send, Sync, UnwindSafe, RefUnwindSafe);
assert_not_impl_any!(Plain<std::rc::Rc<u64>>: Send, Sync);
assert_impl_all!(Plain<AtomicU64>: ShmSafe);
assert_not_impl_any!(Plain<Cell<u64>>: ShmSafe);
assert_not_impl_any!(Plain<u64>: ShmData);
assert_not_impl_any!(Guard<u64>: Send, Clone, std::ops::DerefMut);
assert_not_impl_any!(Mapped<u64>: Send, Clone, std::ops::DerefMut);
assert_impl_all!(Guard<u64>: Sync);
assert_impl_all!(Mapped<u64>: Sync);
assert_not_impl_any!(Guard<Cell<u8>>: Sync);
assert_not_impl_any!(Mapped<Cell<u8>>: Sync);

#[test]
fn outside_a_cell_it_may_hold_what_one_thread_may_change() {
    let mut m = Plain::new(Cell::new(1));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    let (first, second) = (m.lock().unwrap(), m.lock().unwrap());
                    first.set(second.get() + 1);
                }
            });
        }
    });
    assert_eq!(m.get_mut().unwrap().get(), 4001);
    assert_eq!(Plain::from(7).into_inner().unwrap(), 7);
    assert_eq!(*Plain::<u64>::default().lock().unwrap(), 0);
    let moved = Box::new(m);
    assert_eq!(moved.lock().unwrap().get(), 4001);
}

type Two<B> = ReentrantMutex<[AtomicU64; 2], B>;

anywhere!(a_part_holds_the_lock_as_the_whole_does, Two<B> = ReentrantMutex::new([const { AtomicU64::new(0) }; 2]), |m| {
    let whole = m.lock().unwrap();
    let part = ReentrantMutexGuard::map(m.lock().unwrap(), |all| &all[1]);
    drop(whole);
    assert!(m.is_locked());
    add(&part);
    let part = MappedReentrantMutexGuard::map(part, |n| n);
    let part = match MappedReentrantMutexGuard::filter_map(part, |_| None::<&u64>) {
        Ok(_) => panic!("there is no such part"),
        Err(part) => part,
    };
    assert_eq!(part.load(Relaxed), 1);
    assert_eq!(format!("{part:?}"), "1");
    drop(part);
    assert!(!m.is_locked());
    let part = ReentrantMutexGuard::filter_map(m.lock().unwrap(), |all| all.last()).unwrap();
    assert_eq!(part.load(Relaxed), 1);
    panicking(|| drop(ReentrantMutexGuard::map(m.lock().unwrap(), |_| -> &u64 { panic_quietly() })));
    assert!(m.is_poisoned() && m.is_locked());
    drop(part);
    assert!(!m.is_locked());
});

anywhere!(a_panic_with_any_guard_poisons, Lock<B> = lock_around(0), |m| {
    let outer = m.lock().unwrap();
    panicking(|| {
        let _inner = m.lock();
        panic_quietly();
    });
    assert!(m.is_locked() && m.is_poisoned());
    for (name, way) in every_way() {
        assert_eq!(cause(way(m)), Some(Cause::Panicked), "{name}");
    }
    m.clear_poison();
    assert_eq!(cause(m.lock()), None);
    // One that was caught inside says nothing of the data.
    panicking(|| panic_quietly());
    drop(outer);
    assert!(!m.is_locked() && !m.is_poisoned());

    panicking(|| {
        let _guards = (m.lock(), m.lock());
        panic_quietly();
    });
    assert!(!m.is_locked());
    let guard = m.lock_or_recover(|n, cause| n.store(u64::from(cause == Cause::Panicked), Relaxed)).unwrap();
    assert_eq!(guard.load(Relaxed), 1);
    drop(m.lock_or_recover(|_, _| panic!("there is no poison")).unwrap());
    drop(guard);
    assert!(!m.is_locked() && !m.is_poisoned());
});

/// Locks in its destructor, which a panic runs.
struct AddsOnDrop<'a, B: Backend>(&'a Lock<B>);

impl<B: Backend> Drop for AddsOnDrop<'_, B> {
    fn drop(&mut self) {
        add(&self.0.lock().unwrap());
    }
}

anywhere!(a_panic_from_before_the_guard_was_made_says_nothing_of_the_data, Lock<B> = lock_around(0), |m| {
    panicking(|| {
        let _adds = AddsOnDrop(m);
        panic_quietly();
    });
    assert_eq!(cause(m.lock()), None);
    assert_eq!(m.lock().unwrap().load(Relaxed), 1);
});

anywhere!(a_forgotten_guard_keeps_the_lock, Lock<B> = lock_around(0), |m| {
    std::mem::forget(m.lock().unwrap());
    drop((m.lock().unwrap(), m.lock().unwrap()));
    assert!(m.is_locked());
    thread::scope(|scope| _ = scope.spawn(|| assert!(matches!(m.try_lock(), Err(LockError::WouldBlock)))));
});

in_threads_and_processes!(
    debug_shows_the_data_to_the_holder_and_never_waits,
    Lock<B> = lock_around(17),
    workers = 1,
    |m, me| {
        let _guard = m.lock().unwrap();
        assert_eq!(format!("{m:?}"), "ReentrantMutex { data: 17, poisoned: false, .. }");
        me.say("held");
        me.expect("let go");
    },
    |m, workers| {
        workers[0].expect("held");
        assert_eq!(format!("{m:?}"), "ReentrantMutex { data: <locked>, poisoned: false, .. }");
        workers[0].say("let go");
        workers.finish();
        assert_eq!(format!("{m:?}"), "ReentrantMutex { data: 17, poisoned: false, .. }");
        assert!(!m.is_locked());
    }
);

in_threads_and_processes!(
    /// They are settled, so they are locks between processes.
    locks_may_stand_inside,
    ReentrantMutex<[Mutex<u64, B>; 2], B> = ReentrantMutex::new([const { Mutex::new(0) }; 2]),
    workers = 2,
    |m, me| {
        let inner = &m.lock().unwrap()[me.number];
        *inner.lock().unwrap() += 1;
        if me.number == 1 {
            std::mem::forget(inner.lock().unwrap());
        }
    },
    |m, workers| {
        workers.finish();
        let both = m.lock().unwrap();
        assert_eq!(*both[0].lock().unwrap(), 1);
        assert_eq!(Error::from(both[1].lock().unwrap_err()), Error::Poisoned(Cause::OwnerDied));
    }
);

#[test]
fn a_cell_of_something_else_is_refused() {
    let name = format!("pshared-reentrant-{}", std::process::id());
    let _shm = Shm::create(&name, || Ok(Plain::new(AtomicU64::new(0)))).unwrap();
    assert!(matches!(Shm::<pshared::Mutex<u64>>::open(&name), Err(Error::Mismatch(_))));
    assert!(Shm::<Plain<AtomicU64>>::open(&name).is_ok());
    Shm::<Plain<AtomicU64>>::remove(&name).unwrap();
}

/// One lock, whose word is on the thread's list at one address only.
#[test]
fn at_a_second_address_it_is_another_to_take_again() {
    let name = format!("pshared-reentrant-twice-{}", std::process::id());
    let here = Shm::create(&name, || Ok(Plain::new(AtomicU64::new(0)))).unwrap();
    let there = Shm::<Plain<AtomicU64>>::open(&name).unwrap();
    Shm::<Plain<AtomicU64>>::remove(&name).unwrap();
    let guard = here.lock().unwrap();
    assert!(there.is_locked() && !there.is_owned_by_current_thread());
    assert_eq!(there.owner(), here.owner());
    assert!(matches!(there.lock(), Err(LockError::WouldDeadlock)));
    assert!(matches!(there.try_lock_for(LONG), Err(LockError::WouldDeadlock)));
    assert!(matches!(there.try_lock(), Err(LockError::WouldBlock)));
    let again = here.lock().unwrap();
    drop(guard);
    assert!(there.is_locked());
    drop(again);
    drop((there.lock().unwrap(), there.lock().unwrap()));
    assert!(!here.is_locked());
}
