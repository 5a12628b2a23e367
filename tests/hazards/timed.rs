//! T1 to T3: what becomes of a timed wait: never early, not longer for signals, and no wake-up goes with it.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use pshared::{LockError, Mutex, Shm};

use crate::scene::{
    Forked, Locks, WAITERS, WORD, alone, anonymous, exit, fork, futex_operation, raw, stay_on, until, use_up,
};

const WAIT: Duration = Duration::from_millis(20);

/// One wait of `WAIT` for a lock that is held all the time.
fn wait_in_vain(lock: &Mutex<u64>) {
    let started = Instant::now();
    assert!(matches!(lock.try_lock_for(WAIT), Err(LockError::TimedOut)));
    assert!(started.elapsed() >= WAIT, "early: {:?}", started.elapsed());
    let deadline = Instant::now() + WAIT;
    assert!(matches!(lock.try_lock_until(deadline), Err(LockError::TimedOut)));
    assert!(Instant::now() >= deadline, "early");
}

#[test]
fn t1_no_timed_wait_for_another_process_ends_early() {
    alone(|| {
        let shm = anonymous();
        let _guard = shm.locks[0].lock().unwrap();
        let waiters: Vec<_> = (0..4).map(|_| fork(|| (0..13).for_each(|_| wait_in_vain(&shm.locks[0])))).collect();
        waiters.into_iter().for_each(Forked::finish);
    });
}

#[test]
fn t1_no_timed_wait_for_another_thread_ends_early() {
    alone(|| {
        let (shm, movable) = (anonymous(), Mutex::new(0));
        let _guards = (shm.locks[0].lock().unwrap(), movable.lock().unwrap());
        thread::scope(|scope| {
            for lock in [&shm.locks[0], &movable] {
                (0..4).for_each(|_| drop(scope.spawn(|| (0..7).for_each(|_| wait_in_vain(lock)))));
            }
        });
    });
}

#[test]
fn t1_waits_are_on_the_monotonic_clock() {
    alone(|| {
        let shm = anonymous();
        let _guard = shm.locks[0].lock().unwrap();
        let waiters =
            [fork(|| drop(shm.locks[0].lock())), fork(|| drop(shm.locks[0].try_lock_for(Duration::from_secs(1000))))];
        for waiter in waiters {
            until("it sleeps", || waiter.sleeps());
            let operation = futex_operation(waiter.pid(), waiter.pid());
            let Some(operation) = operation else { continue }; // between two slices of a second
            assert_eq!(operation & libc::FUTEX_CLOCK_REALTIME as u64, 0);
            assert_eq!(operation, libc::FUTEX_WAIT_BITSET as u64, "FUTEX_WAIT would take a relative time");
        }
    });
}

/// Signals that each interrupt the waiter's system call, until it has ended by itself.
#[test]
fn t2_a_stream_of_signals_moves_no_deadline() {
    extern "C" fn nothing(_: i32) {}
    alone(|| {
        let shm = anonymous();
        let _guard = shm.locks[0].lock().unwrap();
        let [waiting, ended, ..] = &shm.marks;
        let waiter = fork(|| {
            let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
            // SAFETY: the handler does nothing.
            unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
            waiting.store(1, SeqCst);
            let started = Instant::now();
            let wait = Duration::from_millis(300);
            assert!(matches!(shm.locks[0].try_lock_for(wait), Err(LockError::TimedOut)));
            assert!(started.elapsed() >= wait, "early: {:?}", started.elapsed());
            ended.store(1, SeqCst);
        });
        until("it waits", || waiting.load(SeqCst) == 1);
        until("the deadline comes while there are signals", || {
            if waiter.sleeps() {
                waiter.signal(Signal::SIGUSR1);
            }
            ended.load(SeqCst) == 1
        });
        waiter.finish();
    });
}

/// The processor that the waiter of [`late`] runs on, when it runs.
const CROWDED: usize = 1;

/// A process that lets no ordinary one run on the crowded processor; `None` without the right to.
fn crowd(running: &AtomicU32) -> Option<Forked> {
    const NOT_ALLOWED: u32 = 2;
    running.store(0, SeqCst);
    let spinner = fork(|| {
        let priority = libc::sched_param { sched_priority: 1 };
        // SAFETY: for this process, which others end.
        let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &priority) };
        if !stay_on(CROWDED) || Errno::result(done).is_err() {
            running.store(NOT_ALLOWED, SeqCst);
            exit(0);
        }
        loop {
            running.store(1, SeqCst);
        }
    });
    until("the processor is crowded", || running.load(SeqCst) != 0);
    (running.load(SeqCst) == 1).then_some(spinner)
}

/// How far away the deadline of a waiter is that will be late.
const NEAR: Duration = Duration::from_millis(300);

const TAKEN: u32 = 1;
const TIMED_OUT: u32 = 2;

/// Stages a waiter that is woken, gets no processor, and finds its time up when it does. `meanwhile` is called with the
/// lock when the waiter was woken, and says what is held until it runs again. A second waiter, without a deadline, is
/// behind it.
fn woken_but_late<'a, K>(shm: &'a Shm<Locks>, meanwhile: impl Fn(&'a Mutex<u64>) -> K, outcome: u32) {
    let lock = &shm.locks[0];
    let [running, came_to, ..] = &shm.marks;
    for _ in 0..20 {
        came_to.store(0, SeqCst);
        let guard = lock.lock().unwrap();
        let before_it_waits = Instant::now();
        let late = fork(|| {
            assert!(stay_on(CROWDED));
            let taken = lock.try_lock_for(NEAR).is_ok();
            came_to.store(if taken { TAKEN } else { TIMED_OUT }, SeqCst);
        });
        until("it sleeps", || late.sleeps() || came_to.load(SeqCst) != 0);
        let after_it_slept = Instant::now();
        let behind = fork(|| use_up(lock));
        until("another sleeps behind it", || behind.sleeps());
        let Some(spinner) = crowd(running) else {
            eprintln!("skipped: no second processor, or this user may not use SCHED_FIFO");
            return;
        };
        drop(guard);
        let kept = meanwhile(lock);
        let in_time = before_it_waits.elapsed() < NEAR;
        thread::sleep(NEAR.saturating_sub(after_it_slept.elapsed()));
        let staged = in_time && came_to.load(SeqCst) == 0;
        spinner.kill();

        late.finish();
        if staged {
            assert_eq!(came_to.load(SeqCst), outcome);
            // Otherwise only its looking up once a second would get it the lock.
            assert!(outcome != TIMED_OUT || raw(lock)[WORD].load(SeqCst) & WAITERS != 0, "somebody sleeps");
        }
        drop(kept);
        behind.finish();
        assert!(!lock.is_locked());
        if staged {
            return;
        }
    }
    panic!("this machine is too busy to stage it");
}

#[test]
fn t3_a_waiter_that_is_woken_and_out_of_time_at_once_takes_the_free_lock() {
    alone(|| woken_but_late(&anonymous(), drop, TAKEN));
}

#[test]
fn t3_a_waiter_that_is_woken_and_finds_the_lock_taken_again_leaves_it_to_the_next_sleeper() {
    alone(|| woken_but_late(&anonymous(), |lock| lock.try_lock().unwrap(), TIMED_OUT));
}
