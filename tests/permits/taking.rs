//! Taking permits that are free, that others have, or that this thread has.

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};
use crate::support::state::{tid, wait_until_asleep_in_a_lock};

/// More than the watchdog has seconds.
const HAND_OVERS: u64 = 100;

anywhere!(a_permit_is_free_again_after_its_guard, Permits<B, 3> = Permits::new(), |p| {
    for (name, way) in every_way() {
        assert_eq!((p.available(), p.capacity()), (3, 3), "{name}");
        let first = way(p).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(p.available(), 2, "{name}");
        let second = way(p).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(p.available(), 1, "{name}");
        drop(first);
        assert_eq!(p.available(), 2, "{name}");
        drop(second);
    }
    assert_eq!(p.available(), 3);
});

anywhere!(who_has_them_all_and_would_wait_for_itself_is_told, Permits<B, 2> = Permits::new(), |p| {
    let all = [p.acquire().unwrap(), p.acquire().unwrap()];
    for (name, way) in every_way() {
        match way(p) {
            Err(Error::WouldBlock) => assert_eq!(name, "try_acquire"),
            Err(Error::WouldDeadlock) => assert_ne!(name, "try_acquire"),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!(p.available(), 0);
    drop(all);
    assert_eq!(p.available(), 2);
});

anywhere!(permits_are_given_back_in_any_order, Permits<B, 12> = Permits::new(), |p| {
    // Forwards, backwards, and from the middle; more than a thread keeps in the first part of its record.
    let orders: [fn(usize) -> usize; 3] = [|i| i, |i| 11 - i, |i| (i * 5 + 3) % 12];
    for order in orders {
        let mut held: Vec<_> = (0..12).map(|_| Some(p.acquire().unwrap())).collect();
        assert!(matches!(p.try_acquire(), Err(Error::WouldBlock)));
        for i in 0..12 {
            held[order(i)] = None;
            assert_eq!(p.available(), i + 1);
        }
    }
});

anywhere!(
    /// Some stay free beyond those that the kernel lets a thread sleep on.
    there_may_be_many, Permits<B, 300> = Permits::new(), |p| {
    let held: Vec<_> = (0..300).map(|_| p.try_acquire().unwrap()).collect();
    assert!(matches!(p.try_acquire(), Err(Error::WouldBlock)));
    assert_eq!(p.available(), 0);
    drop(held);
    assert_eq!(p.available(), 300);
});

in_threads_and_processes!(
    permits_that_others_have_are_refused,
    Permits<B, 2> = Permits::new(),
    workers = 1,
    |p, me| {
        let _first = p.acquire().unwrap();
        let second = p.acquire().unwrap();
        me.say("held");
        me.expect("let go");
        drop(second);
        me.say("one free");
        me.expect("end");
    },
    |p, workers| {
        workers[0].expect("held");
        let short = Duration::from_millis(20);
        assert!(matches!(p.try_acquire(), Err(Error::WouldBlock)));
        assert!(matches!(p.acquire_timeout(Duration::ZERO), Err(Error::TimedOut)));
        assert!(matches!(p.acquire_until(past()), Err(Error::TimedOut)));
        assert!(matches!(p.acquire_timeout(short), Err(Error::TimedOut)));
        assert!(matches!(p.acquire_until(Instant::now() + short), Err(Error::TimedOut)));
        assert_eq!(p.available(), 0);
        workers[0].say("let go");
        workers[0].expect("one free");
        for (name, way) in every_way() {
            drop(way(p).unwrap_or_else(|e| panic!("{name}: {e}")));
        }
        workers[0].say("end");
    }
);

in_threads_and_processes!(
    every_blocked_waiter_is_woken,
    Permits<B, 2> = Permits::new(),
    workers = 4,
    |p, me| {
        me.say(&tid().to_string());
        me.expect("go");
        let permit = match me.number {
            0 | 3 => p.acquire(),
            1 => p.acquire_timeout(Duration::MAX),
            _ => p.acquire_until(Instant::now() + LONG),
        };
        drop(permit.unwrap());
    },
    |p, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        let held = [p.acquire().unwrap(), p.acquire().unwrap()];
        for (worker, id) in workers.iter().zip(ids) {
            worker.say("go");
            wait_until_asleep_in_a_lock(id);
        }
        drop(held);
        workers.finish();
        assert_eq!(p.available(), 2);
    }
);

in_threads_and_processes!(
    /// Waiters look up once a second by themselves. Were they not woken, the watchdog would end this.
    each_release_wakes_the_sleeper,
    Permits<B, 2> = Permits::new(),
    workers = 1,
    |p, me| {
        me.say(&tid().to_string());
        for _ in 0..HAND_OVERS {
            me.expect("go");
            drop(p.acquire().unwrap());
            me.say("done");
        }
    },
    |p, workers| {
        let id = workers[0].hear().parse().unwrap();
        let _kept = p.acquire().unwrap();
        for _ in 0..HAND_OVERS {
            let held = p.acquire().unwrap();
            workers[0].say("go");
            wait_until_asleep_in_a_lock(id);
            drop(held);
            workers[0].expect("done");
        }
    }
);

in_threads_and_processes!(
    /// More permits than a sleeper can sleep on: the last one given back is one of those beyond.
    each_release_of_many_is_noticed,
    Permits<B, 150> = Permits::new(),
    workers = 1,
    |p, me| {
        me.say(&tid().to_string());
        for _ in 0..150 {
            me.expect("go");
            drop(p.acquire().unwrap());
            me.say("done");
        }
    },
    |p, workers| {
        let id = workers[0].hear().parse().unwrap();
        let mut held: Vec<_> = (0..150).map(|_| p.acquire().unwrap()).collect();
        for at in 0..150 {
            workers[0].say("go");
            wait_until_asleep_in_a_lock(id);
            drop(held.remove(at));
            workers[0].expect("done");
            held.insert(at, p.acquire().unwrap());
        }
    }
);
