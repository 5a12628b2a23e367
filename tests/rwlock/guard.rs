//! Guards: what they may do, narrowing them to a part, losing them.

use std::panic::{RefUnwindSafe, UnwindSafe};

use pshared::generic::{MappedRwLockReadGuard, MappedRwLockWriteGuard};
use static_assertions::{assert_impl_all, assert_not_impl_any};

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};

mod types {
    use super::*;
    use std::cell::Cell;

    type Lock<T> = pshared::RwLock<T>;
    type Read<T> = pshared::RwLockReadGuard<'static, T>;
    type Write<T> = pshared::RwLockWriteGuard<'static, T>;
    type Upgradable<T> = pshared::RwLockUpgradableReadGuard<'static, T>;
    type MappedRead<T> = pshared::MappedRwLockReadGuard<'static, T>;
    type MappedWrite<T> = pshared::MappedRwLockWriteGuard<'static, T>;

    assert_not_impl_any!(Read<u64>: Send, Clone);
    assert_not_impl_any!(Write<u64>: Send, Clone);
    assert_not_impl_any!(Upgradable<u64>: Send, Clone);
    assert_not_impl_any!(MappedRead<u64>: Send, Clone);
    assert_not_impl_any!(MappedWrite<u64>: Send, Clone);
    assert_impl_all!(Read<u64>: Sync);
    assert_impl_all!(Write<u64>: Sync);
    assert_impl_all!(Upgradable<u64>: Sync);
    assert_impl_all!(MappedRead<u64>: Sync);
    assert_impl_all!(MappedWrite<u64>: Sync);
    // A shared guard lends the data, so it may be shared only where the data may.
    assert_not_impl_any!(Read<Cell<u8>>: Sync);
    assert_not_impl_any!(Write<Cell<u8>>: Sync);
    assert_not_impl_any!(Upgradable<Cell<u8>>: Sync);
    assert_not_impl_any!(MappedRead<Cell<u8>>: Sync);
    assert_not_impl_any!(MappedWrite<Cell<u8>>: Sync);
    // Several readers have the data at a time, so a lock makes nothing Sync that isn't.
    assert_impl_all!(Lock<u8>: Send, Sync, UnwindSafe, RefUnwindSafe);
    assert_impl_all!(Lock<[u8]>: Send, Sync);
    assert_impl_all!(Lock<Cell<u8>>: Send, UnwindSafe, RefUnwindSafe);
    assert_not_impl_any!(Lock<Cell<u8>>: Sync);
    assert_not_impl_any!(Lock<std::rc::Rc<u8>>: Send, Sync);
    assert_not_impl_any!(Lock<std::sync::MutexGuard<'static, u8>>: Send);
    assert_not_impl_any!(Lock<u8>: Clone, Copy);
    // No lock has a destructor: a cell never runs one.
    static_assertions::const_assert!(!std::mem::needs_drop::<Lock<u64>>());
    // The size is promised.
    static_assertions::const_assert!(size_of::<Lock<()>>() <= 5 * 1024);
}

type Four<B> = RwLock<[u8; 4], B>;

anywhere!(a_guard_is_its_data, Four<B> = RwLock::new([1, 2, 3, 4]), |l| {
    let mut guard = l.write().unwrap();
    guard[0] = 9;
    assert_eq!((*guard, guard.len(), guard.iter().max()), ([9, 2, 3, 4], 4, Some(&9)));
    assert_eq!(format!("{guard:?}"), "[9, 2, 3, 4]");
    drop(guard);
    let guard = l.read().unwrap();
    assert_eq!((guard[0], format!("{guard:?}")), (9, "[9, 2, 3, 4]".into()));
});

anywhere!(a_guard_is_shown_as_its_data, RwLock<u64, B> = RwLock::new(12), |l| {
    assert_eq!(format!("{:>4}", l.read().unwrap()), "  12");
    assert_eq!(format!("{:>4}", l.write().unwrap()), "  12");
});

anywhere!(a_narrowed_guard_holds_the_whole_lock, Four<B> = RwLock::new([0; 4]), |l| {
    let guard = WriteGuard::map(l.write().unwrap(), |all| &mut all[1..]);
    assert!(l.is_locked_exclusive());
    let mut guard = MappedRwLockWriteGuard::map(guard, |rest| &mut rest[1]);
    assert!(l.is_locked_exclusive());
    *guard = 7;
    drop(guard);
    assert!(!l.is_locked());
    let guard = ReadGuard::map(l.read().unwrap(), |all| &all[1..]);
    assert!(l.is_locked());
    let guard = MappedRwLockReadGuard::map(guard, |rest| &rest[1]);
    assert!(matches!(l.try_write(), Err(LockError::WouldBlock)));
    assert_eq!((*guard, format!("{guard} {guard:?}")), (7, "7 7".into()));
    drop(guard);
    assert!(!l.is_locked());
});

anywhere!(a_guard_may_be_narrowed_if_there_is_such_a_part, Four<B> = RwLock::new([0; 4]), |l| {
    let Err(guard) = WriteGuard::filter_map(l.write().unwrap(), |all| all.get_mut(4)) else { panic!("of four?") };
    let Ok(guard) = WriteGuard::filter_map(guard, |all| all.get_mut(1..3)) else { panic!("of four!") };
    let Err(guard) = MappedRwLockWriteGuard::filter_map(guard, |two| two.get_mut(2)) else { panic!("of two?") };
    let Ok(mut guard) = MappedRwLockWriteGuard::filter_map(guard, |two| two.get_mut(1)) else { panic!("of two!") };
    *guard = 5;
    assert!(l.is_locked_exclusive());
    drop(guard);
    let Err(guard) = ReadGuard::filter_map(l.read().unwrap(), |all| all.get(4)) else { panic!("of four?") };
    let Ok(guard) = ReadGuard::filter_map(guard, |all| all.get(1..3)) else { panic!("of four!") };
    let Err(guard) = MappedRwLockReadGuard::filter_map(guard, |two| two.get(2)) else { panic!("of two?") };
    let Ok(guard) = MappedRwLockReadGuard::filter_map(guard, |two| two.get(1)) else { panic!("of two!") };
    assert_eq!((*guard, l.is_locked()), (5, true));
    drop(guard);
    assert!(!l.is_locked());
});

anywhere!(a_panic_with_a_narrowed_guard_poisons_if_it_writes, Four<B> = RwLock::new([0; 4]), |l| {
    type Panics<B> = fn(&Four<B>);
    let panics: [(Panics<B>, bool); 5] = [
        (|l| _ = WriteGuard::map::<u8>(l.write().unwrap(), |_| panic_quietly()), true),
        (|l| _ = WriteGuard::filter_map::<u8>(l.write().unwrap(), |_| panic_quietly()), true),
        (
            |l| {
                let _part = WriteGuard::map(l.write().unwrap(), |all| &mut all[2]);
                panic_quietly();
            },
            true,
        ),
        (|l| _ = ReadGuard::map::<u8>(l.read().unwrap(), |_| panic_quietly()), false),
        (
            |l| {
                let _part = ReadGuard::map(l.read().unwrap(), |all| &all[2]);
                panic_quietly();
            },
            false,
        ),
    ];
    for (number, (body, poisons)) in panics.into_iter().enumerate() {
        panicking(|| body(l));
        assert!(!l.is_locked(), "{number}");
        assert_eq!(cause(l.try_read()), poisons.then_some(Cause::Panicked), "{number}");
        l.clear_poison();
    }
});

anywhere!(a_lock_of_an_array_is_a_lock_of_a_slice, Four<B> = RwLock::new([1, 2, 3, 4]), |l| {
    let slice: &RwLock<[u8], B> = l;
    slice.write().unwrap()[0] = 9;
    assert_eq!((slice.read().unwrap().len(), l.read().unwrap()[0]), (4, 9));
});

anywhere!(a_forgotten_guard_holds_as_long_as_its_thread_lives, RwLock<u64, B> = RwLock::new(0), |l| {
    std::mem::forget(l.read().unwrap());
    assert!(l.is_locked());
    assert!(matches!(l.try_write(), Err(LockError::WouldBlock)));
    assert!(matches!(l.write(), Err(LockError::WouldDeadlock)));
    assert_eq!(*l.read().unwrap(), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(matches!(l.try_write_for(Duration::from_millis(20)), Err(LockError::TimedOut))));
    });
});

in_threads_and_processes!(
    a_forgotten_part_is_a_death_when_its_thread_ends,
    [Four<B>; 2] = [const { RwLock::new([0; 4]) }; 2],
    workers = 1,
    |l, _| {
        std::mem::forget(WriteGuard::map(l[0].write().unwrap(), |all| &mut all[1]));
        std::mem::forget(ReadGuard::map(l[1].read().unwrap(), |all| &all[1]));
    },
    |l, workers| {
        workers.finish();
        assert_eq!(cause(l[0].read()), Some(Cause::OwnerDied));
        assert_eq!(cause(l[1].write()), None);
    }
);
