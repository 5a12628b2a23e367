//! Timed waits: never early, whatever interrupts them, and no time is too long.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};
use crate::support::state::{tid, wait_until, wait_until_asleep_in_a_lock};

anywhere!(t1_no_timed_wait_ends_early, Barrier<B, 2> = barrier(2), |b| {
    let time = Duration::from_millis(20);
    for round in 0..50 {
        let started = Instant::now();
        let result = match round % 2 {
            0 => b.wait_timeout(time),
            _ => b.wait_until(started + time),
        };
        assert!(matches!(result, Err(Error::TimedOut)), "round {round}: {result:?}");
        assert!(started.elapsed() >= time, "round {round}: early, after {:?}", started.elapsed());
        b.reset().unwrap();
    }
});

static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_signal(_: i32) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

anywhere!(
    /// A wait that starts over after each signal would never end here.
    t2_signals_move_no_deadline, Barrier<B, 2> = barrier(2), |b| {
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
            assert!(matches!(b.wait_timeout(time), Err(Error::TimedOut)));
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
});

in_threads_and_processes!(
    /// Each of these would be over at once if it wrapped around.
    a_time_beyond_the_clock_is_for_ever,
    Barrier<B, 4> = barrier(4),
    workers = 3,
    |b, me| {
        me.say(&tid().to_string());
        let time = [Duration::MAX, Duration::from_secs(i64::MAX as u64), Duration::new(u64::MAX / 1_000_000_000, 0)];
        b.wait_timeout(time[me.number]).unwrap();
    },
    |b, workers| {
        for worker in workers.iter() {
            wait_until_asleep_in_a_lock(worker.hear().parse().unwrap());
        }
        b.wait().unwrap();
    }
);
