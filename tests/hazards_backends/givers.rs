//! Unlockers, posters, notifiers killed between giving and waking.

use crate::hazard;
use crate::support::stepper::Stop;

hazard!(
    /// R1", R3', E6: what is given is there, and the sleeper gets it. A notification is made before the death or not at all:
    /// the next one comes through in any case.
    r1_second_r3_prime_e6_killed_between_giving_and_waking,
    |stage| {
        for kind in crate::stage::KINDS {
            let stage = stage.anew();
            let giver = stage.holder(kind);
            let [waiter, next] = [(); 2].map(|()| stage.actor());
            waiter.sleeps_in(&format!("take {kind}"));
            let stepper = giver.step_through(&format!("step-give {kind}"));
            let table = &stage.table;
            let met = if kind == "change" {
                matches!(stepper.to_syscall(), Stop::Entry { .. })
            } else {
                // The waiter may look up by itself and be faster.
                let given = || match kind {
                    "lock" => table.lock.owner().map(|owner| owner.tid) != Some(giver.tid),
                    "job" => table.jobs.value() == 1,
                    _ => table.permits.available() == 1,
                };
                let stop = (0..).find_map(|_| match given() {
                    true => Some(Stop::Stepped),
                    false => Some(stepper.step()).filter(|stop| *stop != Stop::Stepped),
                });
                // There may be nothing between: both in one system call.
                stop == Some(Stop::Stepped) || kind == "job"
            };
            stepper.kill();
            giver.kill();
            if kind == "change" {
                next.does("give change");
            }
            waiter.says("done");
            if !met {
                return None;
            }
        }
        Some(())
    }
);

hazard!(
    /// E8: a post isn't taken back by the end of who posted, nor by its death.
    e8_what_is_posted_outlives_the_poster,
    |stage| {
        let [leaver, victim] = [(); 2].map(|()| stage.actor());
        leaver.does("give job");
        leaver.tell("exit");
        leaver.child.finish();
        assert_eq!(stage.table.jobs.value(), 1);
        victim.does("give job");
        victim.does("take job");
        victim.does("give job");
        victim.kill();
        assert_eq!(stage.table.jobs.value(), 2);
        (0..2).for_each(|_| stage.table.jobs.try_wait().unwrap());
        assert!(stage.table.jobs.try_wait().is_err(), "minted");
        Some(())
    }
);
