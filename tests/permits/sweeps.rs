//! Killed after each instruction: afterwards the permits add up, nobody sleeps beside a free one, and whoever comes can
//! have all of them, twice.

use crate::actor::{Actor, Stage};
use crate::support::kill_points::KillPoints;
use crate::support::schedule;

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
fn killed_after_each_instruction_of_a_release_of_one_of_two_with_two_sleepers() {
    sweep_release::<2>(2);
}
