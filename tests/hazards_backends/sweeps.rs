//! Killed after everything that another can see: what is left can be used, and everybody who waits gets an answer.

use pshared::Error;
use pshared::backend::Backend;

use crate::hazard;
use crate::stage::Stage;
use crate::support::kill_points::KillPoints;

/// Kills one victim at each point of `command`; `before` each, and `after` it.
fn sweep<B: Backend, S>(stage: &Stage<B>, command: &str, before: impl Fn() -> S, after: impl Fn(S)) {
    let mut points = KillPoints::changes();
    while points.are_left() {
        let victim = stage.actor();
        let state = before();
        let stepper = victim.step_through(&format!("step-all {command}"));
        points.send(&stepper);
        stepper.kill();
        victim.kill();
        after(state);
    }
    println!("{} {command}: {points}", B::NAME);
    assert!(points.kills() > 3);
}

hazard!(a_lock_can_be_had_after_each_kill, |stage| {
    sweep(
        stage,
        "lock",
        || (),
        |()| {
            drop(stage.table.lock.lock_or_recover(|_, _| {}).unwrap());
        },
    );
    Some(())
});

hazard!(permits_add_up_after_each_kill, |stage| {
    let permits = &stage.table.permits;
    sweep(
        stage,
        "permit",
        || (),
        |()| {
            assert_eq!(permits.available(), 2);
            let both = [permits.acquire().unwrap(), permits.acquire().unwrap()];
            assert!(matches!(permits.try_acquire(), Err(Error::WouldBlock)), "minted");
            drop(both);
        },
    );
    Some(())
});

hazard!(
    /// It is done, or the next one does it; who waits is told in any case.
    what_is_done_once_is_done_after_each_kill,
    |stage| {
        let mut points = KillPoints::changes();
        while points.are_left() {
            let fresh = stage.anew();
            let [victim, waiter, next] = [(); 3].map(|()| fresh.actor());
            waiter.sleeps_in("await");
            let stepper = victim.step_through("step-all do");
            points.send(&stepper);
            stepper.kill();
            victim.kill();
            next.does("do");
            waiter.says("done");
        }
        assert!(points.kills() > 3);
        Some(())
    }
);

/// What becomes of one that sleeps at the barrier, and of the barrier.
fn everybody_is_answered<B: Backend>(stage: &Stage<B>, command: &str) {
    let meeting = &stage.table.meeting;
    let [other, spare] = [(); 2].map(|()| stage.actor());
    sweep(
        stage,
        command,
        || other.sleeps_in("meet"),
        |()| {
            if meeting.waiting() == 1 && !meeting.is_broken() {
                // The victim had not come.
                spare.tell("meet");
                spare.says("leads");
                other.says("done");
            } else {
                let answer = other.hear();
                assert!(matches!(answer.as_str(), "done" | "BarrierBroken"), "{answer}");
            }
            meeting.reset().unwrap();
            assert!(!meeting.is_broken());
            other.sleeps_in("meet");
            spare.tell("meet");
            spare.says("leads");
            other.says("done");
        },
    );
}

hazard!(
    /// The last to come.
    a_barrier_answers_everybody_after_each_kill_of_one_that_comes,
    |stage| {
        everybody_is_answered(stage, "meet");
        Some(())
    }
);

hazard!(a_barrier_answers_everybody_after_each_kill_of_one_that_resets, |stage| {
    everybody_is_answered(stage, "reset");
    Some(())
});

/// The first to come, on its way to sleep: once it is counted, it is missed.
fn missed_where_it_counts<B: Backend>(stage: &Stage<B>) -> Option<()> {
    let meeting = &stage.table.meeting;
    let [other, spare] = [(); 2].map(|()| stage.actor());
    let mut broken = 0;
    let mut points = KillPoints::changes();
    while points.are_left() {
        let victim = stage.actor();
        let stepper = victim.step_through("step-all meet");
        points.send(&stepper);
        let had_come = meeting.waiting() == 1;
        stepper.kill();
        victim.kill();
        if meeting.is_broken() {
            other.tell("meet");
            other.says("BarrierBroken");
            meeting.reset().unwrap();
            broken += 1;
        } else {
            assert!(!had_come, "counted, dead and not missed");
        }
        other.sleeps_in("meet");
        spare.tell("meet");
        spare.says("leads");
        other.says("done");
    }
    assert!(broken > 1);
    Some(())
}

/// On the backend whose bell takes the fewest instructions: all watched barriers are one code, and futexes have a sweep of
/// their own.
mod a_barrier_is_broken_by_the_first_one_that_is_killed_where_it_counts {
    mod posix {
        #[test]
        fn staged() {
            let test = concat!(module_path!(), "::staged");
            crate::stage::run(test, crate::sweeps::missed_where_it_counts::<pshared::posix::Posix>);
        }
    }
}
