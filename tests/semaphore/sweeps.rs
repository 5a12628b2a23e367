//! Waits for any of several and semaphores of every kind, killed after each instruction, or after each that changes what a
//! kill leaves. Plain waits and posts are in the kill sweep.
//!
//! The victim is stepped to the instruction, killed, and waited for. Then the permits must add up: what was posted is there
//! or was taken, by the victim too, and nobody sleeps beside a permit.

use std::cell::RefCell;

use crate::actor::{Stage, Table};
use crate::support::kill_points::KillPoints;
use crate::support::schedule;
use crate::support::stepper::{Stepper, Stop};

/// Kills one victim at each of these points of what `command` does, and lets `killed` look at what it left.
fn kill_at(points: &mut KillPoints, stage: &Stage, command: &str, mut prepare: impl FnMut(), mut killed: impl FnMut()) {
    while points.are_left() {
        prepare();
        let victim = stage.actor();
        let stepper = victim.step_through(command);
        points.send(&stepper);
        stepper.kill();
        victim.kill();
        killed();
    }
}

fn drain(stage: &Stage) {
    while stage.table.permits.try_wait().is_ok() {}
}

#[test]
fn killed_in_a_wait_for_any_that_finds_a_permit() {
    let stage = Stage::new();
    let mut taken = 0;
    let prepare = || {
        drain(&stage);
        stage.table.permits.post_many(2).unwrap();
    };
    let mut points = KillPoints::changes();
    kill_at(&mut points, &stage, "step-any", prepare, || {
        assert!([1, 2].contains(&stage.permits()), "{}", stage.permits());
        taken += usize::from(stage.permits() == 1);
    });
    println!("step-any, permits there: {points}, {taken} after it was taken");
    assert!(taken > 0 && points.kills() > taken);
}

/// The sleeper is stopped as soon as it is woken, so that what it does doesn't depend on how slow the poster is.
#[test]
fn killed_after_each_instruction_of_a_post_with_a_sleeper() {
    for (waits, command) in [
        ("trace-wait-binary", "step-post-binary"),
        ("trace-any", "step-post"),
        ("trace-wait-limited", "step-post-limited"),
    ] {
        let stage = Stage::new();
        let waiter = stage.actor();
        let Table { permits, binary, limited, .. } = &*stage.table;
        let value = || permits.value() + binary.value() + limited.value();
        let posts = match waits {
            "trace-wait-binary" => binary,
            "trace-wait-limited" => limited,
            _ => permits,
        };
        let looks_up = matches!(waits, "trace-any" | "trace-wait-limited");
        let (mut posted, mut late) = (0, 0);
        let stepper = RefCell::new(None);
        let prepare = || {
            drain(&stage);
            let tracing = waiter.step_through(waits);
            tracing.run_until_asleep();
            *stepper.borrow_mut() = Some(tracing);
        };
        let mut points = KillPoints::each();
        kill_at(&mut points, &stage, command, prepare, || {
            let tracing: Stepper = stepper.borrow_mut().take().unwrap();
            posted += usize::from(value() > 0);
            late += usize::from(value() > 0 && schedule::is_asleep(waiter.tid));
            assert!(looks_up || late == 0, "asleep beside a permit");
            let woken_for_nothing = value() == 0 && !schedule::is_asleep(waiter.tid);
            if value() == 0 {
                posts.post().unwrap();
            }
            let looked_up = matches!(tracing.stopped(), Stop::Exit { result: ..0 }); // its time was up
            assert!(looks_up || looked_up || !woken_for_nothing, "woken for nothing");
            tracing.detach();
            waiter.child.peer.expect("done");
        });
        println!("{command}, one sleeper ({waits}): {points}, {posted} had posted, {late} late, 0 stuck");
        assert!(posted > 0 && points.kills() > posted);
    }
}

/// One that waits is killed, beside another that sleeps: what is posted then, the other takes.
fn killed_beside_a_sleeper(command: &str) {
    let stage = Stage::new();
    let other = stage.actor();
    let mut points = KillPoints::changes();
    kill_at(
        &mut points,
        &stage,
        command,
        || other.sleep_on("wait"),
        || {
            stage.table.permits.post().unwrap();
            stage.one_takes(&mut vec![&other]);
        },
    );
    println!("{command}, one other sleeper: {points}, 0 stuck");
    assert!(points.kills() > 2);
}

#[test]
fn a_waiter_for_any_killed_on_its_way_to_sleep() {
    killed_beside_a_sleeper("step-any");
}

#[test]
fn a_timed_waiter_killed_after_each_change_of_giving_up() {
    killed_beside_a_sleeper("step-give-up");
}

/// From the moment it is woken until it is back from its wait. The other was woken as well, and takes the permit: it finds
/// nothing, or a permit of its own.
#[test]
fn a_waiter_for_any_killed_since_it_was_woken() {
    let stage = Stage::new();
    let other = stage.actor();
    let mut points = KillPoints::changes();
    while points.are_left() {
        let victim = stage.actor();
        let stepper = victim.step_through("step-any");
        stepper.run_until_asleep();
        other.sleep_on("wait");
        stage.table.permits.post().unwrap();
        assert!(matches!(stepper.stopped(), Stop::Exit { result: 0.. }));
        stage.one_takes(&mut vec![&other]);
        other.sleep_on("wait");
        points.send(&stepper);
        stepper.kill();
        victim.kill();
        stage.table.permits.post().unwrap();
        stage.one_takes(&mut vec![&other]);
    }
    println!("step-any, woken, one other sleeper: {points}, 0 stuck");
    assert!(points.kills() > 2);
}
