//! `OnceLock`: a value that is whole or not there.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::thread;

use static_assertions::{assert_impl_all, assert_not_impl_any};

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};
use crate::support::state::{tid, wait_until_asleep_in_a_lock};

assert_impl_all!(pshared::OnceLock<u64>: Send, Sync, UnwindSafe, RefUnwindSafe, ShmSafe);
assert_impl_all!(pshared::Once: Send, Sync, UnwindSafe, RefUnwindSafe, ShmSafe);
assert_not_impl_any!(pshared::OnceLock<u64>: pshared::ShmData);

anywhere!(an_empty_one_is_filled_once, OnceLock<u64, B> = OnceLock::new(), |lock| {
    assert_eq!(lock.get(), None);
    assert_eq!(lock.get_or_init(|| 3), Ok(&3));
    assert_eq!(lock.get(), Some(&3));
    assert_eq!(lock.get_or_init(|| unreachable!()), Ok(&3));
    assert_eq!(lock.get_or_try_init(|| unreachable!()), Ok::<_, Error>(&3));
    let refused = lock.set(4).unwrap_err();
    assert_eq!(refused.error(), &Error::AlreadyInitialized);
    assert!(refused.to_string().contains("already"), "{refused}");
    assert_eq!(refused.into_inner(), 4);
    assert_eq!(Error::from(lock.set(5).unwrap_err()), Error::AlreadyInitialized);
    assert_eq!(lock.get(), Some(&3));
    assert_eq!(lock.wait(), Ok(&3));
});

anywhere!(a_value_is_set_where_there_is_none, OnceLock<[u8; 3], B> = OnceLock::new(), |lock| {
    lock.set([1, 2, 3]).unwrap();
    assert_eq!(lock.get(), Some(&[1, 2, 3]));
    assert_eq!(lock.set([4; 3]).unwrap_err().into_inner(), [4; 3]);
    assert_eq!(lock.get_or_init(|| [5; 3]), Ok(&[1, 2, 3]));
});

anywhere!(who_fails_or_panics_leaves_it_empty, OnceLock<u64, B> = OnceLock::new(), |lock| {
    for _ in 0..3 {
        assert_eq!(lock.get_or_try_init(|| Err(Error::TimedOut)), Err(Error::TimedOut));
        assert_eq!(lock.get(), None);
        panicking(|| _ = lock.get_or_init(|| panic_quietly()));
        assert_eq!(lock.get(), None);
        assert_eq!(lock.wait_timeout(Duration::ZERO), Err(Error::TimedOut));
    }
    assert_eq!(lock.get_or_try_init(|| Ok::<_, Error>(7)), Ok(&7));
    assert_eq!(lock.get(), Some(&7));
});

anywhere!(an_initialiser_that_asks_for_its_own_value_is_told, OnceLock<u64, B> = OnceLock::new(), |lock| {
    let value = lock.get_or_init(|| {
        assert_eq!(lock.get(), None);
        assert_eq!(lock.get_or_init(|| 1), Err(Error::WouldDeadlock));
        assert_eq!(lock.set(2).unwrap_err().error(), &Error::WouldDeadlock);
        assert_eq!(lock.wait_timeout(LONG), Err(Error::WouldDeadlock));
        3
    });
    assert_eq!(value, Ok(&3));
});

in_threads_and_processes!(
    /// What several want to fill at once, one fills, and all get that one's value.
    all_get_one_value,
    [OnceLock<[u64; 20], B>; HAND_OVERS] = [const { OnceLock::new() }; HAND_OVERS],
    workers = 4,
    |all, me| {
        me.expect("go");
        for (i, lock) in all.iter().enumerate() {
            let mine = [(me.number * HAND_OVERS + i) as u64; 20];
            let value = match me.number % 2 {
                0 => lock.get_or_init(|| mine).unwrap(),
                _ => match lock.set(mine) {
                    Ok(()) => lock.get().unwrap(),
                    Err(refused) => {
                        assert_eq!(refused.error(), &Error::AlreadyInitialized);
                        lock.get().unwrap()
                    }
                },
            };
            assert_eq!(*value, [value[0]; 20]);
            assert_eq!(value[0] as usize % HAND_OVERS, i);
            me.say(&value[0].to_string());
        }
    },
    |all, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        for lock in all {
            let values: Vec<String> = workers.iter().map(|worker| worker.hear()).collect();
            assert!(values.iter().all(|value| *value == lock.get().unwrap()[0].to_string()), "{values:?}");
        }
    }
);

in_threads_and_processes!(
    /// Were the waiter not woken each time, the watchdog would end this.
    who_waits_gets_the_value,
    [OnceLock<u64, B>; HAND_OVERS] = [const { OnceLock::new() }; HAND_OVERS],
    workers = 1,
    |all, me| {
        me.say(&tid().to_string());
        for lock in all {
            me.expect("go");
            me.say(&lock.wait().unwrap().to_string());
        }
    },
    |all, workers| {
        let id = workers[0].hear().parse().unwrap();
        for (i, lock) in all.iter().enumerate() {
            workers[0].say("go");
            wait_until_asleep_in_a_lock(id);
            // One that fails first, for whom it isn't woken in vain for long.
            assert_eq!(lock.get_or_try_init(|| Err(Error::TimedOut)), Err(Error::TimedOut));
            wait_until_asleep_in_a_lock(id);
            lock.set(i as u64).unwrap();
            workers[0].expect(&i.to_string());
        }
    }
);

#[test]
fn it_is_a_value_like_others() {
    type Lock = pshared::OnceLock<u64>;
    let mut lock = Lock::new();
    assert_eq!(lock.get_mut(), None);
    assert_eq!(lock.take(), None);
    assert_eq!(lock, Lock::default());
    lock.set(1).unwrap();
    *lock.get_mut().unwrap() += 1;
    assert_eq!(lock.clone().into_inner(), Some(2));
    assert_eq!(lock, Lock::from(2));
    assert_ne!(lock, Lock::new());
    assert_eq!(Lock::new(), Lock::new().clone());
    assert_eq!(format!("{lock:?} {:?}", Lock::new()), "OnceLock(2) OnceLock(<uninit>)");
    assert_eq!(lock.take(), Some(2));
    assert_eq!(lock.get(), None);
    lock.set(3).unwrap();
    let boxed = Box::new(lock);
    assert_eq!(boxed.get(), Some(&3));
    assert_eq!(Lock::new().into_inner(), None);
}

#[test]
fn one_in_a_static_serves_all_threads() {
    static LOCK: pshared::OnceLock<usize> = pshared::OnceLock::new();
    thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || LOCK.get_or_init(|| number).map(drop).unwrap());
        }
    });
    assert!(*LOCK.get().unwrap() < 4);
}

#[test]
fn one_that_has_a_value_may_be_put_into_a_cell() {
    let name = format!("pshared-once-lock-{}", std::process::id());
    let shm = pshared::Shm::create(&name, || Ok(pshared::OnceLock::from(5_u64))).unwrap();
    let again = pshared::Shm::<pshared::OnceLock<u64>>::open(&name).unwrap();
    pshared::Shm::<pshared::OnceLock<u64>>::remove(&name).unwrap();
    assert_eq!((shm.get(), again.get()), (Some(&5), Some(&5)));
    assert_eq!(again.set(6).unwrap_err().into_inner(), 6);
}
