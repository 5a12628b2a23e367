//! Timed waits: never early, whatever interrupts them, and no time is too long.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::*;
use crate::support::claims::in_threads_and_processes;
use crate::support::state::{tid, wait_until, wait_until_asleep_in_a_lock};

/// A timed way to take a lock, and whether the time was up.
type Timed<B> = fn(&RwLock<u64, B>, Duration) -> bool;

fn timed<B: Backend>() -> [(&'static str, Timed<B>); 4] {
    [
        ("try_read_for", |l, time| matches!(l.try_read_for(time), Err(LockError::TimedOut))),
        ("try_write_for", |l, time| matches!(l.try_write_for(time), Err(LockError::TimedOut))),
        ("try_read_until", |l, time| matches!(l.try_read_until(Instant::now() + time), Err(LockError::TimedOut))),
        ("try_write_until", |l, time| matches!(l.try_write_until(Instant::now() + time), Err(LockError::TimedOut))),
    ]
}

in_threads_and_processes!(
    /// T1 of the list of hazards: behind a writer, and a writer behind a reader.
    no_timed_wait_ends_early,
    [RwLock<u64, B>; 2] = [const { RwLock::new(0) }; 2],
    workers = 1,
    |l, me| {
        let _guards = (l[0].write().unwrap(), l[1].read().unwrap());
        me.say("held");
        me.expect("let go");
    },
    |l, workers| {
        workers[0].expect("held");
        let time = Duration::from_millis(20);
        for round in 0..100 {
            let (name, way) = timed()[round % 4];
            let behind = if name.contains("write") { round / 4 % 2 } else { 0 };
            let started = Instant::now();
            assert!(way(&l[behind], time), "{name}, round {round}");
            assert!(started.elapsed() >= time, "{name}, round {round}: early, after {:?}", started.elapsed());
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
    [RwLock<u64, B>; 2] = [const { RwLock::new(0) }; 2],
    workers = 1,
    |l, me| {
        let guards = (l[0].write().unwrap(), l[1].read().unwrap());
        me.say("held");
        me.expect("let go");
        drop(guards);
    },
    |l, workers| {
        workers[0].expect("held");
        for (name, way) in timed() {
            for behind in if name.contains("write") { 0..2 } else { 0..1 } {
                let mut time = Duration::from_millis(100);
                let mut signals = 0;
                // On a busy machine it takes a longer wait to get some.
                while signals < 5 {
                    time *= 2;
                    let before = SIGNALS.load(Ordering::Relaxed);
                    let (timed_out, waited) = in_a_stream_of_signals(|| {
                        let started = Instant::now();
                        (way(&l[behind], time), started.elapsed())
                    });
                    assert!(timed_out, "{name}");
                    assert!(waited >= time, "{name}: early, after {waited:?}");
                    signals = SIGNALS.load(Ordering::Relaxed) - before;
                }
            }
        }
        // Nor does a signal end a wait without a deadline.
        in_a_stream_of_signals(|| {
            let id = tid();
            thread::scope(|scope| {
                scope.spawn(|| {
                    wait_until_asleep_in_a_lock(id);
                    let seen = SIGNALS.load(Ordering::Relaxed);
                    wait_until("five more signals", || SIGNALS.load(Ordering::Relaxed) - seen >= 5);
                    workers[0].say("let go");
                });
                drop(l[0].read().unwrap());
                drop(l[1].write().unwrap());
            });
        });
    }
);

in_threads_and_processes!(
    /// Each of these would be over at once if it wrapped around.
    a_time_beyond_the_clock_is_for_ever,
    RwLock<u64, B> = RwLock::new(0),
    workers = 4,
    |l, me| {
        me.say(&tid().to_string());
        me.expect("go");
        let time = [Duration::MAX, Duration::from_secs(i64::MAX as u64)][me.number / 2];
        if me.number.is_multiple_of(2) {
            drop(l.try_read_for(time).unwrap());
        } else {
            *l.try_write_for(time).unwrap() += 1;
        }
    },
    |l, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        let guard = l.write().unwrap();
        for (worker, id) in workers.iter().zip(ids) {
            worker.say("go");
            wait_until_asleep_in_a_lock(id);
        }
        drop(guard);
        workers.finish();
        assert_eq!(*l.read().unwrap(), 2);
    }
);
