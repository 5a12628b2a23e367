//! Locks that turn from one kind into another: upgradable reads, upgrades and downgrades.

use std::thread;

use pshared::generic::{
    RwLockReadGuard as Reading, RwLockUpgradableReadGuard as Upgradable, RwLockWriteGuard as Writing,
};
use pshared::{Error, LockError, UpgradeError};

use super::*;
use crate::support::claims::{anywhere, in_processes, in_threads_and_processes};
use crate::support::state::{tid, wait_until_asleep_in_a_lock};

type Lock<B, const READERS: usize> = generic::RwLock<u64, B, READERS>;

fn why<U, W>(refused: Result<W, UpgradeError<U, W>>) -> (U, Error) {
    match refused {
        Err(UpgradeError::Refused { guard, why }) => (guard, why),
        Err(UpgradeError::Poisoned(poison)) => panic!("{poison}"),
        Ok(_) => panic!("upgraded"),
    }
}

anywhere!(an_upgradable_read_becomes_a_write_and_a_read_again, Lock<B, 64> = Lock::with_readers(1), |l| {
    let guard = l.upgradable_read().unwrap();
    assert!(l.is_locked() && !l.is_locked_exclusive());
    assert_eq!(*guard, 1);
    let mut guard = Upgradable::upgrade(guard).unwrap();
    assert!(l.is_locked_exclusive());
    *guard = 2;
    let guard = Writing::downgrade_to_upgradable(guard);
    assert!(l.is_locked() && !l.is_locked_exclusive());
    let mut guard = Upgradable::try_upgrade(guard).unwrap();
    *guard = 3;
    let guard = Writing::downgrade(guard);
    assert!(l.is_locked() && !l.is_locked_exclusive());
    assert_eq!((*guard, *l.read().unwrap()), (3, 3));
    drop(guard);
    assert!(!l.is_locked());
    let guard = Upgradable::downgrade(l.try_upgradable_read().unwrap());
    assert!(l.is_locked() && !l.is_locked_exclusive());
    drop(guard);
    assert!(!l.is_locked());
    drop(l.try_upgradable_read_for(Duration::ZERO).unwrap());
    drop(l.try_upgradable_read_until(Instant::now()).unwrap());
    drop(Upgradable::try_upgrade_for(l.upgradable_read().unwrap(), LONG).unwrap());
    assert!(!l.is_locked());
    assert_eq!(*l.try_write().unwrap(), 3);
});

anywhere!(a_thread_that_would_wait_for_itself_is_told, Lock<B, 64> = Lock::with_readers(1), |l| {
    let upgradable = l.upgradable_read().unwrap();
    assert!(matches!(l.upgradable_read(), Err(LockError::WouldDeadlock)));
    assert!(matches!(l.try_upgradable_read(), Err(LockError::WouldBlock)));
    assert!(matches!(l.write(), Err(LockError::WouldDeadlock)));
    assert!(matches!(l.try_write(), Err(LockError::WouldBlock)));
    // Reading is fine, but who reads twice can't write.
    let read = l.read().unwrap();
    let (upgradable, error) = why(Upgradable::upgrade(upgradable));
    assert_eq!(error, Error::WouldDeadlock);
    let (upgradable, error) = why(Upgradable::try_upgrade(upgradable));
    assert_eq!((error, *upgradable + *read), (Error::WouldBlock, 2));
    drop(read);
    *Upgradable::upgrade(upgradable).unwrap() += 1;

    let read = l.read().unwrap();
    assert!(matches!(l.upgradable_read(), Err(LockError::WouldDeadlock)));
    assert!(matches!(l.try_upgradable_read(), Err(LockError::WouldBlock)));
    drop(read);
    let write = l.write().unwrap();
    assert!(matches!(l.upgradable_read(), Err(LockError::WouldDeadlock)));
    drop(write);
    assert_eq!(*l.try_write().unwrap(), 2);
});

anywhere!(reads_that_overlap_a_turn_all_count, Lock<B, 2> = Lock::with_readers(1), |l| {
    let upgradable = l.upgradable_read().unwrap();
    let inner = l.read().unwrap();
    let outer: Reading<'_, u64, B, 2> = Upgradable::downgrade(upgradable);
    drop(inner);
    assert!(matches!(l.try_write(), Err(LockError::WouldBlock)));
    assert_eq!(*outer, 1);
    drop(outer);
    drop(l.try_write().unwrap());
});

in_threads_and_processes!(
    an_upgradable_reader_is_beside_readers_and_nobody_else,
    Lock<B, 64> = Lock::with_readers(1),
    workers = 1,
    |l, me| {
        let guard = l.upgradable_read().unwrap();
        me.say("reads");
        me.expect("upgrade");
        let (guard, error) = why(Upgradable::try_upgrade(guard));
        assert_eq!(error, Error::WouldBlock);
        let started = Instant::now();
        let (guard, error) = why(Upgradable::try_upgrade_for(guard, Duration::from_millis(20)));
        assert_eq!(error, Error::TimedOut);
        assert!(started.elapsed() >= Duration::from_millis(20));
        me.say(&tid().to_string());
        let mut guard = Upgradable::upgrade(guard).unwrap();
        *guard += 1;
        me.say("writes");
        me.expect("downgrade");
        let guard = Writing::downgrade(guard);
        me.say("reads");
        me.expect("let go");
        drop(guard);
        me.say("free");
    },
    |l, workers| {
        workers[0].expect("reads");
        assert!(matches!(l.try_write(), Err(LockError::WouldBlock)));
        assert!(matches!(l.try_upgradable_read(), Err(LockError::WouldBlock)));
        assert!(matches!(l.try_upgradable_read_for(Duration::from_millis(5)), Err(LockError::TimedOut)));
        let guard = l.try_read().unwrap();
        workers[0].say("upgrade");
        let id = workers[0].hear().parse().unwrap();
        wait_until_asleep_in_a_lock(id);
        assert_eq!(*guard, 1);
        drop(guard);
        workers[0].expect("writes");
        assert!(matches!(l.try_read(), Err(LockError::WouldBlock)));
        workers[0].say("downgrade");
        workers[0].expect("reads");
        assert_eq!(*l.try_read().unwrap(), 2);
        drop(l.try_upgradable_read().unwrap());
        assert!(matches!(l.try_write(), Err(LockError::WouldBlock)));
        workers[0].say("let go");
        workers[0].expect("free");
        drop(l.try_write().unwrap());
    }
);

in_threads_and_processes!(
    whoever_waits_for_the_turn_is_woken,
    Lock<B, 64> = Lock::with_readers(1),
    workers = 3,
    |l, me| {
        me.say(&tid().to_string());
        for _ in 0..30 {
            me.expect("go");
            match me.number {
                0 => drop(l.read().unwrap()),
                1 => drop(l.try_read_for(LONG).unwrap()),
                _ => drop(l.upgradable_read().unwrap()),
            }
            me.say("done");
        }
    },
    |l, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        for round in 0..30 {
            let guard = l.write().unwrap();
            for (worker, id) in workers.iter().zip(&ids) {
                worker.say("go");
                wait_until_asleep_in_a_lock(*id);
            }
            // Readers come in beside this one.
            if round % 2 == 0 {
                let guard = Writing::downgrade(guard);
                workers.iter().for_each(|worker| worker.expect("done"));
                drop(guard);
            } else {
                let guard = Writing::downgrade_to_upgradable(guard);
                workers[..2].iter().for_each(|worker| worker.expect("done"));
                drop(guard);
                workers[2].expect("done");
            }
        }
    }
);

in_threads_and_processes!(
    /// Each adds one in two steps, of which the first only reads.
    no_increment_by_upgrade_is_lost,
    Lock<B, 2> = Lock::with_readers(0),
    workers = 4,
    |l, me| {
        me.expect("go");
        for round in 0..1000_u64 {
            let guard = l.upgradable_read().unwrap();
            let seen = *guard;
            if round.is_multiple_of(16) {
                thread::yield_now();
            }
            let mut guard = match Upgradable::try_upgrade(guard) {
                Ok(guard) => guard,
                Err(UpgradeError::Refused { guard, why: Error::WouldBlock }) => Upgradable::upgrade(guard).unwrap(),
                Err(other) => panic!("{other}"),
            };
            assert_eq!(*guard, seen, "somebody wrote between");
            *guard = seen + 1;
            let guard = match round % 3 {
                0 => Writing::downgrade(guard),
                1 => Upgradable::downgrade(Writing::downgrade_to_upgradable(guard)),
                _ => continue,
            };
            assert_eq!(*guard, seen + 1, "somebody wrote between");
            drop(guard);
            drop(l.read().unwrap());
        }
    },
    |l, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        assert_eq!(*l.read().unwrap(), 4000);
        drop(l.try_write().unwrap());
    }
);

anywhere!(every_turn_tells_of_poison, Lock<B, 64> = Lock::with_readers(1), |l| {
    panicking(|| {
        let guard = Upgradable::upgrade(l.upgradable_read().unwrap()).unwrap();
        let _guard = guard;
        panic_quietly();
    });
    assert_eq!(cause(l.upgradable_read()), Some(Cause::Panicked));
    assert_eq!(cause(l.try_upgradable_read()), Some(Cause::Panicked));
    let (guard, _) = l.upgradable_read().unwrap_err().recover().unwrap();
    let Err(UpgradeError::Poisoned(poison)) = Upgradable::upgrade(guard) else { panic!("it was poisoned") };
    assert!(l.is_locked_exclusive());
    l.clear_poison();
    drop(poison.into_inner());
    assert_eq!(cause(l.read()), None);
    // Readers poison nothing, upgradable or not.
    for read in [true, false] {
        panicking(|| {
            let guard = Writing::downgrade_to_upgradable(l.write().unwrap());
            let _guard = if read { Ok(Upgradable::downgrade(guard)) } else { Err(guard) };
            panic_quietly();
        });
        assert!(!l.is_locked() && !l.is_poisoned());
    }
});

in_processes!(
    who_dies_reading_after_it_wrote_poisons_nothing,
    [Lock<B, 64>; 4] = [const { Lock::with_readers(1) }; 4],
    workers = 1,
    |l, me| {
        std::mem::forget(Writing::downgrade(l[0].write().unwrap()));
        std::mem::forget(Writing::downgrade_to_upgradable(l[1].write().unwrap()));
        std::mem::forget(l[2].upgradable_read().unwrap());
        std::mem::forget(Upgradable::upgrade(l[3].upgradable_read().unwrap()).unwrap());
        me.say("held");
        me.hear();
    },
    |l, workers| {
        workers[0].expect("held");
        workers.take_process().kill();
        for (number, lock) in l.iter().enumerate() {
            let expected = (number == 3).then_some(Cause::OwnerDied);
            find_out::<B, _>(|| lock.try_write());
            assert_eq!(cause(lock.try_write()), expected, "lock {number}");
        }
    }
);
