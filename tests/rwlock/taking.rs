//! Taking a lock that is free, that others have, or that this thread has.

use pshared::{Error, LockError};

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};
use crate::support::state::{tid, wait_until_asleep_in_a_lock};

/// More than the watchdog has seconds.
const HAND_OVERS: u64 = 100;

anywhere!(a_lock_is_free_again_after_its_guard, RwLock<u64, B> = RwLock::new(0), |l| {
    for (name, way) in every_way() {
        for _ in 0..2 {
            let guard = way(l).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(l.is_locked(), "{name}");
            assert_eq!(l.is_locked_exclusive(), name.contains("write"), "{name}");
            drop(guard);
            assert!(!l.is_locked(), "{name}");
        }
    }
    *l.write_or_recover(|_, _| panic!("there is no poison")).unwrap() += 1;
    assert_eq!(*l.read().unwrap(), 1);
});

anywhere!(a_writer_that_would_wait_for_itself_is_told, RwLock<u64, B> = RwLock::new(5), |l| {
    let guard = l.write().unwrap();
    for (name, way) in every_way() {
        match way(l) {
            Err(LockError::WouldBlock) => assert!(matches!(name, "try_read" | "try_write"), "{name}"),
            Err(LockError::WouldDeadlock) => assert!(!matches!(name, "try_read" | "try_write"), "{name}"),
            other => panic!("{name}: {:?}", other.map(|_| ())),
        }
    }
    assert_eq!(l.write_or_recover(|_, _| ()).unwrap_err(), Error::WouldDeadlock);
    assert!(l.is_locked_exclusive());
    drop(guard);
    assert!(!l.is_locked());
    assert_eq!(*l.write().unwrap(), 5);
});

anywhere!(a_reader_that_would_wait_for_itself_to_write_is_told, RwLock<u64, B> = RwLock::new(5), |l| {
    let guards = [l.read().unwrap(), l.read().unwrap()];
    for guard in guards {
        for (name, way) in ways_to_write() {
            match way(l) {
                Err(LockError::WouldBlock) => assert_eq!(name, "try_write"),
                Err(LockError::WouldDeadlock) => assert_ne!(name, "try_write"),
                other => panic!("{name}: {:?}", other.map(|_| ())),
            }
        }
        drop(guard);
    }
    *l.write().unwrap() += 1;
});

anywhere!(a_read_inside_a_read_holds_until_both_are_over, RwLock<u64, B> = RwLock::new(5), |l| {
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let mut guards: Vec<_> = ways_to_read().into_iter().take(3).map(|(_, way)| Some(way(l).unwrap())).collect();
        for (i, gone) in order.into_iter().enumerate() {
            assert!(matches!(l.try_write(), Err(LockError::WouldBlock)));
            assert!(guards.iter().flatten().all(|guard| ***guard == 5));
            guards[gone] = None;
            assert_eq!(l.is_locked(), i < 2, "{order:?}");
        }
        drop(l.try_write().unwrap());
    }
});

anywhere!(locks_are_given_back_in_any_order, [RwLock<u64, B>; 12] = [const { RwLock::new(0) }; 12], |all| {
    let orders: [fn(usize) -> usize; 3] = [|i| i, |i| 11 - i, |i| (i * 5 + 3) % 12];
    for order in orders {
        let mut guards: Vec<_> = all
            .iter()
            .enumerate()
            .map(|(i, l)| Some(if i % 3 == 0 { boxed(l.write()).unwrap() } else { boxed(l.read()).unwrap() }))
            .collect();
        for i in 0..all.len() {
            guards[order(i)] = None;
            let held: Vec<_> = all.iter().map(RwLock::is_locked).collect();
            let expected: Vec<_> = guards.iter().map(Option::is_some).collect();
            assert_eq!(held, expected, "after the guard {}", order(i));
        }
    }
    assert!(all.iter().all(|l| l.try_write().is_ok()));
});

in_threads_and_processes!(
    readers_read_side_by_side_and_keep_writers_out,
    RwLock<u64, B> = RwLock::new(0),
    workers = 3,
    |l, me| {
        let guard = l.read().unwrap();
        me.say("reads");
        me.expect("let go");
        drop(guard);
        me.say("free");
    },
    |l, workers| {
        workers.iter().for_each(|worker| worker.expect("reads"));
        let short = Duration::from_millis(20);
        for gone in 0..3 {
            for (name, way) in ways_to_read() {
                drop(way(l).unwrap_or_else(|e| panic!("{name} beside {} readers: {e}", 3 - gone)));
            }
            assert!(l.is_locked() && !l.is_locked_exclusive());
            assert!(matches!(l.try_write(), Err(LockError::WouldBlock)));
            assert!(matches!(l.try_write_for(Duration::ZERO), Err(LockError::TimedOut)));
            assert!(matches!(l.try_write_until(past()), Err(LockError::TimedOut)));
            assert!(matches!(l.try_write_for(short), Err(LockError::TimedOut)));
            workers[gone].say("let go");
            workers[gone].expect("free");
        }
        assert!(!l.is_locked());
        drop(l.try_write().unwrap());
    }
);

in_threads_and_processes!(
    a_writer_keeps_everybody_out,
    RwLock<u64, B> = RwLock::new(0),
    workers = 1,
    |l, me| {
        let guard = l.write().unwrap();
        me.say("held");
        me.expect("let go");
        drop(guard);
        me.say("free");
    },
    |l, workers| {
        workers[0].expect("held");
        let short = Duration::from_millis(20);
        assert!(matches!(l.try_write(), Err(LockError::WouldBlock)));
        assert!(matches!(l.try_read(), Err(LockError::WouldBlock)));
        assert!(matches!(l.try_read_for(Duration::ZERO), Err(LockError::TimedOut)));
        assert!(matches!(l.try_write_until(past()), Err(LockError::TimedOut)));
        assert!(matches!(l.try_read_for(short), Err(LockError::TimedOut)));
        assert!(matches!(l.try_write_until(Instant::now() + short), Err(LockError::TimedOut)));
        assert!(l.is_locked_exclusive());
        workers[0].say("let go");
        workers[0].expect("free");
        for (name, way) in every_way() {
            drop(way(l).unwrap_or_else(|e| panic!("{name}: {e}")));
        }
    }
);

in_threads_and_processes!(
    every_blocked_waiter_is_woken,
    RwLock<u64, B> = RwLock::new(0),
    workers = 6,
    |l, me| {
        me.say(&tid().to_string());
        me.expect("go");
        match me.number {
            0 => drop(l.read().unwrap()),
            1 => *l.write().unwrap() += 1,
            2 => drop(l.try_read_for(Duration::MAX).unwrap()),
            3 => *l.try_write_for(Duration::MAX).unwrap() += 1,
            4 => drop(l.try_read_until(Instant::now() + LONG).unwrap()),
            _ => *l.try_write_until(Instant::now() + LONG).unwrap() += 1,
        }
    },
    |l, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        let guard = l.write().unwrap();
        for (worker, id) in workers.iter().zip(ids) {
            worker.say("go");
            wait_until_asleep_in_a_lock(id);
        }
        assert_eq!(*guard, 0);
        drop(guard);
        workers.finish();
        assert_eq!(*l.read().unwrap(), 3);
    }
);

in_threads_and_processes!(
    /// Waiters look up once a second by themselves. Were they not woken, the watchdog would end this.
    each_release_wakes_the_sleeper,
    RwLock<u64, B> = RwLock::new(0),
    workers = 1,
    |l, me| {
        me.say(&tid().to_string());
        for round in 0..HAND_OVERS {
            me.expect("go");
            if round.is_multiple_of(2) {
                drop(l.read().unwrap());
            } else {
                *l.write().unwrap() += 1;
            }
            me.say("done");
        }
    },
    |l, workers| {
        let id = workers[0].hear().parse().unwrap();
        for round in 0..HAND_OVERS {
            // A reader waits for a writer, a writer for a writer or a reader.
            let guard = if round % 4 == 3 { boxed(l.read()) } else { boxed(l.write()) };
            workers[0].say("go");
            wait_until_asleep_in_a_lock(id);
            drop(guard);
            workers[0].expect("done");
        }
        assert_eq!(*l.read().unwrap(), HAND_OVERS / 2);
    }
);
