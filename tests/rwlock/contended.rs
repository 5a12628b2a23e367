//! Many at once: a writer is alone inside, and nobody's change is lost.

use std::hint;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use pshared::{LockError, ShmSafe};

use super::*;
use crate::support::claims::in_threads_and_processes;

const ROUNDS: u64 = 2000;
const WORKERS: usize = 4;

/// Two numbers that are equal whenever nobody writes, and a count of those inside: readers up, a writer at -1.
#[repr(C)]
#[derive(ShmSafe)]
struct Pair<B: Backend> {
    numbers: RwLock<[u64; 2], B>,
    inside: AtomicI64,
}

impl<B: Backend> Pair<B> {
    fn new() -> Self {
        Pair { numbers: RwLock::new([0; 2]), inside: AtomicI64::new(0) }
    }

    fn pause(round: u64) {
        if round.is_multiple_of(64) {
            thread::yield_now();
        }
        (0..round % 16).for_each(|_| hint::spin_loop());
    }

    fn write(&self, numbers: &mut [u64; 2], round: u64) {
        assert_eq!(self.inside.swap(-1, Ordering::SeqCst), 0, "a writer beside somebody");
        numbers[0] += 1;
        Self::pause(round);
        numbers[1] += 1;
        assert_eq!(self.inside.swap(0, Ordering::SeqCst), -1, "somebody beside a writer");
    }

    fn read(&self, numbers: &[u64; 2], round: u64) {
        assert!(self.inside.fetch_add(1, Ordering::SeqCst) >= 0, "a reader beside a writer");
        let first = numbers[0];
        Self::pause(round);
        assert_eq!(first, numbers[1]);
        assert!(self.inside.fetch_sub(1, Ordering::SeqCst) > 0, "a writer beside a reader");
    }
}

in_threads_and_processes!(
    a_writer_is_alone_and_no_increment_is_lost,
    Pair<B> = Pair::new(),
    workers = WORKERS,
    |pair, me| {
        me.expect("go");
        for round in 0..ROUNDS {
            if (round + me.number as u64).is_multiple_of(4) {
                pair.write(&mut pair.numbers.write().unwrap(), round);
            } else {
                pair.read(&pair.numbers.read().unwrap(), round);
            }
        }
    },
    |pair, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        assert_eq!(*pair.numbers.read().unwrap(), [ROUNDS / 4 * WORKERS as u64; 2]);
        assert!(!pair.numbers.is_locked());
    }
);

in_threads_and_processes!(
    /// Impatient ones give up many times over; what counts is that they leave nothing behind.
    no_increment_is_lost_however_the_lock_is_taken,
    Pair<B> = Pair::new(),
    workers = WORKERS,
    |pair, me| {
        me.expect("go");
        for round in 0..ROUNDS {
            let lock = &pair.numbers;
            let time = Duration::from_micros(round % 50);
            loop {
                let done = match (round as usize + me.number) % 8 {
                    0 => lock.write().map(|mut n| pair.write(&mut n, round)).map_err(|e| e.map(drop)),
                    1 => lock.try_write().map(|mut n| pair.write(&mut n, round)).map_err(|e| e.map(drop)),
                    2 => lock.try_write_for(time).map(|mut n| pair.write(&mut n, round)).map_err(|e| e.map(drop)),
                    3 => lock.try_read_for(time).map(|n| pair.read(&n, round)).map_err(|e| e.map(drop)),
                    4 => lock.try_read().map(|n| pair.read(&n, round)).map_err(|e| e.map(drop)),
                    5 => lock.try_read_until(Instant::now() + time).map(|n| pair.read(&n, round)).map_err(|e| e.map(drop)),
                    _ => lock.read().map(|n| pair.read(&n, round)).map_err(|e| e.map(drop)),
                };
                match done {
                    Ok(()) => break,
                    Err(LockError::WouldBlock) => thread::yield_now(),
                    Err(LockError::TimedOut) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }
    },
    |pair, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        assert_eq!(*pair.numbers.read().unwrap(), [3 * ROUNDS / 8 * WORKERS as u64; 2]);
        assert!(!pair.numbers.is_locked());
    }
);

/// So few places that most readers find none.
type Narrow<B> = generic::RwLock<u64, B, 2>;

in_threads_and_processes!(
    more_readers_than_places_all_get_in_and_so_do_writers,
    Narrow<B> = Narrow::with_readers(0),
    workers = 5,
    |l, me| {
        me.expect("go");
        for round in 0..ROUNDS {
            match me.number {
                0 => *l.write().unwrap() += 1,
                1 if round.is_multiple_of(2) => drop(l.try_read_for(Duration::from_micros(round % 50))),
                _ => {
                    let guard = l.read().unwrap();
                    let seen = *guard;
                    if round.is_multiple_of(16) {
                        thread::yield_now();
                    }
                    assert_eq!(seen, *guard);
                }
            }
        }
    },
    |l, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        assert_eq!(*l.try_read().unwrap(), ROUNDS);
    }
);
