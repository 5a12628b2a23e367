//! Taking a lock once, again, and while another has it.

use std::thread;

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};
use crate::support::state::{tid, wait_until_asleep_in_a_lock};

anywhere!(it_is_free_when_the_last_guard_is_gone_in_whatever_order, Lock<B> = lock_around(0), |m| {
    for (name, way) in every_way() {
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
            let mut guards = [0; 3].map(|_| Some(way(m).unwrap_or_else(|e| panic!("{name}: {e}"))));
            for at in order {
                assert!(m.is_locked() && m.is_owned_by_current_thread(), "{name}");
                add(guards[at].as_ref().unwrap());
                guards[at] = None;
            }
            assert!(!m.is_locked() && !m.is_owned_by_current_thread(), "{name}");
        }
    }
    assert_eq!(m.lock().unwrap().load(Relaxed), 3 * 4 * 6);
    assert_eq!(m.owner(), None);
});

anywhere!(many_guards_are_counted, Lock<B> = lock_around(0), |m| {
    let mut guards: Vec<_> = (0..20_000).map(|_| m.lock().unwrap()).collect();
    while guards.len() > 1 {
        guards.pop();
        if guards.len() % 5_000 == 1 {
            thread::scope(|scope| _ = scope.spawn(|| assert!(matches!(m.try_lock(), Err(LockError::WouldBlock)))));
        }
    }
    assert!(m.is_locked());
    drop(guards);
    assert!(!m.is_locked());
});

anywhere!(several_locks_are_taken_in_turns, [Lock<B>; 10] = [const { lock_around(0) }; 10], |all| {
    let first: Vec<_> = all.iter().map(|m| m.lock().unwrap()).collect();
    let second: Vec<_> = all.iter().rev().map(|m| m.lock().unwrap()).collect();
    drop(first);
    assert!(all.iter().all(|m| m.is_owned_by_current_thread()));
    drop(second);
    assert!(!all.iter().any(|m| m.is_locked()));
});

in_threads_and_processes!(
    no_increment_is_lost,
    Lock<B> = lock_around(0),
    workers = 4,
    |m, me| {
        me.expect("go");
        for round in 0..2000 {
            let first = m.lock().unwrap();
            let seen = first.load(Relaxed);
            if round % 64 == 0 {
                thread::yield_now();
            }
            let second = m.try_lock().unwrap();
            drop(first);
            second.store(seen + 1, Relaxed);
        }
    },
    |m, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        assert_eq!(m.lock().unwrap().load(Relaxed), 4 * 2000);
    }
);

in_threads_and_processes!(
    another_gets_it_only_after_the_last_guard,
    Lock<B> = lock_around(0),
    workers = 1,
    |m, me| {
        let mut guards = vec![m.lock().unwrap(), m.lock().unwrap(), m.lock().unwrap()];
        me.say(&format!("{} {}", std::process::id(), tid()));
        for _ in 0..3 {
            me.expect("drop one");
            guards.pop();
            me.say("dropped");
        }
        me.expect("end");
    },
    |m, workers| {
        let id = workers[0].hear();
        let short = Duration::from_millis(5);
        for _ in 0..3 {
            assert!(m.is_locked() && !m.is_owned_by_current_thread());
            assert_eq!(m.owner().map(|owner| format!("{} {}", owner.pid, owner.tid)), Some(id.clone()));
            assert!(matches!(m.try_lock(), Err(LockError::WouldBlock)));
            assert!(matches!(m.try_lock_for(Duration::ZERO), Err(LockError::TimedOut)));
            assert!(matches!(m.try_lock_for(short), Err(LockError::TimedOut)));
            assert!(matches!(m.try_lock_until(Instant::now() + short), Err(LockError::TimedOut)));
            workers[0].say("drop one");
            workers[0].expect("dropped");
        }
        drop((m.try_lock().unwrap(), m.try_lock().unwrap()));
        workers[0].say("end");
    }
);

in_threads_and_processes!(
    /// Waiters look up once a second by themselves. Were they not woken, the watchdog would end this.
    the_last_guard_wakes_the_sleeper,
    Lock<B> = lock_around(0),
    workers = 1,
    |m, me| {
        me.say(&tid().to_string());
        for _ in 0..100 {
            me.expect("go");
            add(&m.lock().unwrap());
            me.say("done");
        }
    },
    |m, workers| {
        let id = workers[0].hear().parse().unwrap();
        for _ in 0..100 {
            let guards = (m.lock().unwrap(), m.lock().unwrap());
            workers[0].say("go");
            wait_until_asleep_in_a_lock(id);
            drop(guards.0);
            wait_until_asleep_in_a_lock(id);
            drop(guards.1);
            workers[0].expect("done");
        }
        assert_eq!(m.lock().unwrap().load(Relaxed), 100);
    }
);

anywhere!(no_timed_wait_ends_early, Lock<B> = lock_around(0), |m| {
    let _guard = m.lock().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let time = Duration::from_millis(20);
            for _ in 0..10 {
                let started = Instant::now();
                assert!(matches!(m.try_lock_for(time), Err(LockError::TimedOut)));
                assert!(started.elapsed() >= time, "early, after {:?}", started.elapsed());
            }
        });
    });
});
