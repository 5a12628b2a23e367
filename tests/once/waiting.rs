//! Waiting: for one that is at it, for one that hasn't come yet, and for a time only.

use super::*;
use crate::support::claims::in_threads_and_processes;
use crate::support::state::{tid, wait_until_asleep_in_a_lock};

type Many<B> = [Once<B>; HAND_OVERS];

in_threads_and_processes!(
    /// Waiters look up once a second by themselves. Were they not woken, the watchdog would end this.
    who_calls_it_meanwhile_is_woken_when_it_is_done,
    Many<B> = [const { Once::new() }; HAND_OVERS],
    workers = 2,
    |many, me| {
        me.say(&tid().to_string());
        for once in many {
            me.expect("go");
            once.call_once(|| panic!("twice")).unwrap();
            me.say("done");
        }
    },
    |many, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        for once in many {
            once.call_once(|| {
                for (worker, id) in workers.iter().zip(&ids) {
                    worker.say("go");
                    wait_until_asleep_in_a_lock(*id);
                }
            })
            .unwrap();
            workers.iter().for_each(|worker| worker.expect("done"));
        }
    }
);

in_threads_and_processes!(
    who_waits_before_anybody_comes_is_woken_when_it_is_done,
    Many<B> = [const { Once::new() }; HAND_OVERS],
    workers = 2,
    |many, me| {
        me.say(&tid().to_string());
        for once in many {
            me.expect("go");
            match me.number {
                0 => once.wait(),
                _ => once.wait_timeout(LONG),
            }
            .unwrap();
            assert!(once.is_completed());
            me.say("done");
        }
    },
    |many, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        for once in many {
            for (worker, id) in workers.iter().zip(&ids) {
                worker.say("go");
                wait_until_asleep_in_a_lock(*id);
            }
            once.call_once(|| {}).unwrap();
            workers.iter().for_each(|worker| worker.expect("done"));
        }
    }
);

in_threads_and_processes!(
    a_panic_ends_every_wait,
    Many<B> = [const { Once::new() }; HAND_OVERS],
    workers = 3,
    |many, me| {
        me.say(&tid().to_string());
        for once in many {
            me.expect("go");
            let ended = match me.number {
                0 => once.wait(),
                1 => once.wait_until(Instant::now() + LONG),
                _ => once.call_once(|| panic!("not to be run")),
            };
            assert_eq!(ended, Err(Error::InitPanicked));
            me.say("done");
        }
    },
    |many, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        for once in many {
            panicking(|| {
                let _ = once.call_once(|| {
                    for (worker, id) in workers.iter().zip(&ids) {
                        worker.say("go");
                        wait_until_asleep_in_a_lock(*id);
                    }
                    panic_quietly();
                });
            });
            workers.iter().for_each(|worker| worker.expect("done"));
        }
    }
);

in_threads_and_processes!(
    /// T1 of the list of hazards.
    no_timed_wait_ends_early,
    Once<B> = Once::new(),
    workers = 1,
    |once, me| {
        once.call_once(|| {
            me.say("begun");
            me.expect("end");
        })
        .unwrap();
    },
    |once, workers| {
        let time = Duration::from_millis(20);
        for round in 0..50 {
            if round == 25 {
                workers[0].expect("begun");
            }
            let started = Instant::now();
            let ended = if round % 2 == 0 { once.wait_timeout(time) } else { once.wait_until(started + time) };
            assert_eq!(ended, Err(Error::TimedOut));
            assert!(started.elapsed() >= time, "round {round}: early, after {:?}", started.elapsed());
        }
        assert_eq!(once.wait_timeout(Duration::ZERO), Err(Error::TimedOut));
        assert_eq!(once.wait_until(past()), Err(Error::TimedOut));
        workers[0].say("end");
        once.wait_timeout(Duration::MAX).unwrap();
        once.wait_timeout(Duration::ZERO).unwrap();
        once.wait_until(past()).unwrap();
    }
);
