//! Waiting for any of several.

use std::sync::atomic::{AtomicU64, Ordering};

use pshared::futex::Futex;
use pshared::generic::Waitable;
use pshared::{Event, Semaphore, ShmSafe, try_wait_any, wait_any, wait_any_until};

use super::{LONG, past};
use crate::support::claims::{Me, Named, Workers, run_in_processes, run_in_threads};
use crate::support::state::{tid, wait_until_asleep_in_a_lock};
use crate::support::watchdog;
use pshared::Error;
use std::time::{Duration, Instant};

const ROUNDS: u64 = 1500;

#[repr(C)]
#[derive(ShmSafe)]
struct Things {
    first: Semaphore,
    second: Semaphore,
    auto: Event,
    manual: Event,
    taken: AtomicU64,
}

type Slice<'a> = [&'a dyn Waitable<Futex>; 4];

fn things() -> Things {
    Things {
        first: Semaphore::counting(0).unwrap(),
        second: Semaphore::counting(0).unwrap(),
        auto: Event::auto(false),
        manual: Event::manual(false),
        taken: AtomicU64::new(0),
    }
}

impl Things {
    fn all(&self) -> Slice<'_> {
        [&self.first, &self.second, &self.auto, &self.manual]
    }

    /// Makes the thing of that index available once.
    fn give(&self, index: usize) {
        match index {
            0 => self.first.post(),
            1 => self.second.post(),
            2 => self.auto.set(),
            _ => self.manual.set(),
        }
        .unwrap();
    }

    fn state(&self) -> (u32, u32, bool, bool) {
        (self.first.value(), self.second.value(), self.auto.is_set(), self.manual.is_set())
    }
}

/// A claim between threads, threads with a cell, and processes.
macro_rules! claim {
    ($(#[doc = $doc:literal])* $name:ident, workers = $workers:expr, $work:expr, $main:expr) => {
        $(#[doc = $doc])*
        mod $name {
            use super::*;
            const WORK: fn(&Things, &Me) = $work;
            const MAIN: fn(&Things, &mut Workers) = $main;

            #[test]
            fn threads() {
                let test = concat!(module_path!(), "::threads");
                run_in_threads(test, $workers, std::sync::Arc::new(things()), WORK, MAIN);
            }
            #[test]
            fn threads_in_a_cell() {
                let test = concat!(module_path!(), "::threads_in_a_cell");
                let named = Named::create(things);
                run_in_threads(test, $workers, named.shm.clone(), WORK, MAIN);
            }
            #[test]
            fn processes() {
                run_in_processes(concat!(module_path!(), "::processes"), $workers, things, WORK, MAIN);
            }
        }
    };
}

/// Runs a body on the stack and in a cell.
fn anywhere(test: &str, body: fn(&Things)) {
    let _watchdog = watchdog::watch(test);
    body(&things());
    body(&Named::create(things).shm);
}

#[test]
fn what_is_returned_has_been_taken_and_nothing_else() {
    anywhere("what_is_returned", |t| {
        for index in [0, 1, 2, 3] {
            t.give(index);
            assert_eq!(wait_any(&t.all(), LONG), Ok(index));
            assert_eq!(t.state(), (0, 0, false, index == 3));
        }
        t.manual.reset().unwrap();
        (0..4).for_each(|index| t.give(index));
        for index in [0, 1, 2, 3, 3] {
            assert_eq!(try_wait_any(&t.all()), Ok(index));
        }
        assert_eq!(t.state(), (0, 0, false, true));
    });
}

#[test]
fn where_nothing_can_be_had_it_says_so_and_never_early() {
    anywhere("where_nothing_can_be_had", |t| {
        let time = Duration::from_millis(20);
        for _ in 0..5 {
            let started = Instant::now();
            assert_eq!(wait_any(&t.all(), time), Err(Error::TimedOut));
            assert_eq!(wait_any_until(&t.all(), started + 2 * time), Err(Error::TimedOut));
            assert!(started.elapsed() >= 2 * time);
        }
        assert_eq!(try_wait_any(&t.all()), Err(Error::WouldBlock));
        assert_eq!(wait_any(&t.all(), Duration::ZERO), Err(Error::TimedOut));
        assert_eq!(wait_any_until(&t.all(), past()), Err(Error::TimedOut));
        // However short the time, what is there is taken.
        t.give(1);
        assert_eq!(wait_any_until(&t.all(), past()), Ok(1));
        assert_eq!(t.state(), (0, 0, false, false));
    });
}

#[test]
fn a_thing_named_twice_is_returned_by_its_first_place() {
    anywhere("a_thing_named_twice", |t| {
        let twice: [&dyn Waitable<Futex>; 4] = [&t.first, &t.second, &t.second, &t.first];
        assert_eq!(wait_any(&twice, Duration::from_millis(5)), Err(Error::TimedOut));
        t.second.post_many(2).unwrap();
        assert_eq!([wait_any(&twice, LONG), wait_any(&twice, LONG)], [Ok(1), Ok(1)]);
        assert_eq!(try_wait_any(&twice), Err(Error::WouldBlock));
    });
}

#[test]
fn none_and_too_many_are_errors_that_say_how_many_it_can_be() {
    let refused = wait_any(&[], LONG).unwrap_err();
    assert!(matches!(refused, Error::CantWaitForAny { count: 0, .. }), "{refused:?}");
    assert!(try_wait_any(&[]).is_err());

    let semaphores: Vec<Semaphore> = (0..65).map(|_| Semaphore::counting(0).unwrap()).collect();
    let all: Vec<&dyn Waitable<Futex>> = semaphores.iter().map(|s| s as _).collect();
    assert!(matches!(wait_any(&all, LONG), Err(Error::CantWaitForAny { count: 65, most: 64, .. })));
    assert_eq!(wait_any(&all[..64], Duration::from_millis(1)), Err(Error::TimedOut));
    semaphores[63].post().unwrap();
    assert_eq!(wait_any(&all[..64], LONG), Ok(63));

    let events: Vec<Event> = (0..129).map(|_| Event::manual(false)).collect();
    let all: Vec<&dyn Waitable<Futex>> = events.iter().map(|s| s as _).collect();
    assert!(matches!(wait_any(&all, LONG), Err(Error::CantWaitForAny { count: 129, most: 128, .. })));
    assert_eq!(wait_any(&all[1..], Duration::from_millis(1)), Err(Error::TimedOut));
    events[128].set().unwrap();
    assert_eq!(wait_any(&all[1..], LONG), Ok(127));
}

claim!(
    whichever_comes_wakes_a_sleeper,
    workers = 1,
    |t, me| {
        me.say(&tid().to_string());
        for round in 0..40 {
            me.expect("wait");
            let got = match round % 2 {
                0 => wait_any(&t.all(), Duration::MAX),
                _ => wait_any(&t.all(), LONG),
            };
            me.say(&got.unwrap().to_string());
        }
    },
    |t, workers| {
        let id = workers[0].hear().parse().unwrap();
        for round in 0..40 {
            workers[0].say("wait");
            wait_until_asleep_in_a_lock(id);
            let index = round / 2 % 4;
            t.give(index);
            if index == 3 {
                t.manual.reset().unwrap(); // it was set while the other waited
            }
            workers[0].expect(&index.to_string());
            assert_eq!(t.state(), (0, 0, false, false));
        }
    }
);

claim!(
    /// Some wait for both, some for one: nobody takes what isn't there, nobody is left asleep beside something.
    as_many_are_taken_as_are_posted,
    workers = 4,
    |t, me| {
        me.expect("go");
        for round in 0..ROUNDS {
            match me.number {
                0 if round % 2 == 0 => t.first.post_many(2).unwrap(),
                0 => t.second.post_many(2).unwrap(),
                1 => {
                    let which = wait_any(&[&t.first, &t.second], LONG).unwrap();
                    t.taken.fetch_add([1, 1 << 32][which], Ordering::Relaxed);
                }
                _ => {
                    let (semaphore, one) = if me.number == 2 { (&t.first, 1) } else { (&t.second, 1 << 32) };
                    // Each of these two takes a half of what the one who takes both leaves, at most.
                    if round % 2 == 0 && semaphore.wait_timeout(Duration::from_micros(300)).is_ok() {
                        t.taken.fetch_add(one, Ordering::Relaxed);
                    }
                }
            }
        }
    },
    |t, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        // Enough for the one who takes from both, whatever the others took.
        workers.finish();
        let taken = t.taken.load(Ordering::Relaxed);
        let (first, second) = (taken as u32, (taken >> 32) as u32);
        assert_eq!(first + t.first.value(), ROUNDS as u32);
        assert_eq!(second + t.second.value(), ROUNDS as u32);
    }
);

claim!(
    one_permit_lets_one_of_all_who_wait_pass,
    workers = 4,
    |t, me| {
        me.say(&tid().to_string());
        let got = if me.number < 2 { wait_any(&t.all(), LONG).unwrap() } else { t.second.wait().map(|()| 1).unwrap() };
        assert_eq!(got, 1);
        t.taken.fetch_add(1, Ordering::SeqCst);
    },
    |t, workers| {
        for worker in workers.iter() {
            wait_until_asleep_in_a_lock(worker.hear().parse().unwrap());
        }
        for taken in 1..=4 {
            t.give(1);
            crate::support::schedule::wait_until("one passes", || t.taken.load(Ordering::SeqCst) == taken);
            assert_eq!(t.state(), (0, 0, false, false));
        }
    }
);
