//! Waiters and notifiers killed at the moment that matters: rows of the list of hazards, by their numbers.
//!
//! Sleepers look up once a second by themselves, which would hide a notification that was lost. So the tests ask at once,
//! when the dead are dead, whether anybody is still asleep whom the notification should have reached.

use super::*;
use crate::actor::{Actor, BRIEF, Stage};
use crate::support::schedule;
use crate::support::stepper::{Stepper, Stop};

/// The next attempt's number if the last one wasn't staged; a failure if none ever is.
fn staged<R>(test: &str, mut attempt: impl FnMut() -> Option<R>) -> R {
    for number in 1..=30 {
        if let Some(result) = attempt() {
            println!("{test}: staged at attempt {number}");
            return result;
        }
    }
    panic!("{test}: the schedule was never met in 30 attempts");
}

/// A waiter that was woken and hasn't run since.
pub struct Woken {
    pub stepper: Stepper,
    pub actor: Actor,
}

impl Woken {
    pub fn kill(self) {
        self.stepper.kill();
        self.actor.kill();
    }
}

/// Lets a new process sleep first, `others` behind it, and wakes it with something to take; stopped before it runs. `None`
/// if somebody looked up meanwhile, so that the wake-up may have gone elsewhere.
pub fn wake(stage: &Stage, command: &str, others: &[&Actor], notify: fn(&Condvar)) -> Option<Woken> {
    let actor = stage.actor();
    let stepper = actor.step_to_sleep(command);
    others.iter().for_each(|other| other.sleep_on("take"));
    let before: Vec<_> = others.iter().map(|other| schedule::sleeps(other.tid)).collect();
    stage.put();
    notify(&stage.table.changed);
    let met = matches!(stepper.stopped(), Stop::Exit { result: 0.. });
    let slept_on =
        others.iter().map(|other| schedule::sleeps(other.tid)).eq(before) && others.iter().all(|o| o.waits());
    (met && slept_on).then_some(Woken { stepper, actor })
}

type Condvar = pshared::Condvar;

const COMMANDS: [&str; 2] = ["step-wait", "step-timed"];

#[test]
fn r4_a_woken_waiter_killed_before_it_runs() {
    for command in COMMANDS {
        let stage = Stage::new();
        let (other, third) = (stage.actor(), stage.actor());
        staged(command, || {
            let woken = wake(&stage, command, &[&other, &third], Condvar::notify_one);
            let met = woken.is_some();
            woken.into_iter().for_each(Woken::kill);
            let asleep = [&other, &third].map(Actor::waits);
            // Whatever was met, everybody gets something in the end.
            stage.table.value.clear_poison();
            (0..2).for_each(|_| stage.put());
            stage.table.changed.notify_all();
            assert_eq!([other.hear(), third.hear()], ["clean", "clean"]);
            *stage.table.value.lock().unwrap() = 0;
            if met {
                assert_ne!(asleep, [true; 2], "asleep beside a notification");
            }
            met.then_some(())
        });
        stage.must_serve(&[&other, &third]);
    }
}

#[test]
fn r4_a_woken_waiter_killed_while_it_waits_for_the_lock() {
    for command in COMMANDS {
        staged(command, || {
            let stage = Stage::new();
            let (other, barger) = (stage.actor(), stage.actor());
            let woken = wake(&stage, command, &[&other], Condvar::notify_one)?;
            assert_eq!(barger.ask("lock"), "clean");
            // It has the baton now, and falls asleep in the lock.
            woken.stepper.run_until_asleep();
            assert_eq!(stage.baton(), woken.actor.tid);
            assert!(other.waits(), "nobody should have woken it");
            woken.kill();
            assert!(!other.waits(), "asleep beside a notification");
            assert_eq!(barger.ask("unlock"), "done");
            assert_eq!(other.hear(), "clean");
            stage.must_serve(&[&other, &barger]);
            Some(())
        });
    }
}

#[test]
fn r4_a_woken_waiter_killed_with_a_barger_in_the_lock() {
    staged("r4, barger", || {
        let stage = Stage::new();
        let (other, barger) = (stage.actor(), stage.actor());
        let woken = wake(&stage, "step-wait", &[&other], Condvar::notify_one)?;
        assert_eq!(barger.ask("lock"), "clean");
        woken.kill();
        assert!(!other.waits(), "asleep beside a notification");
        assert_eq!(barger.ask("unlock"), "done");
        assert_eq!(other.hear(), "clean");
        stage.must_serve(&[&other, &barger]);
        Some(())
    });
}

/// At once or within the second: which of the two is killed, the other one or the third comes back.
#[test]
fn r4_one_of_two_woken_waiters_is_killed() {
    staged("r4, two", || {
        let stage = Stage::new();
        let (other, third) = (stage.actor(), stage.actor());
        let woken = wake(&stage, "step-wait", &[&other, &third], Condvar::notify_one)?;
        stage.put();
        stage.table.changed.notify_one();
        woken.kill();
        assert_eq!([other.hear(), third.hear()], ["clean", "clean"]);
        stage.must_serve(&[&other, &third]);
        Some(())
    });
}

/// There is one baton: whoever is woken while another has it goes without, and its notification is found within a second.
#[test]
fn r4_of_two_on_their_way_to_the_lock_the_one_with_nothing_in_its_hands_is_killed() {
    let stage = Stage::new();
    let [first, second, third, barger] = [(); 4].map(|()| stage.actor());
    [&first, &second, &third].iter().for_each(|actor| actor.sleep_on("take"));
    (0..2).for_each(|_| stage.put());
    assert_eq!(barger.ask("lock"), "clean");
    for actor in [&first, &second] {
        stage.table.changed.notify_one();
        schedule::wait_until("it waits for the lock", || schedule::is_asleep(actor.tid) && !actor.waits());
    }
    let (lucky, victim) = if stage.baton() == first.tid { (first, second) } else { (second, first) };
    assert_eq!(stage.baton(), lucky.tid);
    victim.kill();
    assert_eq!(barger.ask("unlock"), "done");
    assert_eq!([lucky.hear(), third.hear()], ["clean", "clean"]);
    stage.must_serve(&[&lucky, &third, &barger]);
}

#[test]
fn r4_a_waiter_that_was_woken_with_all_is_killed() {
    staged("r4, all", || {
        let stage = Stage::new();
        let (other, third) = (stage.actor(), stage.actor());
        let victim = stage.actor();
        let stepper = victim.step_to_sleep("step-wait");
        [&other, &third].iter().for_each(|actor| actor.sleep_on("take"));
        (0..2).for_each(|_| stage.put());
        stage.table.changed.notify_all();
        let asleep = [&other, &third].map(Actor::waits);
        let met = matches!(stepper.stopped(), Stop::Exit { result: 0.. });
        stepper.kill();
        victim.kill();
        assert_eq!(asleep, [false; 2], "asleep after a notification of all");
        assert_eq!([other.hear(), third.hear()], ["clean", "clean"]);
        stage.must_serve(&[&other, &third]);
        met.then_some(())
    });
}

#[test]
fn e5_a_waiter_killed_asleep_takes_no_later_notification_along() {
    for notify in [Condvar::notify_one, Condvar::notify_all] {
        let stage = Stage::new();
        let (victim, other) = (stage.actor(), stage.actor());
        victim.sleep_on("take");
        other.sleep_on("take");
        victim.kill();
        schedule::wait_until("it sleeps on", || other.waits());
        stage.put();
        notify(&stage.table.changed);
        assert!(!other.waits(), "asleep after a notification");
        assert_eq!(other.hear(), "clean");
        stage.must_serve(&[&other]);
    }
}

#[test]
fn e5_only_killed_waiters_are_left_behind_and_nobody_waits_for_them() {
    let stage = Stage::new();
    for _ in 0..3 {
        let victim = stage.actor();
        victim.sleep_on("take");
        victim.kill();
        stage.table.changed.notify_one();
        stage.table.changed.notify_all();
    }
    stage.must_serve(&[]);
}

/// T3 of the list of hazards: it may say that it was notified, or that its time was up and leave the notification to another.
#[test]
fn t3_a_timed_waiter_that_is_woken_when_its_time_is_up_says_that_it_was_notified() {
    staged("t3", || {
        let stage = Stage::new();
        let woken = wake(&stage, "step-briefly", &[], Condvar::notify_one)?;
        let deadline = Instant::now() + BRIEF;
        // Stopped as it was woken, until its time is certainly up.
        schedule::wait_until("its time is up", || Instant::now() > deadline);
        woken.stepper.detach();
        assert_eq!(woken.actor.hear(), "timed out: false");
        Some(())
    });
}

#[test]
fn e12_an_owner_dies_then_the_waiter_that_was_told() {
    staged("e12", || {
        let stage = Stage::new();
        let owner = stage.actor();
        let woken = wake(&stage, "step-recover", &[], Condvar::notify_one)?;
        assert_eq!(owner.ask("lock"), "clean");
        woken.stepper.run_until_asleep();
        owner.kill();
        woken.stepper.stopped();
        woken.kill();
        assert!(stage.was_poisoned(), "nobody is told any more");
        *stage.table.value.lock().unwrap() = 0;
        stage.must_serve(&[]);
        Some(())
    });
}

/// Stopped where the lock has just come free: what is sent there, by one who needed the lock, ends the wait without a sleep.
#[test]
fn what_is_sent_as_soon_as_the_lock_is_given_up_is_not_missed() {
    let stage = Stage::new();
    for notify in [Condvar::notify_one, Condvar::notify_all] {
        let waiter = stage.actor();
        let stepper = waiter.step_through("step-wait");
        while stage.table.value.is_locked() {
            assert_eq!(stepper.step(), Stop::Stepped);
        }
        stage.put();
        notify(&stage.table.changed);
        loop {
            match stepper.step_or_sleep() {
                Stop::Stepped => {}
                Stop::Mark => break,
                other => panic!("{other:?} though it was notified"),
            }
        }
        stepper.detach();
        assert_eq!(waiter.hear(), "clean");
    }
    *stage.table.value.lock().unwrap() = 0;
    stage.must_serve(&[]);
}

/// A system call on a path that is to have none would show as a stop before the mark.
#[test]
fn notifying_makes_no_system_call_while_nobody_sleeps() {
    let stage = Stage::new();
    let notifier = stage.actor();
    for command in ["step-one", "step-all"] {
        let stepper = notifier.step_through(command);
        // The first stop is in the second mark: raise() asks for ids first, and no futex is among what it calls.
        loop {
            match stepper.to_syscall() {
                Stop::Mark => break,
                Stop::Entry { number, .. } => assert_ne!(number, libc::SYS_futex, "{command}"),
                _ => {}
            }
        }
        stepper.detach();
        assert_eq!(notifier.hear(), "done");
    }
    stage.must_serve(&[&notifier]);
}
