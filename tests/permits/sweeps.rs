//! Killed after each instruction: afterwards the permits add up, nobody sleeps beside a free one, and whoever comes can
//! have all of them, twice.

use crate::actor::{Actor, Stage};
use crate::support::kill_points::KillPoints;
use crate::support::schedule;
use crate::support::stepper::Stop;

/// Kills one victim at each of these points of `command`, and calls `killed` after each.
fn kill_at(points: &mut KillPoints, victim: impl Fn() -> Actor, command: &str, mut killed: impl FnMut()) {
    while points.are_left() {
        let victim = victim();
        let stepper = victim.step_through(command);
        points.send(&stepper);
        stepper.kill();
        victim.kill();
        killed();
    }
}

/// Where nobody waits. The victim has used all permits before, so its thread is prepared.
fn sweep_alone<const N: usize>(mut points: KillPoints, warm: bool, command: &str) {
    let stage = Stage::<N>::new();
    let victim = || {
        let victim = stage.actor();
        if warm {
            victim.does("acquire");
            victim.does("release");
        }
        victim
    };
    kill_at(&mut points, victim, command, || stage.adds_up(N));
    println!("futex permits {command}, {N} permits: {points}, 0 lost, 0 minted");
    assert!(points.kills() > 10);
}

#[test]
fn killed_after_each_instruction_of_acquire_and_release() {
    sweep_alone::<2>(KillPoints::each(), true, "step-acquire");
}

#[test]
fn killed_after_each_instruction_of_try_and_release() {
    sweep_alone::<1>(KillPoints::each(), true, "step-try");
}

#[test]
fn killed_after_each_instruction_of_timed_and_release() {
    sweep_alone::<1>(KillPoints::each(), true, "step-timed");
}

#[test]
fn killed_in_a_threads_first_acquire() {
    sweep_alone::<2>(KillPoints::changes(), false, "step-acquire");
}

#[test]
fn killed_after_each_instruction_with_two_permits() {
    sweep_alone::<2>(KillPoints::each(), true, "step-two");
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
    let mut points = KillPoints::each();
    kill_at(&mut points, victim, "step-release", || {
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
    println!("futex permits release, {N} permits, {sleepers} sleepers: {points}, 0 stuck");
    assert!(points.kills() > 30);
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
        let mut points = KillPoints::changes();
        kill_at(&mut points, victim, command, || {
            holder.does("release");
            everybody_goes_on(&stage, &[&other]);
            other.is_done();
            other.does("release");
            stage.adds_up(1);
        });
        println!("futex permits {command}, held, one other sleeper: {points}, 0 stuck");
        assert!(points.kills() > 5);
    }
}

/// From the moment it is woken, through taking the permit and giving it back, with or without somebody who is faster.
fn sweep_woken(barged: bool) {
    let stage = Stage::<1>::new();
    let [holder, other, barger] = [(); 3].map(|()| stage.actor());
    let (mut points, mut missed) = (KillPoints::changes(), 0);
    while points.are_left() {
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
        if met {
            points.send(&stepper);
        }
        stepper.kill();
        victim.kill();
        if met && barged {
            barger.does("release");
        }
        everybody_goes_on(&stage, &[&other]);
        other.is_done();
        other.does("release");
        stage.adds_up(1);
        missed += usize::from(!met);
        assert!(missed < 1000, "the schedule is never met");
    }
    println!("futex permits, woken waiter, one other sleeper, barged in {barged}: {points}, 0 stuck");
    assert!(points.kills() > 5);
}

#[test]
fn a_waiter_killed_after_each_instruction_since_it_was_woken() {
    sweep_woken(false);
}

#[test]
fn a_waiter_killed_after_each_instruction_since_it_was_woken_and_another_was_faster() {
    sweep_woken(true);
}
