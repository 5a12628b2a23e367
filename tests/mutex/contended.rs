//! Many at once: nobody is inside with another, and nobody's change is lost.

use std::hint;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use pshared::{LockError, ShmSafe};

use super::*;
use crate::support::claims::in_threads_and_processes;

const ROUNDS: u64 = 2000;
const WORKERS: usize = 4;

/// A sum that loses what two add at once, and a count of those inside.
#[repr(C)]
#[derive(ShmSafe)]
struct Sum<B: Backend> {
    total: Mutex<u64, B>,
    inside: AtomicU64,
}

impl<B: Backend> Sum<B> {
    fn new() -> Self {
        Sum { total: Mutex::new(0), inside: AtomicU64::new(0) }
    }

    /// Adds one in two steps, with time between them.
    fn add(&self, total: &mut u64, round: u64) {
        assert_eq!(self.inside.fetch_add(1, Ordering::Relaxed), 0, "somebody else is inside");
        let seen = *total;
        if round.is_multiple_of(64) {
            thread::yield_now();
        }
        for _ in 0..round % 16 {
            hint::spin_loop();
        }
        *total = seen + 1;
        self.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

in_threads_and_processes!(
    no_increment_is_lost,
    Sum<B> = Sum::new(),
    workers = WORKERS,
    |sum, me| {
        me.expect("go");
        for round in 0..ROUNDS {
            sum.add(&mut sum.total.lock().unwrap(), round);
        }
    },
    |sum, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        assert_eq!(*sum.total.lock().unwrap(), ROUNDS * WORKERS as u64);
    }
);

in_threads_and_processes!(
    no_increment_is_lost_however_the_lock_is_taken,
    Sum<B> = Sum::new(),
    workers = WORKERS,
    |sum, me| {
        me.expect("go");
        for round in 0..ROUNDS {
            // Impatient ones give up many times over; what counts is that they leave nothing behind.
            loop {
                let taken = match (round as usize + me.number) % 4 {
                    0 => sum.total.lock(),
                    1 => sum.total.try_lock(),
                    2 => sum.total.try_lock_for(Duration::from_micros(round % 50)),
                    _ => sum.total.try_lock_until(Instant::now() + Duration::from_micros(round % 50)),
                };
                match taken {
                    Ok(mut total) => break sum.add(&mut total, round),
                    Err(LockError::WouldBlock) => thread::yield_now(),
                    Err(LockError::TimedOut) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }
    },
    |sum, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        assert_eq!(*sum.total.lock().unwrap(), ROUNDS * WORKERS as u64);
    }
);

in_threads_and_processes!(
    /// Each takes two locks, in the same order, and releases them in either.
    nested_locks_exclude_each_for_itself,
    [Sum<B>; 2] = [Sum::new(), Sum::new()],
    workers = 3,
    |both, me| {
        me.expect("go");
        for round in 0..ROUNDS {
            let mut first = both[0].total.lock().unwrap();
            let mut second = both[1].total.lock().unwrap();
            both[0].add(&mut first, round);
            both[1].add(&mut second, round);
            if round.is_multiple_of(2) {
                drop(first);
            } else {
                drop(second);
            }
        }
    },
    |both, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        assert_eq!([*both[0].total.lock().unwrap(), *both[1].total.lock().unwrap()], [ROUNDS * 3; 2]);
    }
);
