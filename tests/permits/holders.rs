//! E4: the permit of a holder that ends, in whatever way, comes back.

use std::process::exit;

use super::*;
use crate::support::claims::{eventually, in_processes, in_threads_and_processes};
use crate::support::state::{tid, wait_until, wait_until_asleep_in_a_lock};

in_threads_and_processes!(
    /// Of the permits outside of a cell this is found out by who waits.
    e4_who_ends_with_a_forgotten_permit_leaves_it_to_the_next,
    Permits<B, 2> = Permits::new(),
    workers = 1,
    |p, me| {
        p.acquire().unwrap().forget();
        p.acquire().unwrap().forget();
        assert_eq!(p.available(), 0);
        me.say("held");
        me.expect("end");
    },
    |p, workers| {
        workers[0].expect("held");
        assert!(matches!(p.try_acquire(), Err(Error::WouldBlock)), "forgotten, not given back");
        workers[0].say("end");
        workers.finish();
        let both = [p.acquire().unwrap(), p.acquire().unwrap()];
        assert!(matches!(p.try_acquire(), Err(Error::WouldBlock)));
        drop(both);
        assert_eq!(p.available(), 2);
    }
);

in_processes!(
    e4_the_permits_of_a_killed_holder_are_free_at_once,
    Permits<B, 3> = Permits::new(),
    workers = 2,
    |p, me| {
        let _one = p.acquire().unwrap();
        let _another = (me.number == 0).then(|| p.acquire().unwrap());
        me.say("held");
        me.hear();
    },
    |p, workers| {
        workers.iter().for_each(|worker| worker.expect("held"));
        assert_eq!(p.available(), 0);
        workers.take_process().kill();
        assert_eq!(p.available(), 2);
        let mut had = Vec::new();
        eventually::<B>("two can be had", || {
            had.extend(p.try_acquire());
            had.extend(p.try_acquire());
            had.len() == 2
        });
        assert!(p.try_acquire().is_err(), "one too many");
        had.clear();
        workers.take_process().kill();
        assert_eq!(p.available(), 3);
        eventually::<B>("all can be had", || {
            (0..3).for_each(|_| had.extend(p.try_acquire()));
            had.len() == 3
        });
    }
);

in_processes!(
    e4_every_waiter_gets_one_of_those_that_the_dead_had,
    Permits<B, 2> = Permits::new(),
    workers = 4,
    |p, me| {
        if me.number == 0 {
            p.acquire().unwrap().forget();
            p.acquire().unwrap().forget();
            me.say("held");
            me.hear();
        }
        me.say(&tid().to_string());
        me.expect("go");
        let permit = if me.number == 1 { p.acquire() } else { p.acquire_timeout(LONG) };
        drop(permit.unwrap());
    },
    |p, workers| {
        workers[0].expect("held");
        for worker in &workers[1..] {
            let id = worker.hear().parse().unwrap();
            worker.say("go");
            wait_until_asleep_in_a_lock(id);
        }
        workers.take_process().kill();
        workers.finish();
        assert_eq!(p.available(), 2);
    }
);

in_processes!(
    /// The last slot is one that a sleeper can't sleep on.
    e4_a_death_among_many_is_noticed,
    Permits<B, 150> = Permits::new(),
    workers = 2,
    |p, me| {
        if me.number == 0 {
            (0..150).for_each(|_| p.acquire().unwrap().forget());
            me.say("held");
            me.hear();
        }
        me.say(&tid().to_string());
        me.expect("go");
        let held: Vec<_> = (0..150).map(|_| p.acquire().unwrap()).collect();
        drop(held);
    },
    |p, workers| {
        workers[0].expect("held");
        let id = workers[1].hear().parse().unwrap();
        workers[1].say("go");
        wait_until_asleep_in_a_lock(id);
        workers.take_process().kill();
        workers.finish();
        assert_eq!(p.available(), 150);
    }
);

in_processes!(
    every_way_to_end_gives_the_permit_back,
    Permits<B, 1> = Permits::new(),
    workers = 4,
    |p, me| {
        me.expect("go");
        let _permit = p.try_acquire().unwrap();
        match me.number {
            0 => exit(3),
            1 => std::process::abort(),
            2 => {
                std::panic::set_hook(Box::new(|_| std::process::abort()));
                panic!("with the permit");
            }
            _ => {
                // SAFETY: ends the process without running anything.
                unsafe { libc::_exit(4) }
            }
        }
    },
    |p, workers| {
        for _ in 0..4 {
            workers[0].say("go");
            assert!(!workers.take_process().wait().success());
            assert_eq!(p.available(), 1);
        }
    }
);

in_threads_and_processes!(
    a_panic_gives_the_permit_back,
    Permits<B, 1> = Permits::new(),
    workers = 1,
    |p, _| {
        let panicked = std::panic::catch_unwind(|| {
            let _permit = p.acquire().unwrap();
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        assert!(panicked.is_err());
        assert_eq!(p.available(), 1);
    },
    |p, workers| {
        workers.finish();
        drop(p.try_acquire().unwrap());
    }
);

in_threads_and_processes!(
    a_forgotten_permit_is_this_threads_until_it_ends,
    Permits<B, 1> = Permits::new(),
    workers = 1,
    |p, me| {
        p.acquire().unwrap().forget();
        assert!(matches!(p.acquire(), Err(Error::WouldDeadlock)));
        me.say("forgotten");
        me.expect("end");
    },
    |p, workers| {
        workers[0].expect("forgotten");
        assert!(matches!(p.acquire_timeout(Duration::from_millis(20)), Err(Error::TimedOut)));
        workers[0].say("end");
        workers.finish();
        wait_until("somebody who only tries gets it too", || p.try_acquire().is_ok());
    }
);
