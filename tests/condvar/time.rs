//! Timed waits: never early, whatever interrupts them, and no time is too long.

use std::sync::atomic::{AtomicBool, AtomicU32};
use std::thread;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use pshared::WaitTimeoutResult;

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};

/// A way to wait for so long that ends when the time is up.
type Way<B> = for<'a> fn(
    &'a Room<B>,
    MutexGuard<'a, u64, B>,
    Duration,
) -> LockResult<(MutexGuard<'a, u64, B>, WaitTimeoutResult)>;

fn every_way<B: Backend>() -> [Way<B>; 4] {
    [
        |room, guard, time| room.changed.wait_timeout(guard, time),
        |room, guard, time| room.changed.wait_until(guard, Instant::now() + time),
        |room, guard, time| room.changed.wait_timeout_while(guard, time, |value| *value == 0),
        |room, guard, time| room.changed.wait_while_until(guard, Instant::now() + time, |value| *value == 0),
    ]
}

anywhere!(
    /// T1 of the list of hazards.
    t1_no_timed_wait_ends_early,
    Room<B> = Room::new(),
    |room| {
        let time = Duration::from_millis(20);
        for round in 0..25 {
            for (number, way) in every_way().into_iter().enumerate() {
                let guard = room.lock();
                let started = Instant::now();
                let (guard, result) = way(room, guard, time).unwrap();
                assert!(started.elapsed() >= time, "round {round}, way {number}: early, after {:?}", started.elapsed());
                assert!(result.timed_out(), "round {round}, way {number}");
                assert_eq!(room.value.owner().unwrap().tid, tid(), "round {round}, way {number}");
                drop(guard);
            }
        }
    }
);

anywhere!(
    no_time_at_all_is_up_at_once,
    Room<B> = Room::new(),
    |room| {
        for way in every_way() {
            assert!(way(room, room.lock(), Duration::ZERO).unwrap().1.timed_out());
        }
        let past = Instant::now().checked_sub(Duration::from_secs(5)).unwrap_or_else(Instant::now);
        assert!(room.changed.wait_until(room.lock(), past).unwrap().1.timed_out());
    }
);

in_threads_and_processes!(
    who_is_notified_in_time_is_told_so,
    Room<B> = Room::new(),
    workers = 4,
    |room, me| {
        tell_tid(me);
        let (guard, result) = every_way()[me.number](room, room.lock(), LONG).unwrap();
        assert_eq!((*guard, result.timed_out()), (1, false));
    },
    |room, workers| {
        let_all_sleep(workers);
        *room.lock() = 1;
        room.changed.notify_all();
        workers.finish();
    }
);

in_threads_and_processes!(
    /// Notified for something else, the waiter goes on waiting for the rest of its time.
    a_notification_moves_no_deadline_of_a_condition,
    Room<B> = Room::new(),
    workers = 1,
    |room, me| {
        let time = Duration::from_millis(400);
        tell_tid(me);
        let started = Instant::now();
        let (_guard, result) = room.changed.wait_timeout_while(room.lock(), time, |_| true).unwrap();
        assert!(result.timed_out() && started.elapsed() >= time);
        room.came_back();
    },
    |room, workers| {
        let_all_sleep(workers);
        while room.back() == 0 {
            room.changed.notify_one();
            thread::sleep(Duration::from_millis(2));
        }
        workers.finish();
    }
);

in_threads_and_processes!(
    /// Each of these would be over at once if it wrapped around.
    a_time_beyond_the_clock_is_for_ever,
    Room<B> = Room::new(),
    workers = 3,
    |room, me| {
        tell_tid(me);
        let time = [Duration::MAX, Duration::from_secs(i64::MAX as u64), Duration::new(u64::MAX / 1_000_000_000, 0)];
        let (_guard, result) = room.changed.wait_timeout(room.lock(), time[me.number]).unwrap();
        assert!(!result.timed_out());
    },
    |room, workers| {
        let_all_sleep(workers);
        room.changed.notify_all();
        workers.finish();
    }
);

in_threads_and_processes!(
    /// The rule behind T3: who says that its time was up has taken nobody's notification along. Timed waiters come and
    /// go beside one that only a notification ends.
    timed_waiters_that_give_up_take_no_notification_along,
    Room<B> = Room::new(),
    workers = 4,
    |room, me| {
        me.expect("go");
        for round in 0..400 {
            if me.number == 0 {
                let mut value = room.changed.wait_while(room.lock(), |value| *value == 0).unwrap();
                *value -= 1;
                room.came_back();
                continue;
            }
            let mut guard = room.lock();
            let time = Duration::from_micros(round % 60);
            let timed_out;
            (guard, timed_out) = room.changed.wait_timeout(guard, time).unwrap();
            if !timed_out.timed_out() {
                room.changed.notify_one(); // not for this one
            }
            drop(guard);
        }
    },
    |room, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        for round in 1..=400 {
            *room.lock() += 1;
            room.changed.notify_one();
            room.wait_until_back(round);
        }
        workers.finish();
    }
);

static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_signal(_: i32) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// Sends SIGUSR1 to the thread that runs `wait`, every two milliseconds, until `wait` is over.
fn in_a_stream_of_signals<R: Send>(wait: impl FnOnce() -> R + Send) -> R {
    // No SA_RESTART: every signal interrupts the system call.
    let action = SigAction::new(SigHandler::Handler(count_signal), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler adds to an atomic, nothing else.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
    let (id, over) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            id.store(tid(), Ordering::Release);
            let result = wait();
            over.store(true, Ordering::Release);
            result
        });
        wait_until("the thread has started", || id.load(Ordering::Acquire) != 0);
        while !over.load(Ordering::Acquire) {
            // SAFETY: integers only. That the thread may have ended meanwhile is no error.
            unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), id.load(Ordering::Relaxed), libc::SIGUSR1) };
            thread::sleep(Duration::from_millis(2));
        }
        waiting.join().unwrap()
    })
}

in_threads_and_processes!(
    /// T2 of the list of hazards: a wait that starts over after each signal would never end here.
    t2_signals_move_no_deadline_and_end_no_wait,
    Room<B> = Room::new(),
    workers = 1,
    |room, me| {
        me.expect("notify");
        let seen = SIGNALS.load(Ordering::Relaxed);
        let _ = seen;
        *room.lock() = 1;
        room.changed.notify_one();
    },
    |room, workers| {
        let before = SIGNALS.load(Ordering::Relaxed);
        let time = Duration::from_millis(300);
        let (timed_out, waited) = in_a_stream_of_signals(|| {
            let started = Instant::now();
            let (_guard, result) = room.changed.wait_timeout(room.lock(), time).unwrap();
            (result.timed_out(), started.elapsed())
        });
        assert!(timed_out && waited >= time, "early, after {waited:?}");
        assert!(SIGNALS.load(Ordering::Relaxed) - before >= 5, "there was no stream of signals");

        in_a_stream_of_signals(|| {
            let id = tid();
            thread::scope(|scope| {
                scope.spawn(|| {
                    wait_until_asleep_in_a_lock(id);
                    let seen = SIGNALS.load(Ordering::Relaxed);
                    wait_until("five more signals", || SIGNALS.load(Ordering::Relaxed) - seen >= 5);
                    workers[0].say("notify");
                });
                drop(room.changed.wait(room.lock()).unwrap());
                assert_eq!(*room.lock(), 1, "a signal ended the wait");
            });
        });
    }
);
