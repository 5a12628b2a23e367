//! The system's limits: how many sets there may be, and how high a semaphore may count.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use pshared::sysv::Semaphore;
use pshared::{Error, Shm};

use crate::raw::{self, BELL, COUNT, MARK};
use crate::stage::{alone, name, nobody};
use crate::support::claims::Named;
use crate::support::state::{tid, wait_until, wait_until_asleep_in_a_lock};
use crate::support::watchdog::watch;

/// Has this IPC namespace have no more sets than that; says so where it may not.
fn may_limit_sets(most: usize) -> bool {
    let limits = format!("32000 1024000000 500 {most}");
    let done = std::fs::write("/proc/sys/kernel/sem", limits);
    if let Err(error) = &done {
        eprintln!("skipped: this user may not set kernel.sem ({error})");
    }
    done.is_ok()
}

fn three() -> [Semaphore; 3] {
    [(); 3].map(|()| Semaphore::counting(0).unwrap())
}

#[test]
fn a_cell_without_room_for_its_sets_is_an_error_that_leaves_nothing() {
    alone(
        |_| {
            if !may_limit_sets(4) {
                return;
            }
            let _first = Named::create(three);
            let name = name();
            let Err(error) = Shm::create(&name, || Ok(three())) else { panic!("there was room") };
            assert!(matches!(error, Error::Os { call: "semget", .. }), "{error:?}");
            assert_eq!(error.errno(), Some(Errno::ENOSPC as i32));
            let told = error.to_string();
            assert!(["semget", "ipcs -s", "sweep", "kernel.sem"].iter().all(|part| told.contains(part)), "{told}");
            assert!(matches!(Shm::<[Semaphore; 3]>::open(&name), Err(Error::NotFound { .. })));
            assert_eq!(raw::sets().len(), 3, "the one that was made was not removed");
        },
        nobody,
    );
}

#[test]
fn a_cell_takes_the_room_of_those_who_are_gone() {
    alone(
        |_| {
            if !may_limit_sets(4) {
                return;
            }
            for number in 0..4 {
                raw::create((MARK as i32) << 20 | number, COUNT).unwrap();
            }
            assert_eq!(raw::create(7, 1), Err(Errno::ENOSPC));
            wait_until("they are old enough", || raw::sets().into_iter().all(raw::is_old));
            let named = Named::create(three);
            assert_eq!(raw::sets().len(), 3);
            assert!(named.shm.iter().all(|jobs| raw::find(raw::id(raw::name(jobs))).is_some()));
        },
        nobody,
    );
}

#[test]
fn a_waiter_without_room_for_a_new_set_gets_its_permit_nevertheless() {
    alone(
        |_| {
            if !may_limit_sets(1) {
                return;
            }
            let named = Named::create(|| Semaphore::counting(0).unwrap());
            let set = raw::name(&*named.shm);
            raw::remove(raw::id(set)).unwrap();
            let foreign = raw::Foreign::new(7, 1);
            let wait = |jobs: &Semaphore| {
                std::thread::scope(|scope| {
                    let (ids, sleeping) = std::sync::mpsc::channel();
                    scope.spawn(move || {
                        ids.send(tid()).unwrap();
                        jobs.wait().unwrap();
                    });
                    wait_until_asleep_in_a_lock(sleeping.recv().unwrap());
                    jobs.post().unwrap();
                });
            };
            wait(&named.shm);
            assert!(raw::find(raw::id(set)).is_none());
            // With room again, the next sleeper makes a set.
            drop(foreign);
            wait(&named.shm);
            assert_eq!(raw::sets().iter().map(|row| row.id).collect::<Vec<_>>(), [raw::id(set)]);
        },
        nobody,
    );
}

#[test]
fn a_bell_that_can_count_no_further_rings_all_the_same() {
    let _watchdog = watch("a_bell_that_can_count_no_further_rings_all_the_same");
    let named = Named::create(|| Semaphore::counting(0).unwrap());
    let jobs = &*named.shm;
    let set = raw::id(raw::name(jobs));
    std::thread::scope(|scope| {
        let (ids, sleeping) = std::sync::mpsc::channel();
        scope.spawn(move || {
            ids.send(tid()).unwrap();
            jobs.wait().unwrap();
        });
        wait_until_asleep_in_a_lock(sleeping.recv().unwrap());
        // Somebody rings it up to where it ends. The sleeper takes some of these rings, and sleeps on when they are gone.
        let mut rings = 0;
        while rings < 3 {
            match raw::operate(set, BELL, i16::MAX, 0) {
                Ok(()) | Err(Errno::ERANGE) => rings += 1,
                Err(errno) => panic!("{errno}"),
            }
            jobs.value();
        }
        jobs.post().unwrap();
    });
    assert_eq!(raw::operate(set, BELL, i16::MAX, 0), Err(Errno::ERANGE));
    for _ in 0..3 {
        jobs.post_many(1000).unwrap();
    }
    assert_eq!(jobs.value(), 3000);
}

/// A signal to the thread that made it every millisecond, by the kernel's own timer: no gaps, however busy the machine is.
struct Storm(libc::timer_t);

impl Storm {
    fn here(signal: Signal) -> Storm {
        // SAFETY: all its fields are integers, or a pointer that may be null.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal as i32;
        event.sigev_notify_thread_id = tid() as i32;
        let mut timer = std::ptr::null_mut();
        // SAFETY: both outlive the call.
        Errno::result(unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer) }).unwrap();
        let every = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        let times = libc::itimerspec { it_interval: every, it_value: every };
        // SAFETY: a timer made above, and a struct that outlives the call.
        Errno::result(unsafe { libc::timer_settime(timer, 0, &times, std::ptr::null_mut()) }).unwrap();
        Storm(timer)
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        // SAFETY: made by `here`, deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}

#[test]
fn a_stream_of_signals_moves_no_deadline_and_ends_no_wait() {
    static SIGNALS: AtomicU32 = AtomicU32::new(0);
    extern "C" fn count(_: i32) {
        SIGNALS.fetch_add(1, Ordering::Relaxed);
    }
    let _watchdog = watch("a_stream_of_signals_moves_no_deadline_and_ends_no_wait");
    let action = SigAction::new(SigHandler::Handler(count), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler counts.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
    let named = Named::create(|| Semaphore::counting(0).unwrap());
    let jobs = &*named.shm;
    let waited = Duration::from_millis(300);
    let timed_out = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            let _storm = Storm::here(Signal::SIGUSR1);
            let started = Instant::now();
            assert_eq!(jobs.wait_timeout(waited), Err(Error::TimedOut));
            assert!(started.elapsed() >= waited, "{:?}", started.elapsed());
            timed_out.store(true, Ordering::Relaxed);
            // And one that only a post ends.
            jobs.wait().unwrap();
        });
        wait_until("the end of the time", || timed_out.load(Ordering::Relaxed));
        let before = SIGNALS.load(Ordering::Relaxed);
        assert!(before >= 5, "there was no stream of signals");
        wait_until("more signals", || SIGNALS.load(Ordering::Relaxed) >= before + 20);
        assert!(!waiter.is_finished());
        jobs.post().unwrap();
    });
}
