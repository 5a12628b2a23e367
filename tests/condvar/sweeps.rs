//! Killed after each instruction, or after each that changes what a kill leaves.
//!
//! The victim is stepped to the instruction, killed, and waited for: then the kernel has marked what it marks. After each
//! kill nobody sleeps whom a notification should have reached, and all can go on using what is left.

use super::*;
use crate::actor::{Actor, Stage};
use crate::deaths::wake;
use crate::support::kill_points::{Came, KillPoints};
use crate::support::stepper::Stop;

/// Whatever has been taken or left, there is nothing now.
fn empty(stage: &Stage) {
    stage.was_poisoned();
    *stage.table.value.try_lock().unwrap() = 0;
}

#[test]
fn a_waiter_killed_on_its_way_to_sleep() {
    let stage = Stage::new();
    let other = stage.actor();
    let (mut points, mut poisoned) = (KillPoints::changes(), 0);
    while points.are_left() {
        other.sleep_on("take");
        let victim = stage.actor();
        let stepper = victim.step_through("step-wait");
        points.send(&stepper);
        let owned = stage.table.value.owner().is_some_and(|owner| owner.tid == victim.tid);
        stepper.kill();
        victim.kill();
        assert_eq!(stage.was_poisoned(), owned, "{points}");
        poisoned += usize::from(owned);
        crate::support::schedule::wait_until("it sleeps on", || other.waits());
        stage.put();
        stage.table.changed.notify_one();
        assert!(!other.waits(), "asleep after a notification; {points}");
        assert_eq!(other.hear(), "clean");
    }
    println!("wait, one other sleeper: {points}, {poisoned} poisoned, 0 stuck");
    stage.must_serve(&[&other]);
    assert!(poisoned > 0 && points.kills() > poisoned);
}

#[test]
fn a_notification_at_any_moment_of_a_wait_is_heard() {
    let stage = Stage::new();
    let (mut points, mut notified) = (KillPoints::changes(), 0);
    while points.are_left() {
        let waiter = stage.actor();
        let stepper = waiter.step_through("step-wait");
        let came = points.send(&stepper);
        // While it has the lock, nobody who keeps to the rules notifies it.
        if came != Came::ToTheEnd && stage.table.value.owner().is_none() {
            stage.table.changed.notify_one();
            let mut stop = if came == Came::ToSleep { stepper.stopped() } else { Stop::Stepped };
            while stop != Stop::Mark {
                stop = stepper.to_syscall();
            }
            notified += 1;
        }
        stepper.kill();
        waiter.kill();
        empty(&stage);
    }
    println!("a wait, notified at any moment: {points}, {notified} came back, 0 stuck");
    stage.must_serve(&[]);
    assert!(notified > 3 && points.kills() > notified);
}

/// From the moment it is woken to the end of its wait, or to its sleep in the lock.
fn woken_waiters(mut points: KillPoints, barger: Option<&dyn Fn(&Stage) -> Actor>) {
    let stage = Stage::new();
    let other = stage.actor();
    let barger = barger.map(|barger| barger(&stage));
    let (mut missed, mut poisoned) = (0, 0);
    while points.are_left() {
        let Some(woken) = wake(&stage, "step-wait", &[&other], pshared::Condvar::notify_one) else {
            // Somebody looked up meanwhile: that round says less, and is done again.
            missed += 1;
            assert!(missed < 300, "the schedule is never met");
            stage.table.value.clear_poison();
            (0..2).for_each(|_| stage.put());
            stage.table.changed.notify_all();
            other.hear();
            empty(&stage);
            continue;
        };
        if let Some(barger) = &barger {
            assert_eq!(barger.ask("lock"), "clean");
        }
        let on_its_way = points.send(&woken.stepper) == Came::There;
        let owned = stage.table.value.owner().is_some_and(|owner| owner.tid == woken.actor.tid);
        let tid = woken.actor.tid;
        let has_baton = stage.baton() == tid;
        let done = !on_its_way && barger.is_none();
        woken.kill();
        assert_ne!(stage.baton(), tid, "not marked by the kernel");
        poisoned += usize::from(owned);
        // With the lock in its hands and the baton given back its wait is as good as over.
        if !owned || has_baton {
            assert!(!other.waits(), "asleep beside a notification; {points}");
        }
        if let Some(barger) = &barger {
            assert_eq!(barger.ask("unlock"), "done");
        }
        if owned || done {
            stage.table.changed.notify_one();
        }
        let news = other.hear();
        assert_eq!(news, if owned { "poisoned OwnerDied" } else { "clean" });
        empty(&stage);
    }
    println!("woken waiter, one other sleeper: {points}, {poisoned} in the lock, 0 stuck");
    let mut others = vec![&other];
    others.extend(&barger);
    stage.must_serve(&others);
    assert!(points.kills() > 10);
}

#[test]
fn a_woken_waiter_killed_until_its_wait_is_over() {
    woken_waiters(KillPoints::each(), None);
}

#[test]
fn a_woken_waiter_killed_on_its_way_to_a_lock_that_a_third_one_has() {
    woken_waiters(KillPoints::changes(), Some(&|stage: &Stage| stage.actor()));
}

/// All or nothing: if it counted, somebody is awake.
fn notifiers(command: &str, sleepers: usize, awake: usize) {
    let stage = Stage::new();
    let others: Vec<Actor> = (0..sleepers).map(|_| stage.actor()).collect();
    let (mut points, mut done) = (KillPoints::each(), 0);
    while points.are_left() {
        let notifier = stage.actor();
        others.iter().for_each(|other| other.sleep_on("take"));
        let before = stage.sequence();
        (0..sleepers).for_each(|_| stage.put());
        let stepper = notifier.step_through(command);
        points.send(&stepper);
        let notified = stage.sequence() != before;
        let asleep = others.iter().filter(|other| other.waits()).count();
        stepper.kill();
        notifier.kill();
        done += usize::from(notified);
        if notified {
            assert!(asleep <= sleepers - awake, "{asleep} of {sleepers} asleep; {points}");
        }
        stage.table.changed.notify_all();
        others.iter().for_each(|other| assert_eq!(other.hear(), "clean"));
        empty(&stage);
    }
    println!("{command}, {sleepers} asleep: {points}, {done} had notified, 0 in between");
    let others: Vec<&Actor> = others.iter().collect();
    stage.must_serve(&others);
    assert!(done > 0 && points.kills() > done);
}

#[test]
fn e6_a_notifier_of_one_killed_with_one_asleep() {
    notifiers("step-one", 1, 1);
}

#[test]
fn e6_a_notifier_of_one_killed_with_two_asleep() {
    notifiers("step-one", 2, 1);
}

#[test]
fn e6_a_notifier_of_all_killed_with_two_asleep() {
    notifiers("step-all", 2, 2);
}

#[test]
fn e6_a_notifier_killed_with_nobody_asleep() {
    notifiers("step-one", 0, 0);
}

#[test]
fn e12_a_waiter_that_recovers_killed_until_it_is_done() {
    let (mut again, mut done, mut points) = (0, 0, KillPoints::changes());
    let stage = Stage::new();
    while points.are_left() {
        let owner = stage.actor();
        stage.table.repaired.store(0, Ordering::SeqCst);
        let Some(woken) = wake(&stage, "step-recover", &[], pshared::Condvar::notify_one) else {
            empty(&stage);
            continue;
        };
        assert_eq!(owner.ask("lock"), "clean");
        owner.kill();
        points.send(&woken.stepper);
        let owned = stage.table.value.owner().is_some_and(|owner| owner.tid == woken.actor.tid);
        woken.kill();
        let repaired = stage.table.repaired.load(Ordering::SeqCst) == 1;
        let poisoned = stage.was_poisoned();
        if owned || !repaired {
            assert!(poisoned, "owned {owned}, repaired {repaired}; {points}");
        }
        again += usize::from(poisoned);
        done += usize::from(!poisoned);
        empty(&stage);
    }
    println!("a waiter that recovers: {points}, {again} left the poison, {done} repaired");
    stage.must_serve(&[]);
    assert!(again > 3);
}
