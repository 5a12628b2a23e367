//! Killed after each instruction, or after each that changes what a kill leaves.
//!
//! The victim is stepped to the instruction, killed, and waited for: then the kernel has marked what it marks. After each
//! kill nobody sleeps whom a notification should have reached, and all can go on using what is left.

use super::*;
use crate::actor::Stage;
use crate::deaths::wake;
use crate::support::kill_points::{Came, KillPoints};
use crate::support::stepper::Stop;

/// Whatever has been taken or left, there is nothing now.
fn empty(stage: &Stage) {
    stage.was_poisoned();
    *stage.table.value.try_lock().unwrap() = 0;
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
