//! Killed after each instruction: afterwards the permits add up, nobody sleeps beside a free one, and whoever comes can
//! have all of them, twice.

use crate::actor::{Actor, Stage};
use crate::support::schedule;
use crate::support::stepper::{Stepper, Stop};

/// How a victim stopped after some number of instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    /// At the instruction.
    There,
    /// To the end of what was to be stepped through, before it.
    ToTheEnd,
    /// To a call in which it sleeps.
    ToSleep,
}

/// Steps `count` instructions, or to the end.
fn step(stepper: &Stepper, count: usize) -> Came {
    for _ in 0..count {
        match stepper.step_or_sleep() {
            Stop::Stepped => {}
            Stop::Mark => return Came::ToTheEnd,
            Stop::Asleep => return Came::ToSleep,
            other => panic!("{other:?}"),
        }
    }
    Came::There
}

/// Kills one victim after `first`, one after `first + stride`, … instructions of `command`, and calls `killed` after each;
/// says how many were killed.
fn kill_after_each(stride: usize, victim: impl Fn() -> Actor, command: &str, mut killed: impl FnMut()) -> usize {
    for count in 0.. {
        let victim = victim();
        let stepper = victim.step_through(command);
        let came = step(&stepper, count * stride);
        stepper.kill();
        victim.kill();
        killed();
        if came != Came::There {
            return count + 1;
        }
    }
    unreachable!()
}

/// Where nobody waits. The victim has used all permits before, so its thread is prepared.
fn sweep_alone<const N: usize>(stride: usize, warm: bool, command: &str) {
    let stage = Stage::<N>::new();
    let victim = || {
        let victim = stage.actor();
        if warm {
            victim.does("acquire");
            victim.does("release");
        }
        victim
    };
    let kills = kill_after_each(stride, victim, command, || stage.adds_up(N));
    println!("futex permits {command}, {N} permits: killed at {kills} instructions, 0 lost, 0 minted");
    assert!(kills > 40 / stride);
}

#[test]
fn killed_after_each_instruction_of_acquire_and_release() {
    sweep_alone::<2>(1, true, "step-acquire");
}

#[test]
fn killed_after_each_instruction_of_try_and_release() {
    sweep_alone::<1>(3, true, "step-try");
}

#[test]
fn killed_after_each_instruction_of_timed_and_release() {
    sweep_alone::<1>(3, true, "step-timed");
}

#[test]
fn killed_in_a_threads_first_acquire() {
    sweep_alone::<2>(23, false, "step-acquire");
}

#[test]
fn killed_after_each_instruction_with_two_permits() {
    sweep_alone::<2>(5, true, "step-two");
}

/// All that the victim had are free, and all sleepers that can have one get one, without looking up by themselves.
fn everybody_goes_on<const N: usize>(stage: &Stage<N>, waiters: &[&Actor]) {
    for waiter in waiters {
        // Those that are awake may be on their way to wake another.
        let awake = |waiter: &&&Actor| !schedule::is_asleep(waiter.tid);
        assert!(
            waiters.iter().any(|waiter| awake(&waiter)) || !stage.is_stranded(waiter),
            "all asleep beside a free permit"
        );
    }
}

fn sweep_release<const N: usize>(sleepers: usize) {
    let stage = Stage::<N>::new();
    let waiters: Vec<Actor> = (0..sleepers).map(|_| stage.actor()).collect();
    let waiters: Vec<&Actor> = waiters.iter().collect();
    let victim = || {
        let victim = stage.actor();
        (0..N).for_each(|_| victim.does("acquire"));
        waiters.iter().for_each(|waiter| waiter.sleep_in("acquire"));
        victim
    };
    let kills = kill_after_each(1, victim, "step-release", || {
        everybody_goes_on(&stage, &waiters);
        if sleepers <= N {
            waiters.iter().for_each(|waiter| waiter.is_done());
            waiters.iter().for_each(|waiter| waiter.does("release"));
        } else {
            // One after the other: whoever has got one gives it to the next.
            let mut left = waiters.clone();
            while !left.is_empty() {
                let next = wait_for_holder(&stage, &left);
                let next = left.remove(next);
                next.is_done();
                next.does("release");
                everybody_goes_on(&stage, &left);
            }
        }
        stage.adds_up(N);
    });
    println!("futex permits release, {N} permits, {sleepers} sleepers: killed at {kills} instructions, 0 stuck");
    assert!(kills > 30);
}

/// Which of them has got a permit.
fn wait_for_holder<const N: usize>(stage: &Stage<N>, waiters: &[&Actor]) -> usize {
    let mut found = None;
    schedule::wait_until("one of them has a permit", || {
        found = waiters.iter().position(|waiter| stage.owners().contains(&waiter.tid));
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn killed_after_each_instruction_of_a_release_with_a_sleeper() {
    sweep_release::<1>(1);
}

#[test]
fn killed_after_each_instruction_of_a_release_with_two_sleepers() {
    sweep_release::<1>(2);
}

#[test]
fn killed_after_each_instruction_of_a_release_of_one_of_two_with_two_sleepers() {
    sweep_release::<2>(2);
}

#[test]
fn a_waiter_killed_on_its_way_to_sleep() {
    for command in ["step-acquire", "step-timed"] {
        let stage = Stage::<1>::new();
        let [holder, other] = [(); 2].map(|()| stage.actor());
        let victim = || {
            let victim = stage.actor();
            victim.does("acquire"); // its first one prepares the thread
            victim.does("release");
            holder.does("acquire");
            other.sleep_in("acquire");
            victim
        };
        let kills = kill_after_each(37, victim, command, || {
            holder.does("release");
            everybody_goes_on(&stage, &[&other]);
            other.is_done();
            other.does("release");
            stage.adds_up(1);
        });
        println!("futex permits {command}, held, one other sleeper: killed at {kills} instructions, 0 stuck");
        assert!(kills > 20);
    }
}

/// From the moment it is woken, through taking the permit and giving it back, with or without somebody who is faster.
fn sweep_woken(barged: bool, stride: usize) {
    let stage = Stage::<1>::new();
    let [holder, other, barger] = [(); 3].map(|()| stage.actor());
    let (mut kills, mut missed) = (0, 0);
    loop {
        let victim = stage.actor();
        holder.does("acquire");
        let stepper = victim.step_through("step-acquire");
        stepper.run_until_asleep();
        other.sleep_in("acquire");
        let slept = schedule::sleeps(other.tid);
        holder.does("release");
        // Somebody who looked up by himself just now changes the order; that round says less, and is done again.
        let met = stepper.stopped() == (Stop::Exit { result: 0 }) && schedule::sleeps(other.tid) == slept;
        if met && barged {
            barger.does("try");
        }
        let came = if met { step(&stepper, kills * stride) } else { Came::There };
        stepper.kill();
        victim.kill();
        if met && barged {
            barger.does("release");
        }
        everybody_goes_on(&stage, &[&other]);
        other.is_done();
        other.does("release");
        stage.adds_up(1);
        if met {
            kills += 1;
        } else {
            missed += 1;
            assert!(missed < 1000, "the schedule is never met");
        }
        if came != Came::There {
            break;
        }
    }
    println!(
        "futex permits, woken waiter, one other sleeper, barged in {barged}: killed at {kills} instructions, 0 stuck"
    );
    assert!(kills > 20);
}

#[test]
fn a_waiter_killed_after_each_instruction_since_it_was_woken() {
    sweep_woken(false, 3);
}

#[test]
fn a_waiter_killed_after_each_instruction_since_it_was_woken_and_another_was_faster() {
    sweep_woken(true, 11);
}
