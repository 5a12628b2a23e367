//! Waiters and unlockers killed around a wake-up.

use crate::actor::{Actor, Found, Stage, TEST};
use crate::staged;
use crate::support::schedule::{self, Pinned, Spinner, is_asleep, sleeps};
use crate::support::stepper::{Stepper, Stop};

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

/// Lets `victim` sleep first, `others` behind it, and the owner unlock: the victim is woken and stopped before it runs.
/// `None` if somebody looked up meanwhile, so that the wake-up may have gone elsewhere.
fn wake(stage: &Stage, victim: Actor, command: &str, others: &[&Actor]) -> Option<Woken> {
    let owner = stage.actor();
    assert_eq!(owner.takes("lock 0"), Found::Clean);
    let stepper = victim.step_through(command);
    stepper.run_until_asleep();
    for other in others {
        other.sleep_on("lock 0");
    }
    let before: Vec<_> = others.iter().map(|other| sleeps(other.tid)).collect();
    owner.unlock(0);
    let met = stepper.stopped() == Stop::Exit { result: 0 };
    let woken = Woken { stepper, actor: victim };
    let slept_on = others.iter().map(|other| sleeps(other.tid)).eq(before) && others.iter().all(|o| is_asleep(o.tid));
    (met && slept_on && stage.owner(0) == 0).then_some(woken)
}

#[test]
fn r1_a_woken_waiter_killed_after_a_barger_took_the_lock() {
    for command in ["step-lock 0", "step-timed 0"] {
        staged(command, || {
            let stage = Stage::new();
            let (victim, other, barger) = (stage.actor(), stage.actor(), stage.actor());
            let woken = wake(&stage, victim, command, &[&other])?;
            assert_eq!(barger.takes("lock 0"), Found::Clean);
            woken.kill();
            let slept = is_asleep(other.tid);
            barger.unlock(0);
            assert!(!stage.is_stranded(&other, 0, &[]), "asleep beside a free lock");
            assert_eq!(other.found(), Found::Clean);
            slept.then_some(())
        });
    }
}

#[test]
fn r1_a_woken_waiter_that_no_processor_runs_is_killed_after_a_barger_took_the_lock() {
    let [first, second, ..] = schedule::processors()[..] else {
        return println!("skipped: it takes two processors");
    };
    staged("r1, starved", || {
        let stage = Stage::new();
        let _here = Pinned::to(0, &[first]);
        let [owner, victim, other, barger] = [(); 4].map(|()| stage.actor());
        assert_eq!(owner.takes("lock 0"), Found::Clean);
        assert_eq!(victim.ask(&format!("pin {second}")), "done");
        victim.sleep_on("lock 0");
        other.sleep_on("lock 0");
        let Some(spinner) = Spinner::start(TEST, second) else {
            println!("skipped: it takes the right to real-time priorities");
            return Some(());
        };
        let before = (schedule::runs(victim.tid), sleeps(other.tid));
        owner.unlock(0);
        assert_eq!(barger.takes("lock 0"), Found::Clean);
        let woken = !is_asleep(victim.tid);
        let met = woken && (schedule::runs(victim.tid), sleeps(other.tid)) == before && is_asleep(other.tid);
        let tid = victim.tid;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(tid as i32), nix::sys::signal::SIGKILL).unwrap();
        drop(spinner); // now it may die
        victim.kill();
        if !met {
            return None;
        }
        barger.unlock(0);
        assert!(!stage.is_stranded(&other, 0, &[]), "asleep beside a free lock");
        assert_eq!(other.found(), Found::Clean);
        Some(())
    });
}

#[test]
fn r1_prime_a_woken_waiter_killed_while_the_lock_is_free() {
    for command in ["step-lock 0", "step-timed 0"] {
        staged(command, || {
            let stage = Stage::new();
            let (victim, other) = (stage.actor(), stage.actor());
            let woken = wake(&stage, victim, command, &[&other])?;
            woken.kill();
            assert!(!stage.is_stranded(&other, 0, &[]), "asleep beside a free lock");
            assert_eq!(other.found(), Found::Clean);
            Some(())
        });
    }
}

/// Steps `owner` through its unlock until the word is free and nobody is woken yet.
fn unlock_half(stage: &Stage, owner: &Actor) -> Stepper {
    let stepper = owner.step_through("step-unlock 0");
    while stage.owner(0) != 0 {
        assert_eq!(stepper.step(), Stop::Stepped);
    }
    stepper
}

#[test]
fn r1_second_an_unlocker_killed_before_it_wakes_while_another_barges_in() {
    for barges in [true, false] {
        staged("r1''", || {
            let stage = Stage::new();
            let [owner, other, barger] = [(); 3].map(|()| stage.actor());
            assert_eq!(owner.takes("lock 0"), Found::Clean);
            other.sleep_on("lock 0");
            let before = sleeps(other.tid);
            let stepper = unlock_half(&stage, &owner);
            if barges {
                assert_eq!(barger.takes("lock 0"), Found::Clean);
            }
            let met = sleeps(other.tid) == before && is_asleep(other.tid);
            stepper.kill();
            owner.kill();
            if barges {
                barger.unlock(0);
            }
            assert!(!stage.is_stranded(&other, 0, &[]), "asleep beside a free lock, barged in: {barges}");
            assert_eq!(other.found(), Found::Clean);
            met.then_some(())
        });
    }
}

#[test]
fn r2_a_waiter_that_never_owned_is_killed_after_being_woken() {
    staged("r2", || {
        let stage = Stage::new();
        let [victim, second, third, fourth] = [(); 4].map(|()| stage.actor());
        let woken = wake(&stage, victim, "step-lock 0", &[&second, &third, &fourth])?;
        woken.kill();
        let mut waiting = vec![&second, &third, &fourth];
        while !waiting.is_empty() {
            let asleep = waiting.iter().filter(|waiter| stage.is_stranded(waiter, 0, &[])).count();
            assert!(asleep < waiting.len(), "all {asleep} asleep beside a free lock");
            schedule::wait_until("the next one has it", || stage.owner(0) != 0);
            let next = waiting.iter().position(|waiter| waiter.tid == stage.owner(0)).unwrap();
            let next = waiting.remove(next);
            assert_eq!(next.found(), Found::Clean);
            next.unlock(0);
        }
        Some(())
    });
}

#[test]
fn r2_a_waiter_that_is_killed_asleep_takes_nothing_along() {
    let stage = Stage::new();
    let [owner, victim, other] = [(); 3].map(|()| stage.actor());
    assert_eq!(owner.takes("lock 0"), Found::Clean);
    victim.sleep_on("lock 0");
    other.sleep_on("lock 0");
    victim.kill();
    owner.unlock(0);
    assert!(!stage.is_stranded(&other, 0, &[]), "asleep beside a free lock");
    assert_eq!(other.found(), Found::Clean);
}

/// T3's cousin in the same staging: the time of a timed waiter is up when it is woken.
#[test]
fn t3_a_timed_waiter_that_is_woken_when_its_time_is_up_takes_the_lock() {
    staged("t3", || {
        let stage = Stage::new();
        let [owner, victim] = [(); 2].map(|()| stage.actor());
        assert_eq!(owner.takes("lock 0"), Found::Clean);
        let stepper = victim.step_through("step-briefly 0");
        stepper.run_until_asleep();
        let deadline = std::time::Instant::now() + crate::actor::BRIEF;
        owner.unlock(0);
        let met = stepper.stopped() == Stop::Exit { result: 0 };
        // Stopped as it was woken, until its time is certainly up.
        schedule::wait_until("its time is up", || std::time::Instant::now() > deadline);
        stepper.detach();
        met.then(|| assert_eq!(victim.found(), Found::Clean))
    });
}
