//! Timed waits: never early, whatever interrupts them, and no time is too long.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use pshared::LockError;

use super::*;
use crate::support::claims::in_threads_and_processes;
use crate::support::state::{tid, wait_until, wait_until_asleep_in_a_lock};

in_threads_and_processes!(
    /// T1 of the list of hazards.
    no_timed_wait_ends_early,
    Mutex<u64, B> = Mutex::new(0),
    workers = 1,
    |m, me| {
        let _guard = m.lock().unwrap();
        me.say("held");
        me.expect("let go");
    },
    |m, workers| {
        workers[0].expect("held");
        let time = Duration::from_millis(20);
        for round in 0..100 {
            let started = Instant::now();
            let result = match round % 2 {
                0 => m.try_lock_for(time),
                _ => m.try_lock_until(started + time),
            };
            assert!(matches!(result, Err(LockError::TimedOut)), "round {round}: {result:?}");
            assert!(started.elapsed() >= time, "round {round}: early, after {:?}", started.elapsed());
        }
        workers[0].say("let go");
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
    signals_move_no_deadline,
    Mutex<u64, B> = Mutex::new(0),
    workers = 1,
    |m, me| {
        let guard = m.lock().unwrap();
        me.say("held");
        me.expect("let go");
        drop(guard);
    },
    |m, workers| {
        workers[0].expect("held");
        let before = SIGNALS.load(Ordering::Relaxed);
        let time = Duration::from_millis(300);
        let (timed_out, waited) = in_a_stream_of_signals(|| {
            let started = Instant::now();
            let result = m.try_lock_for(time);
            (matches!(result, Err(LockError::TimedOut)), started.elapsed())
        });
        assert!(timed_out);
        assert!(waited >= time, "early, after {waited:?}");
        assert!(SIGNALS.load(Ordering::Relaxed) - before >= 5, "there was no stream of signals");

        // Nor does a signal end a wait without a deadline.
        in_a_stream_of_signals(|| {
            let id = tid();
            thread::scope(|scope| {
                scope.spawn(|| {
                    wait_until_asleep_in_a_lock(id);
                    let seen = SIGNALS.load(Ordering::Relaxed);
                    wait_until("five more signals", || SIGNALS.load(Ordering::Relaxed) - seen >= 5);
                    assert!(m.is_locked());
                    workers[0].say("let go");
                });
                *m.lock().unwrap() += 1;
            });
        });
        assert_eq!(*m.lock().unwrap(), 1);
    }
);

in_threads_and_processes!(
    /// Each of these would be over at once if it wrapped around.
    a_time_beyond_the_clock_is_for_ever,
    Mutex<u64, B> = Mutex::new(0),
    workers = 3,
    |m, me| {
        me.say(&tid().to_string());
        me.expect("go");
        let time = [Duration::MAX, Duration::from_secs(i64::MAX as u64), Duration::new(u64::MAX / 1_000_000_000, 0)];
        *m.try_lock_for(time[me.number]).unwrap() += 1;
    },
    |m, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        let guard = m.lock().unwrap();
        for (worker, id) in workers.iter().zip(ids) {
            worker.say("go");
            wait_until_asleep_in_a_lock(id);
        }
        drop(guard);
        workers.finish();
        assert_eq!(*m.lock().unwrap(), 3);
    }
);
