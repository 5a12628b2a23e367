//! Killed after each instruction: afterwards everybody who waits is let through, told that it is broken, or waits rightly,
//! and a reset is all it takes to go on.

use crate::actor::{Actor, End, Stage};
use crate::support::kill_points::KillPoints;
use crate::support::stepper::Stop;

/// What the sleepers came to after a death.
#[derive(Debug, Default)]
struct Ends {
    through: usize,
    broken: usize,
    /// The victim hadn't arrived: they wait for another one.
    wait_on: usize,
}

/// Kills one victim at each of these points of `command`, with `participants` - 1 others who sleep at the barrier.
fn sweep(participants: usize, mut points: KillPoints, command: &str) -> Ends {
    let stage = Stage::new(participants);
    let others: Vec<Actor> = (1..participants).map(|_| stage.actor()).collect();
    let spare = stage.actor();
    let mut ends = Ends::default();
    while points.are_left() {
        let victim = stage.actor();
        victim.does("prepare");
        others.iter().for_each(|other| other.sleep_in("wait"));
        let stepper = victim.step_through(command);
        points.send(&stepper);
        stepper.kill();
        victim.kill();
        if !others.is_empty() && stage.waits_rightly() {
            spare.tell("wait");
            assert_eq!(spare.end(), End::Leads);
            assert!(others.iter().all(|other| other.end() == End::Through));
            ends.wait_on += 1;
        } else {
            let all = stage.ends(&others.iter().collect::<Vec<_>>());
            assert!(all.windows(2).all(|two| two[0] == two[1]), "not the same for all: {all:?}");
            match all.first() {
                Some(End::Broken) => ends.broken += 1,
                _ => ends.through += 1,
            }
        }
        let who: Vec<&Actor> = others.iter().chain([&spare]).collect();
        stage.goes_on_with(&who);
    }
    println!("futex barrier of {participants}, {command}: {points}, 0 stuck; {ends:?}");
    ends
}

#[test]
fn killed_after_each_instruction_alone() {
    assert!(sweep(1, KillPoints::each(), "step-wait").through > 40);
}

#[test]
fn the_last_of_two_killed_after_each_instruction() {
    let ends = sweep(2, KillPoints::each(), "step-wait");
    assert!(ends.wait_on > 10 && ends.broken > 3 && ends.through > 10, "{ends:?}");
}

#[test]
fn the_last_of_two_killed_in_a_timed_wait() {
    let ends = sweep(2, KillPoints::changes(), "step-timed");
    assert!(ends.wait_on > 2 && ends.through > 2, "{ends:?}");
}

#[test]
fn the_last_of_three_killed_after_each_instruction() {
    let ends = sweep(3, KillPoints::changes(), "step-wait");
    assert!(ends.wait_on > 3 && ends.broken > 0 && ends.through > 3, "{ends:?}");
}

#[test]
fn a_resetter_killed_while_two_wait() {
    let ends = sweep(3, KillPoints::changes(), "step-reset");
    assert!(ends.wait_on > 5 && ends.broken > 5, "{ends:?}");
}

/// The first to come, on its way to sleep; who comes next isn't let through by a dead one.
#[test]
fn the_first_of_two_killed_on_its_way_to_sleep() {
    let stage = Stage::new(2);
    let [other, spare] = [(); 2].map(|()| stage.actor());
    let (mut broken, mut not_arrived) = (0, 0);
    let mut points = KillPoints::changes();
    while points.are_left() {
        let victim = stage.actor();
        victim.does("prepare");
        let stepper = victim.step_through("step-wait");
        points.send(&stepper);
        let had_arrived = stage.barrier.waiting() == 1;
        stepper.kill();
        victim.kill();
        if stage.barrier.is_broken() {
            other.tell("wait");
            assert_eq!(other.end(), End::Broken);
            broken += 1;
        } else {
            assert!(!had_arrived, "it died waiting");
            not_arrived += 1;
        }
        stage.goes_on_with(&[&other, &spare]);
    }
    println!("futex barrier, first of two: {points}, 0 stuck; {broken} broken");
    assert!(broken > 2 && not_arrived > 2);
}

/// From the moment it is woken, through its way out.
#[test]
fn a_waiter_killed_after_each_instruction_since_it_was_woken() {
    let stage = Stage::new(3);
    let [other, last, spare] = [(); 3].map(|()| stage.actor());
    let mut points = KillPoints::changes();
    while points.are_left() {
        let victim = stage.actor();
        let stepper = victim.step_through("step-wait");
        stepper.run_until_asleep();
        other.sleep_in("wait");
        last.tell("wait");
        assert_eq!(last.end(), End::Leads);
        assert!(matches!(stepper.stopped(), Stop::Exit { .. }));
        points.send(&stepper);
        stepper.kill();
        victim.kill();
        assert_eq!(other.end(), End::Through);
        assert!(!stage.barrier.is_broken(), "it died after the round");
        stage.goes_on_with(&[&other, &last, &spare]);
    }
    println!("futex barrier, woken waiter: {points}, 0 stuck");
    assert!(points.kills() > 4);
}
