//! Waiters killed asleep, or woken and before they run.

use pshared::backend::Backend;

use crate::hazard;
use crate::stage::{Actor, KINDS, Stage, is_wake_up};
use crate::support::schedule;

/// Lets a victim sleep first and `others` behind it; gives one, by which the victim is woken, and kills it before it runs.
/// `None` if somebody else was woken for it.
fn kill_woken<B: Backend>(stage: &Stage<B>, kind: &str, timed: &str, others: &[&Actor]) -> Option<Actor> {
    let holder = stage.holder(kind);
    let victim = stage.actor();
    let stepper = victim.step_to_sleep(&format!("step-take{timed} {kind}"));
    for other in others {
        other.sleeps_in(&format!("take {kind}"));
    }
    holder.does(&format!("give {kind}"));
    let met = is_wake_up(stepper.stopped());
    stepper.kill();
    victim.kill();
    met.then_some(holder)
}

hazard!(
    /// R1', R2, R3, R4: another gets what it was woken for. Of a condition variable, the notification.
    r2_r3_r4_a_woken_waiter_is_killed_and_another_gets_it,
    |stage| {
        for kind in KINDS {
            for timed in ["", "-timed"] {
                let stage = stage.anew();
                let other = stage.actor();
                let _holder = kill_woken(&stage, kind, timed, &[&other])?;
                other.says("done");
            }
        }
        Some(())
    }
);

hazard!(
    /// R1: somebody took it before the victim died, and gives it back after that.
    r1_a_woken_waiter_is_killed_after_another_took_it,
    |stage| {
        for kind in ["lock", "job", "permit"] {
            let stage = stage.anew();
            let holder = stage.holder(kind);
            let [victim, other, barger] = [(); 3].map(|()| stage.actor());
            let stepper = victim.step_to_sleep(&format!("step-take {kind}"));
            other.sleeps_in(&format!("take {kind}"));
            holder.does(&format!("give {kind}"));
            let met = is_wake_up(stepper.stopped());
            if met {
                // The other one may look up by itself and be faster.
                barger.tell(&format!("take {kind}"));
            }
            stepper.kill();
            victim.kill();
            if !met {
                return None;
            }
            barger.tell(&format!("give {kind}"));
            other.says("done");
            if kind != "job" {
                other.does(&format!("give {kind}"));
            } else {
                holder.does("give job"); // whoever has got it keeps it
            }
            barger.says("done");
            barger.says("done");
        }
        Some(())
    }
);

hazard!(
    /// R2: three that are left get it in turn.
    r2_a_waiter_that_never_owned_is_killed_after_being_woken,
    |stage| {
        let [second, third, fourth] = [(); 3].map(|()| stage.actor());
        let mut waiting = vec![&second, &third, &fourth];
        let _holder = kill_woken(stage, "lock", "", &waiting)?;
        while !waiting.is_empty() {
            let has_it = |waiter: &&Actor| Some(waiter.tid) == stage.table.lock.owner().map(|owner| owner.tid);
            let mut next = None;
            schedule::wait_until("the next one has it", || {
                next = waiting.iter().position(has_it);
                next.is_some()
            });
            let next = waiting.remove(next.unwrap());
            next.says("done");
            next.does("give lock");
        }
        Some(())
    }
);

hazard!(
    /// R3": two are given in a row, and the first one's waiter is killed: both are found.
    r3_second_two_are_given_and_the_first_ones_waiter_is_killed,
    |stage| {
        for kind in ["job", "permit"] {
            let stage = stage.anew();
            let holder = stage.holder(kind);
            let [victim, second, third] = [(); 3].map(|()| stage.actor());
            let stepper = victim.step_to_sleep(&format!("step-take {kind}"));
            second.sleeps_in(&format!("take {kind}"));
            third.sleeps_in(&format!("take-timed {kind}"));
            holder.does(&format!("give {kind}"));
            let met = is_wake_up(stepper.stopped());
            if met {
                holder.does(&format!("give {kind}"));
            }
            stepper.kill();
            victim.kill();
            if !met {
                return None;
            }
            second.says("done");
            third.says("done");
            assert_eq!((stage.table.jobs.value(), stage.table.permits.available()), if kind == "job" { (0, 2) } else { (0, 0) });
        }
        Some(())
    }
);

hazard!(
    /// R2, E5: giving, or notifying, comes to its end, and the other one wakes.
    r2_e5_a_waiter_killed_asleep_takes_nothing_along,
    |stage| {
        for kind in KINDS {
            let stage = stage.anew();
            let holder = stage.holder(kind);
            let [victim, other] = [(); 2].map(|()| stage.actor());
            victim.sleeps_in(&format!("take {kind}"));
            other.sleeps_in(&format!("take {kind}"));
            victim.kill();
            for _ in 0..3 {
                holder.does(&format!("give {kind}"));
            }
            other.says("done");
        }
        Some(())
    }
);
