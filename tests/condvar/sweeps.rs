//! Killed after each instruction, or every few.
//!
//! The victim is stepped to the instruction, killed, and waited for: then the kernel has marked what it marks. After each
//! kill nobody sleeps whom a notification should have reached, and all can go on using what is left.

use super::*;
use crate::actor::{Actor, Stage};
use crate::deaths::wake;
use crate::support::stepper::{Stepper, Stop};

/// Steps `count` instructions; `false` if it came to its end or to sleep before.
fn step(stepper: &Stepper, count: usize) -> bool {
    for _ in 0..count {
        match stepper.step_or_sleep() {
            Stop::Stepped => {}
            Stop::Mark | Stop::Asleep => return false,
            other => panic!("{other:?}"),
        }
    }
    true
}

/// Whatever has been taken or left, there is nothing now.
fn empty(stage: &Stage) {
    stage.was_poisoned();
    *stage.table.value.try_lock().unwrap() = 0;
}

#[test]
fn a_waiter_killed_on_its_way_to_sleep() {
    const STRIDE: usize = 9;
    let stage = Stage::new();
    let other = stage.actor();
    let (mut kills, mut poisoned) = (0, 0);
    for count in 0.. {
        other.sleep_on("take");
        let victim = stage.actor();
        let stepper = victim.step_through("step-wait");
        let on_its_way = step(&stepper, count * STRIDE);
        let owned = stage.table.value.owner().is_some_and(|owner| owner.tid == victim.tid);
        stepper.kill();
        victim.kill();
        kills += 1;
        assert_eq!(stage.was_poisoned(), owned, "after {count} × {STRIDE} instructions");
        poisoned += usize::from(owned);
        crate::support::schedule::wait_until("it sleeps on", || other.waits());
        stage.put();
        stage.table.changed.notify_one();
        assert!(!other.waits(), "asleep after a notification; victim killed after {count} × {STRIDE} instructions");
        assert_eq!(other.hear(), "clean");
        if !on_its_way {
            break;
        }
    }
    println!("wait, one other sleeper: killed at {kills} instructions, {poisoned} poisoned, 0 stuck");
    stage.must_serve(&[&other]);
    assert!(poisoned > 0 && kills > poisoned);
}

/// From the moment it is woken to the end of its wait, or to its sleep in the lock.
fn woken_waiters(stride: usize, barger: Option<&dyn Fn(&Stage) -> Actor>) {
    let stage = Stage::new();
    let other = stage.actor();
    let barger = barger.map(|barger| barger(&stage));
    let (mut count, mut missed, mut poisoned) = (0, 0, 0);
    loop {
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
        let on_its_way = step(&woken.stepper, count * stride);
        let owned = stage.table.value.owner().is_some_and(|owner| owner.tid == woken.actor.tid);
        let tid = woken.actor.tid;
        let has_baton = stage.baton() == tid;
        let done = !on_its_way && barger.is_none();
        woken.kill();
        assert_ne!(stage.baton(), tid, "not marked by the kernel");
        poisoned += usize::from(owned);
        // With the lock in its hands and the baton given back its wait is as good as over.
        if !owned || has_baton {
            assert!(!other.waits(), "asleep beside a notification; killed after {count} × {stride} instructions");
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
        count += 1;
        if !on_its_way {
            break;
        }
    }
    println!("woken waiter, one other sleeper: killed at {count} instructions, {poisoned} in the lock, 0 stuck");
    let mut others = vec![&other];
    others.extend(&barger);
    stage.must_serve(&others);
    assert!(count > 10);
}

#[test]
fn a_woken_waiter_killed_until_its_wait_is_over() {
    woken_waiters(5, None);
}

#[test]
fn a_woken_waiter_killed_on_its_way_to_a_lock_that_a_third_one_has() {
    woken_waiters(23, Some(&|stage: &Stage| stage.actor()));
}

/// All or nothing: if it counted, somebody is awake.
fn notifiers(command: &str, sleepers: usize, awake: usize) {
    let stage = Stage::new();
    let others: Vec<Actor> = (0..sleepers).map(|_| stage.actor()).collect();
    let (mut kills, mut done) = (0, 0);
    for count in 0.. {
        let notifier = stage.actor();
        others.iter().for_each(|other| other.sleep_on("take"));
        let before = stage.sequence();
        (0..sleepers).for_each(|_| stage.put());
        let stepper = notifier.step_through(command);
        let stepping = step(&stepper, count);
        let notified = stage.sequence() != before;
        let asleep = others.iter().filter(|other| other.waits()).count();
        stepper.kill();
        notifier.kill();
        kills += 1;
        done += usize::from(notified);
        if notified {
            assert!(asleep <= sleepers - awake, "{asleep} of {sleepers} asleep; killed after {count} instructions");
        }
        stage.table.changed.notify_all();
        others.iter().for_each(|other| assert_eq!(other.hear(), "clean"));
        empty(&stage);
        if !stepping {
            break;
        }
    }
    println!("{command}, {sleepers} asleep: killed at {kills} instructions, {done} had notified, 0 in between");
    let others: Vec<&Actor> = others.iter().collect();
    stage.must_serve(&others);
    assert!(done > 0 && kills > done);
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
    const STRIDE: usize = 41;
    let (mut again, mut done, mut count) = (0, 0, 0);
    let stage = Stage::new();
    loop {
        let owner = stage.actor();
        stage.table.repaired.store(0, Ordering::SeqCst);
        let Some(woken) = wake(&stage, "step-recover", &[], pshared::Condvar::notify_one) else {
            empty(&stage);
            continue;
        };
        assert_eq!(owner.ask("lock"), "clean");
        owner.kill();
        let stepping = step(&woken.stepper, count * STRIDE);
        let owned = stage.table.value.owner().is_some_and(|owner| owner.tid == woken.actor.tid);
        woken.kill();
        let repaired = stage.table.repaired.load(Ordering::SeqCst) == 1;
        let poisoned = stage.was_poisoned();
        if owned || !repaired {
            assert!(poisoned, "owned {owned}, repaired {repaired}, after {count} × {STRIDE} instructions");
        }
        again += usize::from(poisoned);
        done += usize::from(!poisoned);
        empty(&stage);
        count += 1;
        if !stepping {
            break;
        }
    }
    println!("a waiter that recovers: killed at {count} instructions, {again} left the poison, {done} repaired");
    stage.must_serve(&[]);
    assert!(again > 3);
}
