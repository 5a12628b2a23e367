//! Killed after each instruction, or after each that changes what a kill leaves.
//!
//! The victim is stepped to the instruction, killed, and waited for: then the kernel has marked what it marks. What it
//! owned at that moment must have been marked, what it didn't must not, and nobody may sleep beside a free lock.

use std::sync::atomic::Ordering;

use crate::actor::{Actor, Found, Stage};
use crate::support::kill_points::KillPoints;
use crate::support::schedule;
use crate::support::stepper::Stop;

/// Kills one victim at each of these points of what `command` does.
fn kill_at(
    points: &mut KillPoints,
    mut victim: impl FnMut() -> Actor,
    command: &str,
    mut killed: impl FnMut(u32, &mut dyn FnMut()),
) {
    while points.are_left() {
        let victim = victim();
        let stepper = victim.step_through(command);
        points.send(&stepper);
        let tid = victim.tid;
        let mut parts = Some((stepper, victim));
        killed(tid, &mut || {
            let (stepper, victim) = parts.take().unwrap();
            stepper.kill();
            victim.kill();
        });
    }
}

/// One after each instruction, where nobody waits: what it owns is poisoned, and nothing else.
fn sweep_alone(mut points: KillPoints, warm: &[&str], command: &str) {
    let stage = Stage::new();
    let mut poisoned = 0;
    let victim = || {
        let victim = stage.actor();
        warm.iter().for_each(|command| _ = victim.ask(command));
        victim
    };
    kill_at(&mut points, victim, command, |tid, kill| {
        let owned = [0, 1].map(|lock| stage.owner(lock) == tid);
        kill();
        for (lock, owned) in owned.into_iter().enumerate() {
            assert_eq!(stage.owner(lock), 0, "lock {lock}: not marked by the kernel");
            assert_eq!(stage.must_be_free(lock), Found::poisoned_if(owned), "lock {lock}");
            poisoned += usize::from(owned);
        }
    });
    println!("mutex {command}, {warm:?} before: {points}, {poisoned} poisoned, 0 stuck");
    assert!(poisoned > 3 && points.kills() > poisoned / 2);
}

const WARM: [&str; 2] = ["lock 0", "unlock 0"];

#[test]
fn killed_after_each_instruction_of_lock_and_unlock() {
    sweep_alone(KillPoints::each(), &WARM, "step-both 0");
}

#[test]
fn killed_in_a_threads_first_lock_and_unlock() {
    sweep_alone(KillPoints::changes(), &[], "step-both 0");
}

#[test]
fn killed_after_each_instruction_with_two_locks_released_in_the_order_taken() {
    sweep_alone(KillPoints::each(), &WARM, "step-two 0");
}

#[test]
fn killed_after_each_instruction_of_an_unlock_that_wakes() {
    let stage = Stage::new();
    let waiter = stage.actor();
    let (mut stuck, mut poisoned) = (0, 0);
    let victim = || {
        let victim = stage.actor();
        assert_eq!(victim.takes("lock 0"), Found::Clean);
        waiter.sleep_on("lock 0");
        victim
    };
    let mut points = KillPoints::each();
    kill_at(&mut points, victim, "step-unlock 0", |tid, kill| {
        let owned = stage.owner(0) == tid;
        kill();
        assert_ne!(stage.owner(0), tid, "not marked by the kernel");
        stuck += usize::from(stage.is_stranded(&waiter, 0, &[]));
        assert_eq!(waiter.found(), Found::poisoned_if(owned));
        waiter.unlock(0);
        stage.table.locks[0].clear_poison();
        poisoned += usize::from(owned);
    });
    println!("mutex unlock, one sleeper: {points}, {stuck} stuck");
    assert_eq!(stuck, 0);
    assert!(poisoned > 10 && poisoned < points.kills());
}

#[test]
fn a_waiter_killed_on_its_way_to_sleep() {
    let stage = Stage::new();
    let [owner, other] = [(); 2].map(|()| stage.actor());
    let mut stuck = 0;
    let victim = || {
        let victim = stage.actor();
        assert_eq!(victim.ask("lock 1"), "clean"); // its first lock prepares the thread
        assert_eq!(owner.takes("lock 0"), Found::Clean);
        other.sleep_on("lock 0");
        victim
    };
    let mut points = KillPoints::changes();
    kill_at(&mut points, victim, "step-lock 0", |_, kill| {
        kill();
        owner.unlock(0);
        stuck += usize::from(stage.is_stranded(&other, 0, &[]));
        assert_eq!(other.found(), Found::Clean);
        other.unlock(0);
        stage.table.locks[1].clear_poison();
    });
    println!("mutex lock, held, one other sleeper: {points}, {stuck} stuck");
    assert_eq!(stuck, 0);
}

/// From the moment it is woken, through taking the lock and giving it back.
#[test]
fn a_waiter_killed_after_each_instruction_since_it_was_woken() {
    let stage = Stage::new();
    let [owner, other] = [(); 2].map(|()| stage.actor());
    let (mut stuck, mut poisoned, mut missed) = (0, 0, 0);
    let mut points = KillPoints::each();
    while points.are_left() {
        let victim = stage.actor();
        assert_eq!(owner.takes("lock 0"), Found::Clean);
        let stepper = victim.step_through("step-both 0");
        stepper.run_until_asleep();
        other.sleep_on("lock 0");
        let slept = schedule::sleeps(other.tid);
        owner.unlock(0);
        // Somebody who looked up by himself just now changes the order; that round says less, and is done again.
        let met = stepper.stopped() == Stop::Exit { result: 0 } && schedule::sleeps(other.tid) == slept;
        if met {
            points.send(&stepper);
        }
        let owned = stage.owner(0) == victim.tid;
        let tid = victim.tid;
        stepper.kill();
        victim.kill();
        assert_ne!(stage.owner(0), tid, "not marked by the kernel");
        stuck += usize::from(stage.is_stranded(&other, 0, &[]));
        assert_eq!(other.found(), Found::poisoned_if(owned));
        other.unlock(0);
        stage.table.locks[0].clear_poison();
        if met {
            poisoned += usize::from(owned);
        } else {
            missed += 1;
            assert!(missed < 1000, "the schedule is never met");
        }
    }
    println!("mutex, woken waiter, one other sleeper: {points}, {stuck} stuck");
    assert_eq!(stuck, 0);
    assert!(poisoned > 10 && poisoned < points.kills());
}

#[test]
fn e12_a_recoverer_killed_after_each_instruction() {
    let stage = Stage::new();
    let (mut again, mut done) = (0, 0);
    let victim = || {
        let owner = stage.actor();
        stage.table.locks[0].clear_poison();
        assert_eq!(owner.takes("lock 0"), Found::Clean);
        owner.kill();
        stage.table.repaired.store(0, Ordering::SeqCst);
        stage.actor()
    };
    let mut points = KillPoints::changes();
    kill_at(&mut points, victim, "step-recover 0", |tid, kill| {
        let (owned, repaired) = (stage.owner(0) == tid, stage.table.repaired.load(Ordering::SeqCst) == 1);
        kill();
        assert_eq!(stage.owner(0), 0, "not marked by the kernel");
        let found = stage.must_be_free(0);
        // Between the repair and the end of the poison either is right.
        if owned || !repaired {
            assert_eq!(found, Found::Poisoned, "owned {owned}, repaired {repaired}");
            again += 1;
        }
        done += usize::from(found == Found::Clean);
    });
    println!("mutex lock_or_recover: {points}, {again} left the poison, {done} repaired");
    assert!(again > 3 && done > 0);
}
