//! Killed after each instruction: afterwards everybody who waits is let through, told that it is broken, or waits rightly,
//! and a reset is all it takes to go on.

use crate::actor::{Actor, End, Stage};
use crate::support::kill_points::KillPoints;

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
