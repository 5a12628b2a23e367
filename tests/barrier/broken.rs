//! Rounds that are broken: by a death, by one that gives up, by a reset.

use super::*;
use crate::support::claims::{in_processes, in_threads_and_processes};
use crate::support::schedule::is_asleep;
use crate::support::state::{tid, wait_until_asleep_in_a_lock};

fn is_broken<R: std::fmt::Debug>(result: Result<R, Error>) -> bool {
    match result {
        Err(Error::BarrierBroken) => true,
        other => panic!("{other:?}"),
    }
}

in_processes!(
    a_participant_that_is_killed_waiting_breaks_it_for_the_others_at_once,
    Barrier<B, 4> = barrier(4),
    workers = 3,
    |b, me| {
        me.say(&tid().to_string());
        assert!(is_broken(if me.number == 1 { b.wait() } else { b.wait_timeout(LONG) }));
        assert!(b.is_broken());
        me.say("told");
        me.expect("again");
        b.wait().unwrap();
    },
    |b, workers| {
        for worker in workers.iter() {
            wait_until_asleep_in_a_lock(worker.hear().parse().unwrap());
        }
        workers.take_process().kill();
        workers.iter().for_each(|worker| worker.expect("told"));
        assert!(is_broken(b.wait()));
        b.reset().unwrap();
        assert_eq!((b.is_broken(), b.waiting()), (false, 0));
        workers.iter().for_each(|worker| worker.say("again"));
        std::thread::scope(|scope| {
            scope.spawn(|| b.wait().unwrap());
            b.wait().unwrap();
        });
    }
);

in_processes!(
    /// Nobody else is there to notice; who comes later doesn't take the dead for one that is there.
    one_that_died_waiting_alone_is_no_participant,
    Barrier<B, 2> = barrier(2),
    workers = 2,
    |b, me| {
        me.say(&tid().to_string());
        me.expect("go");
        _ = b.wait();
    },
    |b, workers| {
        for _ in 0..2 {
            let id = workers[0].hear().parse().unwrap();
            workers[0].say("go");
            wait_until_asleep_in_a_lock(id);
            assert!(!b.is_broken());
            workers.take_process().kill();
            assert!(b.is_broken());
            assert!(is_broken(b.wait()));
            assert!(is_broken(b.wait_timeout(Duration::ZERO)));
            b.reset().unwrap();
            assert!(!b.is_broken());
        }
    }
);

in_processes!(
    /// No one waits any more who could be told, and a reset is all it takes.
    a_reset_alone_buries_one_that_died_waiting,
    Barrier<B, 2> = barrier(2),
    workers = 1,
    |b, me| {
        me.say(&tid().to_string());
        _ = b.wait();
    },
    |b, workers| {
        wait_until_asleep_in_a_lock(workers[0].hear().parse().unwrap());
        workers.take_process().kill();
        b.reset().unwrap();
        assert_eq!((b.is_broken(), b.waiting()), (false, 0));
        std::thread::scope(|scope| {
            scope.spawn(|| b.wait().unwrap());
            b.wait().unwrap();
        });
    }
);

in_processes!(
    one_that_dies_after_a_round_breaks_nothing,
    Barrier<B, 3> = barrier(2),
    workers = 1,
    |b, me| {
        b.wait().unwrap();
        me.say("through");
        me.hear();
    },
    |b, workers| {
        b.wait().unwrap();
        workers[0].expect("through");
        workers.take_process().kill();
        assert!(!b.is_broken());
        std::thread::scope(|scope| {
            scope.spawn(|| b.wait().unwrap());
            b.wait().unwrap();
        });
    }
);

in_threads_and_processes!(
    one_that_gives_up_breaks_it_for_the_others,
    Barrier<B, 4> = barrier(4),
    workers = 2,
    |b, me| {
        me.say(&tid().to_string());
        assert!(is_broken(if me.number == 1 { b.wait() } else { b.wait_timeout(LONG) }));
        me.say("told");
    },
    |b, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        ids.iter().for_each(|id| wait_until_asleep_in_a_lock(*id));
        assert!(matches!(b.wait_timeout(Duration::from_millis(10)), Err(Error::TimedOut)));
        assert!(!ids.iter().any(|id| is_asleep(*id)), "left asleep at a broken barrier");
        workers.iter().for_each(|worker| worker.expect("told"));
        assert!(is_broken(b.wait()));
        assert!(b.is_broken());
    }
);

in_threads_and_processes!(
    a_reset_breaks_it_for_those_who_wait_and_for_nobody_else,
    Barrier<B, 4> = barrier(3),
    workers = 2,
    |b, me| {
        me.say(&tid().to_string());
        assert!(is_broken(b.wait()));
        me.say("told");
        me.say(&tid().to_string());
        b.wait().unwrap();
    },
    |b, workers| {
        for worker in workers.iter() {
            wait_until_asleep_in_a_lock(worker.hear().parse().unwrap());
        }
        b.reset().unwrap();
        for worker in workers.iter() {
            worker.expect("told");
            wait_until_asleep_in_a_lock(worker.hear().parse().unwrap());
        }
        assert!(!b.is_broken());
        assert_eq!(b.waiting(), 2);
        assert!(b.wait().unwrap().is_leader());
    }
);

in_threads_and_processes!(
    a_reset_of_a_whole_barrier_changes_nothing,
    Barrier<B, 2> = barrier(2),
    workers = 1,
    |b, me| {
        me.expect("go");
        (0..3).for_each(|_| _ = b.wait().unwrap())
    },
    |b, workers| {
        b.reset().unwrap();
        workers[0].say("go");
        for _ in 0..3 {
            b.wait().unwrap();
        }
        workers.finish();
        b.reset().unwrap();
        assert_eq!((b.is_broken(), b.waiting()), (false, 0));
    }
);

in_threads_and_processes!(
    /// Participants that give up, come back and reset, all at once: every wait comes to one of its ends.
    resets_and_time_limits_in_any_order_strand_nobody,
    Barrier<B, 5> = barrier(2),
    workers = 4,
    |b, me| {
        me.expect("go");
        for round in 0..300_u64 {
            let time = Duration::from_micros((round * 37 + me.number as u64 * 11) % 200);
            match b.wait_timeout(time) {
                Ok(_) | Err(Error::TimedOut) => {}
                Err(Error::BarrierBroken) => b.reset().unwrap(),
                Err(other) => panic!("{other}"),
            }
        }
    },
    |b, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        b.reset().unwrap();
        assert_eq!((b.is_broken(), b.waiting()), (false, 0));
    }
);

in_threads_and_processes!(
    /// In a cell by the kernel, outside of it by those who look once a second.
    a_thread_that_ends_while_it_waits_is_missed,
    Barrier<B, 2> = barrier(2),
    workers = 1,
    |b, me| {
        me.say(&tid().to_string());
        assert!(matches!(b.wait_timeout(Duration::from_millis(50)), Err(Error::TimedOut)));
    },
    |b, workers| {
        workers[0].hear();
        workers.finish();
        assert!(is_broken(b.wait()));
    }
);
