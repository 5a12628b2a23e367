//! Timed waits: never early, whatever interrupts them, and no time is too long.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use pshared::ShmSafe;

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};
use crate::support::state::{tid, wait_until, wait_until_asleep_in_a_lock};

#[repr(C)]
#[derive(ShmSafe)]
struct All<B: Backend> {
    permits: Semaphore<B>,
    auto: Event<B>,
    manual: Event<B>,
}

impl<B: Backend> All<B> {
    fn new() -> Self {
        All { permits: counting(0), auto: Event::auto(false), manual: Event::manual(false) }
    }

    /// One timed wait for each of them, by time and by moment.
    fn wait_in_vain(&self, time: Duration) {
        let vain = |what: &str, wait: &dyn Fn(Instant) -> Result<(), Error>| {
            let started = Instant::now();
            assert_eq!(wait(started + time), Err(Error::TimedOut), "{what}");
            assert!(started.elapsed() >= time, "{what}: early, after {:?}", started.elapsed());
        };
        vain("semaphore, for", &|_| self.permits.wait_timeout(time));
        vain("semaphore, until", &|moment| self.permits.wait_until(moment));
        vain("auto, for", &|_| self.auto.wait_timeout(time));
        vain("auto, until", &|moment| self.auto.wait_until(moment));
        vain("manual, for", &|_| self.manual.wait_timeout(time));
        vain("manual, until", &|moment| self.manual.wait_until(moment));
    }
}

anywhere!(
    /// T1 of the list of hazards.
    t1_no_timed_wait_ends_early,
    All<B> = All::new(),
    |all| {
        for _ in 0..17 {
            all.wait_in_vain(Duration::from_millis(20));
        }
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

anywhere!(
    /// T2 of the list of hazards: a wait that starts over after each signal would never end here.
    t2_signals_move_no_deadline,
    All<B> = All::new(),
    |all| {
        let before = SIGNALS.load(Ordering::Relaxed);
        in_a_stream_of_signals(|| all.wait_in_vain(Duration::from_millis(100)));
        assert!(SIGNALS.load(Ordering::Relaxed) - before >= 5, "there was no stream of signals");
    }
);

in_threads_and_processes!(
    /// Nor does a signal end a wait without a deadline.
    signals_end_no_wait,
    All<B> = All::new(),
    workers = 1,
    |all, me| {
        for _ in 0..3 {
            me.expect("go");
            all.permits.post().unwrap();
            me.expect("go");
            all.auto.set().unwrap();
            me.expect("go");
            all.manual.set().unwrap();
        }
    },
    |all, workers| {
        let waits: [&(dyn Fn() + Sync); 3] =
            [&|| all.permits.wait().unwrap(), &|| all.auto.wait().unwrap(), &|| all.manual.wait().unwrap()];
        for _ in 0..3 {
            for wait in waits {
                in_a_stream_of_signals(|| {
                    let id = tid();
                    thread::scope(|scope| {
                        scope.spawn(|| {
                            wait_until_asleep_in_a_lock(id);
                            let seen = SIGNALS.load(Ordering::Relaxed);
                            wait_until("three more signals", || SIGNALS.load(Ordering::Relaxed) - seen >= 3);
                            workers[0].say("go");
                        });
                        wait();
                    });
                });
            }
            all.manual.reset().unwrap();
        }
        assert_eq!((all.permits.value(), all.auto.is_set()), (0, false));
    }
);

in_threads_and_processes!(
    /// Each of these would be over at once if it wrapped around.
    a_time_beyond_the_clock_is_for_ever,
    All<B> = All::new(),
    workers = 3,
    |all, me| {
        me.say(&tid().to_string());
        me.expect("go");
        let time = [Duration::MAX, Duration::from_secs(i64::MAX as u64), Duration::new(u64::MAX / 1_000_000_000, 0)];
        let time = time[me.number];
        match me.number {
            0 => all.permits.wait_timeout(time).unwrap(),
            1 => all.auto.wait_timeout(time).unwrap(),
            _ => all.manual.wait_timeout(time).unwrap(),
        }
    },
    |all, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        for (worker, id) in workers.iter().zip(ids) {
            worker.say("go");
            wait_until_asleep_in_a_lock(id);
        }
        all.permits.post().unwrap();
        all.auto.set().unwrap();
        all.manual.set().unwrap();
        workers.finish();
    }
);
