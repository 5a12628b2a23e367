//! Taking a lock that is free, that another has, or that this thread has.

use pshared::{Error, LockError};

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};
use crate::support::state::{tid, wait_until_asleep_in_a_lock};

/// More than the watchdog has seconds.
const HAND_OVERS: u64 = 100;

anywhere!(a_lock_is_free_again_after_its_guard, Mutex<u64, B> = Mutex::new(0), |m| {
    for (name, way) in every_way() {
        for _ in 0..2 {
            *way(m).unwrap_or_else(|e| panic!("{name}: {e}")) += 1;
            assert!(!m.is_locked(), "{name}");
        }
    }
    *m.lock_or_recover(|_, _| panic!("there is no poison")).unwrap() += 1;
    assert_eq!(*m.lock().unwrap(), 2 * every_way::<B>().len() as u64 + 1);
});

anywhere!(a_holder_that_would_wait_for_itself_is_told, Mutex<u64, B> = Mutex::new(5), |m| {
    let guard = m.lock().unwrap();
    for (name, way) in every_way() {
        match way(m) {
            Err(LockError::WouldBlock) => assert_eq!(name, "try_lock"),
            Err(LockError::WouldDeadlock) => assert_ne!(name, "try_lock"),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!(m.lock_or_recover(|_, _| ()).unwrap_err(), Error::WouldDeadlock);
    assert!(m.is_locked());
    drop(guard);
    assert!(!m.is_locked());
    assert_eq!(*m.lock().unwrap(), 5);
});

anywhere!(locks_are_given_back_in_any_order, [Mutex<u64, B>; 12] = [const { Mutex::new(0) }; 12], |all| {
    // Forwards, backwards, and from the middle; more than a thread keeps in the first part of its record.
    let orders: [fn(usize) -> usize; 3] = [|i| i, |i| 11 - i, |i| (i * 5 + 3) % 12];
    for order in orders {
        let mut guards: Vec<_> = all.iter().map(|m| Some(m.lock().unwrap())).collect();
        for i in 0..all.len() {
            **guards[order(i)].as_mut().unwrap() += 1;
            guards[order(i)] = None;
            let held: Vec<_> = all.iter().map(Mutex::is_locked).collect();
            let expected: Vec<_> = guards.iter().map(Option::is_some).collect();
            assert_eq!(held, expected, "after the guard {}", order(i));
        }
    }
    assert!(all.iter().all(|m| *m.lock().unwrap() == 3));
});

in_threads_and_processes!(
    a_lock_that_another_has_is_refused,
    Mutex<u64, B> = Mutex::new(0),
    workers = 1,
    |m, me| {
        let guard = m.lock().unwrap();
        me.say("held");
        me.expect("let go");
        drop(guard);
        me.say("free");
    },
    |m, workers| {
        workers[0].expect("held");
        let short = Duration::from_millis(20);
        assert!(matches!(m.try_lock(), Err(LockError::WouldBlock)));
        assert!(matches!(m.try_lock_for(Duration::ZERO), Err(LockError::TimedOut)));
        assert!(matches!(m.try_lock_until(past()), Err(LockError::TimedOut)));
        assert!(matches!(m.try_lock_for(short), Err(LockError::TimedOut)));
        assert!(matches!(m.try_lock_until(Instant::now() + short), Err(LockError::TimedOut)));
        assert!(m.is_locked());
        workers[0].say("let go");
        workers[0].expect("free");
        for (name, way) in every_way() {
            drop(way(m).unwrap_or_else(|e| panic!("{name}: {e}")));
        }
    }
);

in_threads_and_processes!(
    every_blocked_waiter_is_woken,
    Mutex<u64, B> = Mutex::new(0),
    workers = 3,
    |m, me| {
        me.say(&tid().to_string());
        me.expect("go");
        let guard = match me.number {
            0 => m.lock(),
            1 => m.try_lock_for(Duration::MAX),
            _ => m.try_lock_until(Instant::now() + LONG),
        };
        *guard.unwrap() += 1;
    },
    |m, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        let guard = m.lock().unwrap();
        for (worker, id) in workers.iter().zip(ids) {
            worker.say("go");
            wait_until_asleep_in_a_lock(id);
        }
        assert_eq!(*guard, 0);
        drop(guard);
        workers.finish();
        assert_eq!(*m.lock().unwrap(), 3);
    }
);

in_threads_and_processes!(
    /// Waiters look up once a second by themselves. Were they not woken, the watchdog would end this.
    each_release_wakes_the_sleeper,
    Mutex<u64, B> = Mutex::new(0),
    workers = 1,
    |m, me| {
        me.say(&tid().to_string());
        for _ in 0..HAND_OVERS {
            me.expect("go");
            *m.lock().unwrap() += 1;
            me.say("done");
        }
    },
    |m, workers| {
        let id = workers[0].hear().parse().unwrap();
        for _ in 0..HAND_OVERS {
            let guard = m.lock().unwrap();
            workers[0].say("go");
            wait_until_asleep_in_a_lock(id);
            drop(guard);
            workers[0].expect("done");
        }
        assert_eq!(*m.lock().unwrap(), HAND_OVERS);
    }
);
