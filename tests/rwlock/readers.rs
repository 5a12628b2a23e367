//! How many readers there may be, that they don't wait for each other, and that nobody starves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;

use pshared::ShmSafe;

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};
use crate::support::state::{tid, wait_until, wait_until_asleep_in_a_lock};

type Narrow<B> = generic::RwLock<u64, B, 2>;

in_threads_and_processes!(
    the_reader_too_many_waits_until_one_is_out,
    Narrow<B> = Narrow::with_readers(7),
    workers = 3,
    |l, me| {
        me.say(&tid().to_string());
        me.expect("read");
        let guard = l.read().unwrap();
        me.say("reads");
        me.expect("let go");
        drop(guard);
        me.say("free");
    },
    |l, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        for worker in &workers[..2] {
            worker.say("read");
            worker.expect("reads");
        }
        assert!(matches!(l.try_read(), Err(LockError::WouldBlock)));
        let short = Duration::from_millis(20);
        let started = Instant::now();
        assert!(matches!(l.try_read_for(short), Err(LockError::TimedOut)));
        assert!(started.elapsed() >= short);
        assert!(matches!(l.try_write(), Err(LockError::WouldBlock)));

        workers[2].say("read");
        wait_until_asleep_in_a_lock(ids[2]);
        workers[1].say("let go"); // whichever
        workers[1].expect("free");
        workers[2].expect("reads");
        assert!(matches!(l.try_read(), Err(LockError::WouldBlock)));
        workers[0].say("let go");
        workers[0].expect("free");
        assert_eq!(*l.try_read().unwrap(), 7);
        workers[2].say("let go");
        workers[2].expect("free");
        drop(l.try_write().unwrap());
    }
);

anywhere!(one_thread_takes_one_place_however_often_it_reads, Narrow<B> = Narrow::with_readers(7), |l| {
    let guards: Vec<_> = (0..10).map(|_| l.read().unwrap()).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(*l.try_read().unwrap(), 7));
    });
    drop(guards);
    drop(l.try_write().unwrap());
});

in_threads_and_processes!(
    /// Otherwise the two would wait for each other.
    a_reader_reads_again_while_a_writer_waits,
    RwLock<u64, B> = RwLock::new(0),
    workers = 1,
    |l, me| {
        me.say(&tid().to_string());
        me.expect("go");
        *l.write().unwrap() += 1;
    },
    |l, workers| {
        let id = workers[0].hear().parse().unwrap();
        let guard = l.read().unwrap();
        workers[0].say("go");
        wait_until_asleep_in_a_lock(id);
        for (name, way) in ways_to_read() {
            assert_eq!(**way(l).unwrap_or_else(|e| panic!("{name}: {e}")), 0);
        }
        let again = l.read().unwrap();
        drop(guard);
        assert_eq!(*again, 0);
        drop(again);
        workers.finish();
        assert_eq!(*l.read().unwrap(), 1);
    }
);

/// A lock, and how often each did what.
#[repr(C)]
#[derive(ShmSafe)]
struct Counted<B: Backend> {
    lock: RwLock<u64, B>,
    done: [AtomicU64; 5],
    over: AtomicU64,
}

impl<B: Backend> Counted<B> {
    fn new() -> Self {
        Counted { lock: RwLock::new(0), done: [const { AtomicU64::new(0) }; 5], over: AtomicU64::new(0) }
    }

    /// Reads or writes, with some time inside, until it is over.
    fn go_round(&self, number: usize, mut inside: impl FnMut()) {
        while self.over.load(Ordering::Relaxed) == 0 {
            inside();
            self.done[number].fetch_add(1, Ordering::Relaxed);
        }
    }
}

in_threads_and_processes!(
    /// F1 of the list of hazards: four readers that overlap, so that there is always one inside.
    f1_no_stream_of_readers_keeps_a_writer_out,
    Counted<B> = Counted::new(),
    workers = 4,
    |counted, me| {
        counted.go_round(me.number, || {
            let guard = counted.lock.read().unwrap();
            std::thread::sleep(Duration::from_millis(3));
            drop(guard);
        });
    },
    |counted, workers| {
        let rounds = || counted.done[..4].iter().map(|done| done.load(Ordering::Relaxed)).sum::<u64>();
        wait_until("everybody reads", || counted.done[..4].iter().all(|done| done.load(Ordering::Relaxed) > 0));
        for _ in 0..20 {
            let before = rounds();
            let guard = counted.lock.write().unwrap();
            let passed = rounds() - before;
            // Each reader comes out at most once before the writer, and counts a little later.
            assert!(passed <= 8, "{passed} reads went past a waiting writer");
            drop(guard);
        }
        counted.over.store(1, Ordering::Relaxed);
        workers.finish();
    }
);

in_threads_and_processes!(
    /// Writers that overlap: one is inside or waits at every moment. A reader waits for one of them.
    f1_no_stream_of_writers_keeps_a_reader_out,
    Counted<B> = Counted::new(),
    workers = 4,
    |counted, me| {
        counted.go_round(me.number, || {
            let mut guard = counted.lock.write().unwrap();
            *guard += 1;
            std::thread::sleep(Duration::from_millis(2));
            drop(guard);
        });
    },
    |counted, workers| {
        wait_until("somebody writes", || counted.done[..4].iter().any(|done| done.load(Ordering::Relaxed) > 0));
        for _ in 0..20 {
            let before = counted.done[..4].iter().map(|done| done.load(Ordering::Relaxed)).sum::<u64>();
            let seen = *counted.lock.read().unwrap();
            // The one that wrote, its count perhaps still to come, and as many as slipped in before this one slept.
            assert!(seen - before <= 8, "{} writers went past a waiting reader", seen - before);
        }
        counted.over.store(1, Ordering::Relaxed);
        workers.finish();
    }
);

/// More readers than one system call can wait for.
const CROWD: usize = 130;

type Wide<B> = generic::RwLock<u64, B, CROWD>;

in_threads_and_processes!(
    a_crowd_reads_and_whoever_goes_makes_room_for_the_next,
    Wide<B> = Wide::with_readers(7),
    workers = 2,
    |l, me| {
        me.say(&tid().to_string());
        while me.hear() == "read" {
            let guard = l.read().unwrap();
            me.say("reads");
            me.expect("let go");
            drop(guard);
            me.say("free");
        }
        *l.write().unwrap() += 1;
    },
    |l, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        std::thread::scope(|scope| {
            let crowd: Vec<_> = (0..CROWD)
                .map(|_| {
                    let ((tell, told), (say, said)) = (channel(), channel());
                    scope.spawn(move || {
                        // Comes in when told so, goes when told so, until there is nobody to tell it.
                        while told.recv().is_ok() {
                            let guard = l.read().unwrap();
                            say.send(()).unwrap();
                            let _ = told.recv();
                            drop(guard);
                        }
                    });
                    (tell, said)
                })
                .collect();
            let come_in = |number: usize| {
                crowd[number].0.send(()).unwrap();
                crowd[number].1.recv().unwrap();
            };
            (0..CROWD).for_each(come_in);
            assert!(matches!(l.try_read(), Err(LockError::WouldBlock)));
            assert!(matches!(l.try_read_for(Duration::from_millis(20)), Err(LockError::TimedOut)));

            for number in (0..CROWD).step_by(13) {
                workers[0].say("read");
                wait_until_asleep_in_a_lock(ids[0]);
                crowd[number].0.send(()).unwrap();
                workers[0].expect("reads");
                assert!(matches!(l.try_read(), Err(LockError::WouldBlock)));
                workers[0].say("let go");
                workers[0].expect("free");
                come_in(number);
            }
            workers[1].say("write");
            wait_until_asleep_in_a_lock(ids[1]);
            assert!(matches!(l.try_write(), Err(LockError::WouldBlock)));
        });
        workers[0].say("write");
        workers.finish();
        assert_eq!(*l.try_read().unwrap(), 9);
    }
);
