//! Many at once: no permit is lost, none is minted, nobody is left asleep.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use pshared::ShmSafe;

use super::*;
use crate::support::claims::in_threads_and_processes;
use crate::support::state::{tid, wait_until, wait_until_asleep_in_a_lock};

const ROUNDS: u64 = 2000;
const WORKERS: usize = 4;

#[repr(C)]
#[derive(ShmSafe)]
struct Room<B: Backend> {
    permits: Semaphore<B>,
    inside: AtomicU64,
    most: AtomicU64,
    total: AtomicU64,
}

impl<B: Backend> Room<B> {
    fn new(permits: Semaphore<B>) -> Self {
        Room { permits, inside: AtomicU64::new(0), most: AtomicU64::new(0), total: AtomicU64::new(0) }
    }

    /// What somebody does who has a permit.
    fn stay(&self, round: u64) {
        let inside = self.inside.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(inside, Ordering::Relaxed);
        let seen = self.total.load(Ordering::Relaxed);
        if round.is_multiple_of(64) {
            thread::yield_now();
        }
        self.total.store(seen + 1, Ordering::Relaxed); // loses what two add at once
        self.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

in_threads_and_processes!(
    one_permit_is_mutual_exclusion,
    Room<B> = Room::new(Semaphore::binary(true)),
    workers = WORKERS,
    |room, me| {
        me.expect("go");
        for round in 0..ROUNDS {
            room.permits.wait().unwrap();
            room.stay(round);
            room.permits.post().unwrap();
        }
    },
    |room, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        assert_eq!(room.total.load(Ordering::Relaxed), ROUNDS * WORKERS as u64);
        assert_eq!((room.most.load(Ordering::Relaxed), room.permits.value()), (1, 1));
    }
);

in_threads_and_processes!(
    no_more_are_inside_than_there_are_permits_however_they_are_taken,
    Room<B> = Room::new(Semaphore::counting_with_max(2, 2).unwrap()),
    workers = WORKERS,
    |room, me| {
        me.expect("go");
        for round in 0..ROUNDS {
            loop {
                let taken = match (round as usize + me.number) % 4 {
                    0 => room.permits.wait(),
                    1 => room.permits.try_wait(),
                    2 => room.permits.wait_timeout(Duration::from_micros(round % 50)),
                    _ => room.permits.wait_until(Instant::now() + Duration::from_micros(round % 50)),
                };
                match taken {
                    Ok(()) => break room.stay(round),
                    Err(Error::WouldBlock) => thread::yield_now(),
                    Err(Error::TimedOut) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            room.permits.post().unwrap(); // above the maximum if one was minted
        }
    },
    |room, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        assert!(room.most.load(Ordering::Relaxed) <= 2);
        assert_eq!(room.permits.value(), 2);
    }
);

in_threads_and_processes!(
    as_many_are_taken_as_are_posted,
    Room<B> = Room::new(counting(0)),
    workers = WORKERS,
    |room, me| {
        me.expect("go");
        for round in 0..ROUNDS {
            match me.number {
                0 => room.permits.post().unwrap(),
                1 if round % 3 == 0 => room.permits.post_many(3.min((ROUNDS - round) as u32)).unwrap(),
                1 => {}
                _ => {
                    room.permits.wait().unwrap();
                    room.total.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    },
    |room, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        assert_eq!((room.total.load(Ordering::Relaxed), room.permits.value()), (2 * ROUNDS, 0));
    }
);

in_threads_and_processes!(
    /// Nobody can pass the maximum by posting at the same time as another, waiters or not.
    posts_at_once_never_pass_the_maximum,
    Room<B> = Room::new(Semaphore::counting_with_max(0, 3).unwrap()),
    workers = WORKERS,
    |room, me| {
        me.expect("go");
        let mut posted = 0;
        for round in 0..ROUNDS {
            match me.number {
                0 => {
                    // It may find none: those who post are done before.
                    if room.permits.wait_timeout(Duration::from_micros(200)).is_ok() {
                        room.inside.fetch_add(1, Ordering::Relaxed);
                    }
                }
                _ => posted += u64::from(room.permits.post_many(1 + (round % 2) as u32).is_ok()) * (1 + round % 2),
            }
            assert!(room.permits.value() <= 3);
        }
        room.total.fetch_add(posted, Ordering::Relaxed);
    },
    |room, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        let taken = room.inside.load(Ordering::Relaxed);
        assert_eq!(taken + u64::from(room.permits.value()), room.total.load(Ordering::Relaxed));
    }
);

in_threads_and_processes!(
    /// All of them sleep, and none is left asleep.
    permits_posted_at_once_wake_as_many,
    Room<B> = Room::new(counting(0)),
    workers = WORKERS,
    |room, me| {
        me.say(&tid().to_string());
        for round in 0..20 {
            me.expect("wait");
            room.permits.wait().unwrap();
            room.stay(round);
            me.say("passed");
        }
    },
    |room, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        for round in 0..20 {
            for (worker, id) in workers.iter().zip(&ids) {
                worker.say("wait");
                wait_until_asleep_in_a_lock(*id);
            }
            if round % 2 == 0 {
                room.permits.post_many(WORKERS as u32).unwrap();
            } else {
                room.permits.post_many(WORKERS as u32 - 1).unwrap();
                wait_until("all but one have passed", || {
                    room.permits.value() == 0 && room.inside.load(Ordering::Relaxed) == 0
                });
                room.permits.post().unwrap();
            }
            workers.iter().for_each(|worker| worker.expect("passed"));
            assert_eq!(room.permits.value(), 0);
        }
    }
);

in_threads_and_processes!(
    /// Far more than one call of the kernel's can count.
    thousands_of_permits_posted_at_once_wake_everybody,
    Room<B> = Room::new(counting(0)),
    workers = WORKERS,
    |room, me| {
        me.say(&tid().to_string());
        me.expect("wait");
        room.permits.wait().unwrap();
    },
    |room, workers| {
        for worker in workers.iter() {
            let id: u32 = worker.hear().parse().unwrap();
            worker.say("wait");
            wait_until_asleep_in_a_lock(id);
        }
        room.permits.post_many(100_000).unwrap();
        workers.finish();
        assert_eq!(room.permits.value(), 100_000 - WORKERS as u32);
    }
);

#[repr(C)]
#[derive(ShmSafe)]
struct Court<B: Backend> {
    sides: [Semaphore<B>; 2],
    ball: AtomicU64,
}

in_threads_and_processes!(
    /// What was done before a post is seen after the wait, on either side.
    a_post_hands_over_what_was_written_before,
    Court<B> = Court { sides: [counting(0), counting(0)], ball: AtomicU64::new(0) },
    workers = 2,
    |court, me| {
        for round in 0..ROUNDS {
            court.sides[me.number].wait().unwrap();
            assert_eq!(court.ball.load(Ordering::Relaxed), 2 * round + me.number as u64);
            court.ball.store(2 * round + me.number as u64 + 1, Ordering::Relaxed);
            court.sides[1 - me.number].post().unwrap();
        }
    },
    |court, workers| {
        court.sides[0].post().unwrap();
        workers.finish();
        assert_eq!((court.sides[0].value(), court.ball.load(Ordering::Relaxed)), (1, 2 * ROUNDS));
    }
);
