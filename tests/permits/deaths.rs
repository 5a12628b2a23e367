//! Deaths around a wake-up, staged: waiters look up once a second by themselves, which would hide a wake-up that was lost,
//! so each test asks at once whether anybody is left asleep beside a free permit.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;

use crate::actor::{Actor, BRIEF, Stage, TEST, kill_process};
use crate::support::schedule::{self, Pinned, Spinner, is_asleep, sleeps};
use crate::support::stepper::{Stepper, Stop};

/// The next attempt's number if the last one wasn't staged; a failure if none ever is.
fn staged<R>(test: &str, mut attempt: impl FnMut() -> Option<R>) -> R {
    for number in 1..=30 {
        if let Some(result) = attempt() {
            println!("{test}: staged at attempt {number}");
            return result;
        }
    }
    panic!("{test}: the schedule was never met in 30 attempts");
}

/// A waiter that was woken and hasn't run since.
struct Woken {
    stepper: Stepper,
    actor: Actor,
}

impl Woken {
    fn kill(self) {
        self.stepper.kill();
        self.actor.kill();
    }
}

/// Lets `victim` sleep first, `others` behind it, and the holder of one permit release it: the victim is woken and
/// stopped before it runs. `None` if somebody looked up meanwhile, so that the wake-up may have gone elsewhere.
fn wake<const N: usize>(stage: &Stage<N>, victim: Actor, command: &str, others: &[&Actor]) -> Option<Woken> {
    let holder = stage.actor();
    (0..stage.permits.available()).for_each(|_| holder.does("acquire"));
    let stepper = victim.step_through(command);
    stepper.run_until_asleep();
    for other in others {
        other.sleep_in("acquire");
    }
    let before: Vec<_> = others.iter().map(|other| sleeps(other.tid)).collect();
    holder.does("release");
    let met = stepper.stopped() == (Stop::Exit { result: 0 }); // by the relay, the first of the words
    let woken = Woken { stepper, actor: victim };
    let slept_on = others.iter().map(|other| sleeps(other.tid)).eq(before) && others.iter().all(|o| is_asleep(o.tid));
    let met = met && slept_on && stage.permits.available() == 1;
    if !met || N == 1 {
        return met.then_some(woken);
    }
    holder.does("release"); // of two: the next one's
    Some(woken)
}

#[test]
fn r3_a_woken_waiter_is_killed_and_another_gets_the_permit() {
    for command in ["step-acquire", "step-timed"] {
        staged(command, || {
            let stage = Stage::<1>::new();
            let (victim, other) = (stage.actor(), stage.actor());
            let woken = wake(&stage, victim, command, &[&other])?;
            woken.kill();
            assert!(!stage.is_stranded(&other), "asleep beside a free permit");
            other.is_done();
            other.does("release");
            stage.adds_up(1);
            Some(())
        });
    }
}

#[test]
fn r1_a_woken_waiter_is_killed_after_a_barger_took_the_permit() {
    for command in ["step-acquire", "step-timed"] {
        staged(command, || {
            let stage = Stage::<1>::new();
            let (victim, other, barger) = (stage.actor(), stage.actor(), stage.actor());
            let woken = wake(&stage, victim, command, &[&other])?;
            barger.does("try");
            woken.kill();
            let slept = is_asleep(other.tid);
            barger.does("release");
            assert!(!stage.is_stranded(&other), "asleep beside a free permit");
            other.is_done();
            other.does("release");
            stage.adds_up(1);
            slept.then_some(())
        });
    }
}

#[test]
fn r3_prime_a_releaser_killed_before_it_wakes_leaves_the_permit_to_the_sleeper() {
    staged("r3'", || {
        let stage = Stage::<1>::new();
        let (holder, other) = (stage.actor(), stage.actor());
        holder.does("acquire");
        other.sleep_in("acquire");
        let before = sleeps(other.tid);
        let stepper = holder.step_through("step-release");
        while stage.permits.available() == 0 {
            assert_eq!(stepper.step(), Stop::Stepped);
        }
        let met = sleeps(other.tid) == before && is_asleep(other.tid);
        stepper.kill();
        holder.kill();
        assert!(!stage.is_stranded(&other), "asleep beside a free permit");
        other.is_done();
        met.then_some(())
    });
}

/// Two releases, and the first one's waiter is killed: two are left for two permits.
#[test]
fn r3_second_two_releases_in_a_row_and_the_first_ones_waiter_is_killed() {
    staged("r3''", || {
        let stage = Stage::<2>::new();
        let [victim, second, third] = [(); 3].map(|()| stage.actor());
        let woken = wake(&stage, victim, "step-acquire", &[&second, &third])?;
        woken.kill();
        second.is_done();
        third.is_done();
        stage.adds_up(0);
        second.does("release");
        third.does("release");
        stage.adds_up(2);
        Some(())
    });
}

#[test]
fn e4_two_permits_of_one_dead_holder_wake_two_sleepers() {
    let stage = Stage::<2>::new();
    let [holder, first, second] = [(); 3].map(|()| stage.actor());
    holder.does("acquire");
    holder.does("acquire");
    first.sleep_in("acquire");
    second.sleep_in("timed");
    holder.kill();
    // Who has got one has looked for another before it says so.
    let asleep = [&first, &second].map(|waiter| is_asleep(waiter.tid));
    assert_ne!(asleep, [true; 2], "both asleep beside free permits");
    let in_turn = if asleep[0] { [&second, &first] } else { [&first, &second] };
    in_turn[0].is_done();
    assert!(!stage.is_stranded(in_turn[1]), "asleep beside a free permit");
    in_turn[1].is_done();
    assert_eq!(stage.permits.available(), 0);
    first.kill();
    second.kill();
    stage.adds_up(2);
}

#[test]
fn r2_a_waiter_that_is_killed_asleep_takes_nothing_along() {
    let stage = Stage::<1>::new();
    let [holder, victim, other] = [(); 3].map(|()| stage.actor());
    holder.does("acquire");
    victim.sleep_in("acquire");
    other.sleep_in("acquire");
    victim.kill();
    holder.does("release");
    assert!(!stage.is_stranded(&other), "asleep beside a free permit");
    other.is_done();
}

#[test]
fn t3_a_timed_waiter_that_is_woken_when_its_time_is_up_takes_the_permit() {
    staged("t3", || {
        let stage = Stage::<1>::new();
        let [holder, victim] = [(); 2].map(|()| stage.actor());
        holder.does("acquire");
        let stepper = victim.step_through("step-briefly");
        stepper.run_until_asleep();
        let deadline = Instant::now() + BRIEF;
        holder.does("release");
        let met = stepper.stopped() == (Stop::Exit { result: 0 });
        // Stopped as it was woken, until its time is certainly up.
        schedule::wait_until("its time is up", || Instant::now() > deadline);
        stepper.detach();
        met.then(|| victim.is_done())
    });
}

#[test]
fn e15_a_holder_whose_memory_is_reaped_before_its_exit_walk() {
    let [first, second, ..] = schedule::processors()[..] else {
        return println!("skipped: it takes two processors");
    };
    staged("e15", || {
        let stage = Stage::<1>::new();
        let _here = Pinned::to(0, &[first]);
        let [holder, waiter] = [(); 2].map(|()| stage.actor());
        holder.does("acquire");
        waiter.sleep_in("acquire");
        holder.does(&format!("pin {second}"));
        holder.does("spin");
        let process = pidfd(holder.id());
        let Some(spinner) = Spinner::start(TEST, second) else {
            println!("skipped: it takes the right to real-time priorities");
            return Some(());
        };
        kill_process(holder.id());
        // SAFETY: takes numbers only, and the process is dying.
        let reaped = Errno::result(unsafe { libc::syscall(libc::SYS_process_mrelease, process.as_raw_fd(), 0) });
        drop(spinner); // only now the holder gets to its exit walk
        holder.kill();
        let unmarked = stage.permits.available() == 0 && is_asleep(waiter.tid);
        println!("process_mrelease: {reaped:?}");
        waiter.is_done();
        waiter.does("release");
        stage.adds_up(1);
        (unmarked && reaped.is_ok()).then_some(())
    });
}

/// `pidfd_open`.
fn pidfd(pid: u32) -> OwnedFd {
    // SAFETY: takes numbers only.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) }).unwrap();
    // SAFETY: new, and nobody else's.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

#[test]
fn e15_a_holder_whose_list_the_kernel_does_not_know() {
    for waits in ["acquire", "timed"] {
        let stage = Stage::<2>::new();
        let [holder, waiter, later] = [(); 3].map(|()| stage.actor());
        holder.does("acquire");
        holder.does("acquire");
        holder.does("forget-list");
        waiter.sleep_in(waits);
        holder.kill();
        assert_eq!(stage.permits.available(), 0, "the kernel was not to mark it");
        waiter.is_done();
        later.does("try");
    }
}
