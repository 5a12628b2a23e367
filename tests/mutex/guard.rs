//! Guards: what they may do, narrowing them to a part, losing them.

use std::panic::{RefUnwindSafe, UnwindSafe};

use pshared::generic::MappedMutexGuard;
use static_assertions::{assert_impl_all, assert_not_impl_any};

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};

mod types {
    use super::*;
    use std::cell::Cell;

    type Lock<T> = pshared::Mutex<T>;
    type Guard<T> = pshared::MutexGuard<'static, T>;
    type Mapped<T> = pshared::MappedMutexGuard<'static, T>;

    assert_not_impl_any!(Guard<u64>: Send, Clone);
    assert_not_impl_any!(Mapped<u64>: Send, Clone);
    assert_impl_all!(Guard<u64>: Sync);
    assert_impl_all!(Mapped<u64>: Sync);
    // A shared guard lends the data, so it may be shared only where the data may.
    assert_not_impl_any!(Guard<Cell<u8>>: Sync);
    assert_not_impl_any!(Mapped<Cell<u8>>: Sync);
    // A lock makes of what may be sent what may be shared, and of nothing else.
    assert_impl_all!(Lock<Cell<u8>>: Send, Sync);
    assert_not_impl_any!(Lock<*const u8>: Send, Sync);
    assert_not_impl_any!(Lock<std::rc::Rc<u8>>: Send, Sync);
    assert_not_impl_any!(Lock<std::sync::MutexGuard<'static, u8>>: Send, Sync);
    assert_impl_all!(Lock<Cell<u8>>: UnwindSafe, RefUnwindSafe);
    assert_impl_all!(Lock<[u8]>: Send, Sync, RefUnwindSafe);
    assert_not_impl_any!(Lock<u8>: Clone, Copy);
    // No lock has a destructor: a cell never runs one.
    static_assertions::const_assert!(!std::mem::needs_drop::<Lock<u64>>());
    // The size is promised.
    static_assertions::const_assert!(size_of::<Lock<()>>() <= 64);
}

type Four<B> = Mutex<[u8; 4], B>;

anywhere!(a_guard_is_its_data, Mutex<[u8; 4], B> = Mutex::new([1, 2, 3, 4]), |m| {
    let mut guard = m.lock().unwrap();
    guard[0] = 9;
    assert_eq!((*guard, guard.len(), guard.iter().max()), ([9, 2, 3, 4], 4, Some(&9)));
    assert_eq!(format!("{guard:?}"), "[9, 2, 3, 4]");
});

anywhere!(a_guard_is_shown_as_its_data, Mutex<u64, B> = Mutex::new(12), |number| {
    assert_eq!(format!("{:>4}", number.lock().unwrap()), "  12");
    let shown = MutexGuard::map(number.lock().unwrap(), |n| n);
    assert_eq!(format!("{shown} {shown:?}"), "12 12");
});

anywhere!(a_narrowed_guard_holds_the_whole_lock, Four<B> = Mutex::new([0; 4]), |m| {
    let guard = MutexGuard::map(m.lock().unwrap(), |all| &mut all[1..]);
    assert!(m.is_locked());
    let mut guard = MappedMutexGuard::map(guard, |rest| &mut rest[1]);
    assert!(m.is_locked());
    *guard = 7;
    drop(guard);
    assert!(!m.is_locked());
    assert_eq!(*m.lock().unwrap(), [0, 0, 7, 0]);
});

anywhere!(a_guard_may_be_narrowed_if_there_is_such_a_part, Four<B> = Mutex::new([0; 4]), |m| {
    let Err(guard) = MutexGuard::filter_map(m.lock().unwrap(), |all| all.get_mut(4)) else { panic!("of four?") };
    assert!(m.is_locked());
    let Ok(guard) = MutexGuard::filter_map(guard, |all| all.get_mut(1..3)) else { panic!("of four!") };
    let Err(guard) = MappedMutexGuard::filter_map(guard, |two| two.get_mut(2)) else { panic!("of two?") };
    assert!(m.is_locked());
    let Ok(mut guard) = MappedMutexGuard::filter_map(guard, |two| two.get_mut(1)) else { panic!("of two!") };
    *guard = 5;
    drop(guard);
    assert!(!m.is_locked());
    assert_eq!(*m.lock().unwrap(), [0, 0, 5, 0]);
});

anywhere!(a_panic_while_narrowing_poisons_and_unlocks, Four<B> = Mutex::new([0; 4]), |m| {
    type Narrow<B> = fn(MutexGuard<'_, [u8; 4], B>);
    let narrowings: [(&str, Narrow<B>); 4] = [
        ("map", |guard| _ = MutexGuard::map::<u8>(guard, |_| panic_quietly())),
        ("filter_map", |guard| _ = MutexGuard::filter_map::<u8>(guard, |_| panic_quietly())),
        ("map of a part", |guard| {
            let part = MutexGuard::map(guard, |all| &mut all[0]);
            _ = MappedMutexGuard::map::<u8>(part, |_| panic_quietly());
        }),
        ("filter_map of a part", |guard| {
            let part = MutexGuard::map(guard, |all| &mut all[0]);
            _ = MappedMutexGuard::filter_map::<u8>(part, |_| panic_quietly());
        }),
    ];
    for (name, narrow) in narrowings {
        panicking(|| narrow(m.lock().unwrap()));
        assert!(!m.is_locked(), "{name}");
        assert_eq!(cause(m.try_lock()), Some(Cause::Panicked), "{name}");
        m.clear_poison();
    }
});

anywhere!(a_panic_with_a_narrowed_guard_poisons, Four<B> = Mutex::new([0; 4]), |m| {
    panicking(|| {
        let _part = MutexGuard::map(m.lock().unwrap(), |all| &mut all[2]);
        panic_quietly();
    });
    assert!(!m.is_locked());
    assert_eq!(cause(m.lock()), Some(Cause::Panicked));
});

anywhere!(a_lock_of_an_array_is_a_lock_of_a_slice, Four<B> = Mutex::new([1, 2, 3, 4]), |m| {
    let slice: &Mutex<[u8], B> = m;
    {
        let mut guard = slice.lock().unwrap();
        guard[0] = 9;
        guard[3] = 8;
        assert!(m.is_locked());
        assert!(matches!(m.try_lock(), Err(LockError::WouldBlock)));
    }
    assert_eq!(*slice.lock().unwrap(), [9, 2, 3, 8]);
    assert_eq!(*m.lock().unwrap(), [9, 2, 3, 8]);
    assert_eq!(format!("{slice:?}"), "Mutex { data: [9, 2, 3, 8], poisoned: false, .. }");
    panicking(|| {
        let _guard = slice.lock();
        panic_quietly();
    });
    assert_eq!(cause(m.lock()), Some(Cause::Panicked));
});

anywhere!(a_forgotten_guard_holds_as_long_as_its_thread_lives, Mutex<u64, B> = Mutex::new(0), |m| {
    std::mem::forget(m.lock().unwrap());
    assert!(m.is_locked());
    assert!(matches!(m.try_lock(), Err(LockError::WouldBlock)));
    assert!(matches!(m.lock(), Err(LockError::WouldDeadlock)));
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(matches!(m.try_lock_for(Duration::from_millis(20)), Err(LockError::TimedOut))));
    });
});

in_threads_and_processes!(
    a_forgotten_part_is_a_death_when_its_thread_ends,
    Four<B> = Mutex::new([0; 4]),
    workers = 1,
    |m, _| {
        std::mem::forget(MutexGuard::map(m.lock().unwrap(), |all| &mut all[1]));
    },
    |m, workers| {
        workers.finish();
        assert_eq!(cause(m.lock()), Some(Cause::OwnerDied));
    }
);
