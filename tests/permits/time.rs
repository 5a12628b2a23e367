//! Timed waits: never early, whatever interrupts them, and no time is too long.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::*;
use crate::support::claims::in_threads_and_processes;
use crate::support::state::{tid, wait_until, wait_until_asleep_in_a_lock};

in_threads_and_processes!(
    t1_no_timed_wait_ends_early,
    Permits<B, 1> = Permits::new(),
    workers = 1,
    |p, me| {
        let _permit = p.acquire().unwrap();
        me.say("held");
        me.expect("let go");
    },
    |p, workers| {
        workers[0].expect("held");
        let time = Duration::from_millis(20);
        for round in 0..100 {
            let started = Instant::now();
            let result = match round % 2 {
                0 => p.acquire_timeout(time),
                _ => p.acquire_until(started + time),
            };
            assert!(matches!(result, Err(Error::TimedOut)), "round {round}: {result:?}");
            assert!(started.elapsed() >= time, "round {round}: early, after {:?}", started.elapsed());
        }
        workers[0].say("let go");
    }
);

static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_signal(_: i32) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

in_threads_and_processes!(
    /// A wait that starts over after each signal would never end here.
    t2_signals_move_no_deadline,
    Permits<B, 1> = Permits::new(),
    workers = 1,
    |p, me| {
        let _permit = p.acquire().unwrap();
        me.say("held");
        me.expect("let go");
    },
    |p, workers| {
        workers[0].expect("held");
        // No SA_RESTART: every signal interrupts the system call.
        let action = SigAction::new(SigHandler::Handler(count_signal), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler adds to an atomic, nothing else.
        unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
        let (id, over, time) = (AtomicU32::new(0), AtomicBool::new(false), Duration::from_millis(300));
        let before = SIGNALS.load(Ordering::Relaxed);
        thread::scope(|scope| {
            scope.spawn(|| {
                id.store(tid(), Ordering::Release);
                let started = Instant::now();
                assert!(matches!(p.acquire_timeout(time), Err(Error::TimedOut)));
                assert!(started.elapsed() >= time, "early, after {:?}", started.elapsed());
                over.store(true, Ordering::Release);
            });
            wait_until("the thread has started", || id.load(Ordering::Acquire) != 0);
            while !over.load(Ordering::Acquire) {
                // SAFETY: integers only. That the thread may have ended meanwhile is no error.
                unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), id.load(Ordering::Relaxed), libc::SIGUSR1) };
                thread::sleep(Duration::from_millis(2));
            }
        });
        assert!(SIGNALS.load(Ordering::Relaxed) - before >= 5, "there was no stream of signals");
        workers[0].say("let go");
    }
);

in_threads_and_processes!(
    /// Each of these would be over at once if it wrapped around.
    a_time_beyond_the_clock_is_for_ever,
    Permits<B, 1> = Permits::new(),
    workers = 3,
    |p, me| {
        me.say(&tid().to_string());
        me.expect("go");
        let time = [Duration::MAX, Duration::from_secs(i64::MAX as u64), Duration::new(u64::MAX / 1_000_000_000, 0)];
        drop(p.acquire_timeout(time[me.number]).unwrap());
    },
    |p, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        let held = p.acquire().unwrap();
        for (worker, id) in workers.iter().zip(ids) {
            worker.say("go");
            wait_until_asleep_in_a_lock(id);
        }
        drop(held);
        workers.finish();
        assert_eq!(p.available(), 1);
    }
);
