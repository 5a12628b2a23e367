//! Many at once: never more inside than there are permits, and afterwards all of them are there.

use std::hint;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pshared::ShmSafe;

use super::*;
use crate::support::claims::in_threads_and_processes;

const ROUNDS: usize = 1500;
const WORKERS: usize = 5;

#[repr(C)]
#[derive(ShmSafe)]
struct Room<B: Backend> {
    places: Permits<B, 2>,
    inside: AtomicUsize,
    visits: AtomicUsize,
}

impl<B: Backend> Room<B> {
    fn new() -> Self {
        Room { places: Permits::new(), inside: AtomicUsize::new(0), visits: AtomicUsize::new(0) }
    }

    fn visit(&self, round: usize) {
        assert!(self.inside.fetch_add(1, Ordering::Relaxed) < 2, "more are inside than may be");
        if round.is_multiple_of(64) {
            thread::yield_now();
        }
        (0..round % 16).for_each(|_| hint::spin_loop());
        self.inside.fetch_sub(1, Ordering::Relaxed);
        self.visits.fetch_add(1, Ordering::Relaxed);
    }
}

in_threads_and_processes!(
    no_more_are_inside_than_there_are_permits_and_none_is_lost,
    Room<B> = Room::new(),
    workers = WORKERS,
    |room, me| {
        me.expect("go");
        for round in 0..ROUNDS {
            // Impatient ones give up many times over; what counts is that they leave nothing behind.
            loop {
                let permit = match (round + me.number) % 4 {
                    0 => room.places.acquire(),
                    1 => room.places.try_acquire(),
                    2 => room.places.acquire_timeout(Duration::from_micros(round as u64 % 50)),
                    _ => room.places.acquire_until(Instant::now() + Duration::from_micros(round as u64 % 50)),
                };
                match permit {
                    Ok(_permit) => break room.visit(round),
                    Err(Error::WouldBlock) => thread::yield_now(),
                    Err(Error::TimedOut) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }
    },
    |room, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        assert_eq!(room.visits.load(Ordering::Relaxed), ROUNDS * WORKERS);
        assert_eq!(room.places.available(), 2);
    }
);

in_threads_and_processes!(
    /// Each holds one while it waits for another: with one permit more than workers, somebody always gets it.
    one_permit_more_than_workers_keeps_them_going_with_two_each,
    Permits<B, 4> = Permits::new(),
    workers = 3,
    |p, me| {
        me.expect("go");
        for _ in 0..ROUNDS {
            let first = p.acquire().unwrap();
            let second = p.acquire().unwrap();
            drop((first, second));
        }
    },
    |p, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        assert_eq!(p.available(), 4);
    }
);
