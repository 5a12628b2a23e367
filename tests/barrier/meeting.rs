//! Rounds in which everybody comes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pshared::ShmSafe;

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};
use crate::support::state::{tid, wait_until_asleep_in_a_lock};

const ROUNDS: usize = 500;

anywhere!(one_alone_is_let_through_and_leads, Barrier<B, 2> = barrier(1), |b| {
    for _ in 0..10 {
        assert!(b.wait().unwrap().is_leader());
        assert!(b.wait_timeout(Duration::ZERO).unwrap().is_leader());
        assert!(b.wait_until(Instant::now()).unwrap().is_leader());
    }
    assert_eq!((b.waiting(), b.participants(), b.is_broken()), (0, 1, false));
});

in_threads_and_processes!(
    nobody_goes_on_before_all_have_come_and_one_of_them_leads,
    Barrier<B, 4> = barrier(4),
    workers = 3,
    |b, me| {
        me.say(&tid().to_string());
        let leads = match me.number {
            0 => b.wait(),
            1 => b.wait_timeout(LONG),
            _ => b.wait_until(Instant::now() + LONG),
        };
        me.say(&leads.unwrap().is_leader().to_string());
    },
    |b, workers| {
        for worker in workers.iter() {
            wait_until_asleep_in_a_lock(worker.hear().parse().unwrap());
        }
        assert_eq!(b.waiting(), 3);
        let mut leaders = usize::from(b.wait().unwrap().is_leader());
        for worker in workers.iter() {
            leaders += usize::from(worker.hear() == "true");
        }
        assert_eq!(leaders, 1);
        assert_eq!(b.waiting(), 0);
    }
);

in_threads_and_processes!(
    /// Sleepers look up once a second by themselves. Were they not woken, the watchdog would end this.
    each_round_that_is_completed_wakes_the_sleepers,
    Barrier<B, 2> = barrier(2),
    workers = 1,
    |b, me| {
        me.say(&tid().to_string());
        for _ in 0..100 {
            me.expect("go");
            b.wait().unwrap();
            me.say("through");
        }
    },
    |b, workers| {
        let id = workers[0].hear().parse().unwrap();
        for _ in 0..100 {
            workers[0].say("go");
            wait_until_asleep_in_a_lock(id);
            b.wait().unwrap();
            workers[0].expect("through");
        }
    }
);

/// A barrier, and what its participants count.
#[repr(C)]
#[derive(ShmSafe)]
struct Rounds<B: Backend, const N: usize = 6> {
    barrier: Barrier<B, N>,
    steps: AtomicUsize,
    leaders: AtomicUsize,
}

impl<B: Backend, const N: usize> Rounds<B, N> {
    fn new(participants: usize) -> Self {
        Rounds { barrier: barrier(participants), steps: AtomicUsize::new(0), leaders: AtomicUsize::new(0) }
    }

    fn wait(&self, patience: Option<Duration>) {
        let met = patience.map_or_else(|| self.barrier.wait(), |time| self.barrier.wait_timeout(time));
        self.leaders.fetch_add(usize::from(met.unwrap().is_leader()), Ordering::Relaxed);
    }

    /// Waits in turn with others of two, as often as they do it together, so that nobody is left alone at the end.
    fn wait_by_turns(&self) {
        while self.steps.fetch_add(1, Ordering::Relaxed) < 2 * ROUNDS {
            self.wait(None);
        }
    }
}

in_threads_and_processes!(
    /// Fast ones are in the next round while slow ones leave the last.
    round_follows_round_and_nobody_gets_ahead,
    Rounds<B> = Rounds::new(4),
    workers = 4,
    |rounds, me| {
        for round in 0..ROUNDS {
            rounds.steps.fetch_add(1, Ordering::Relaxed);
            rounds.wait((round % 3 == me.number).then_some(LONG));
            let steps = rounds.steps.load(Ordering::Relaxed);
            assert!((4 * (round + 1)..=4 * (round + 2)).contains(&steps), "{steps} steps before the end of round {round}");
            if (round + me.number).is_multiple_of(16) {
                thread::yield_now();
            }
            rounds.wait(None);
        }
    },
    |rounds, workers| {
        workers.finish();
        assert_eq!(rounds.steps.load(Ordering::Relaxed), 4 * ROUNDS);
        assert_eq!(rounds.leaders.load(Ordering::Relaxed), 2 * ROUNDS);
        assert_eq!(rounds.barrier.waiting(), 0);
    }
);

in_threads_and_processes!(
    /// Six go through a barrier for two, as they come: half as many rounds as waits.
    more_may_take_turns_than_take_part_in_a_round,
    Rounds<B> = Rounds::new(2),
    workers = 6,
    |rounds, me| {
        me.expect("go");
        rounds.wait_by_turns();
        me.say("through");
    },
    |rounds, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.iter().for_each(|worker| worker.expect("through"));
        assert_eq!(rounds.leaders.load(Ordering::Relaxed), ROUNDS);
    }
);

in_threads_and_processes!(
    /// All places may be taken by some that are about to leave; who comes then waits for one.
    more_may_come_than_there_is_room_for,
    Rounds<B, 2> = Rounds::new(2),
    workers = 4,
    |rounds, me| {
        me.expect("go");
        rounds.wait_by_turns();
    },
    |rounds, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        assert_eq!(rounds.leaders.load(Ordering::Relaxed), ROUNDS);
    }
);

in_threads_and_processes!(
    /// More places than a sleeper can sleep on.
    there_may_be_room_for_many,
    Barrier<B, 200> = barrier(3),
    workers = 3,
    |b, _| { (0..20).for_each(|_| _ = b.wait().unwrap()) },
    |b, workers| {
        workers.finish();
        assert_eq!(b.waiting(), 0);
    }
);

in_threads_and_processes!(
    what_was_done_before_is_seen_after,
    Rounds<B> = Rounds::new(2),
    workers = 2,
    |rounds, me| {
        // Plain stores in effect: nothing but the barrier orders them.
        for round in 0..ROUNDS {
            if round % 2 == me.number {
                rounds.steps.store(round, Ordering::Relaxed);
            }
            rounds.wait(None);
            assert_eq!(rounds.steps.load(Ordering::Relaxed), round);
            rounds.wait(None);
        }
    },
    |_, workers| { workers.finish() }
);
