//! Deaths around the end of a round, staged: sleepers look up once a second by themselves, which would hide a wake-up that
//! was lost, so each test asks at once whether anybody is left asleep who shouldn't be.

use std::time::Instant;

use nix::unistd::gettid;

use crate::actor::{BRIEF, End, PLACES, Stage};
use crate::support::schedule::{self, is_asleep, sleeps};
use crate::support::stepper::{Came, Stepper, Stop};

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

/// Steps the last one to come until the round is completed and nobody is woken yet.
fn complete_half(stage: &Stage, stepper: &Stepper) {
    while stage.barrier.waiting() != 0 {
        assert_eq!(stepper.step(), Stop::Stepped);
    }
}

#[test]
fn the_last_one_is_killed_before_it_wakes_the_others() {
    staged("last", || {
        let stage = Stage::new(3);
        let [first, second, last] = [(); 3].map(|()| stage.actor());
        first.sleep_in("wait");
        second.sleep_in("wait-timed");
        let before = [&first, &second].map(|actor| sleeps(actor.tid));
        let stepper = last.step_through("step-wait");
        complete_half(&stage, &stepper);
        let met = [&first, &second].map(|actor| sleeps(actor.tid)) == before;
        stepper.kill();
        last.kill();
        // One of them was woken by the kernel and wakes the other.
        assert_eq!(stage.ends(&[&first, &second]), [End::Through; 2]);
        stage.goes_on_with(&[&first, &second, &stage.actor()]);
        met.then_some(())
    });
}

/// The wake-up of the dead last one goes to a waiter that is killed as well: the third one gets it.
#[test]
fn a_waiter_that_was_woken_by_a_death_is_killed_too() {
    staged("handed on", || {
        let stage = Stage::new(3);
        let [first, second, last] = [(); 3].map(|()| stage.actor());
        let woken = first.step_through("step-wait");
        woken.run_until_asleep();
        second.sleep_in("wait");
        let before = sleeps(second.tid);
        let stepper = last.step_through("step-wait");
        complete_half(&stage, &stepper);
        stepper.kill();
        last.kill();
        let Stop::Exit { result } = woken.stopped() else { panic!("it sleeps in a call") };
        let met = result > 0 && sleeps(second.tid) == before && is_asleep(second.tid);
        woken.kill();
        first.kill();
        let woken_at_once = !is_asleep(second.tid);
        assert!(!met || woken_at_once, "asleep though the round is over");
        assert_eq!(second.end(), End::Through);
        met.then_some(())
    });
}

/// Two wait and one of them dies, and the other, woken for that, dies as well before it has told anybody.
#[test]
fn a_waiter_that_was_to_break_the_round_is_killed_too() {
    staged("breaker", || {
        let stage = Stage::new(4);
        let [dead, first, second] = [(); 3].map(|()| stage.actor());
        let woken = first.step_through("step-wait");
        woken.run_until_asleep();
        second.sleep_in("wait");
        dead.sleep_in("wait");
        let before = sleeps(second.tid);
        dead.kill();
        let Stop::Exit { result } = woken.stopped() else { panic!("it sleeps in a call") };
        let met = result > 0 && sleeps(second.tid) == before && is_asleep(second.tid);
        assert!(stage.barrier.is_broken());
        woken.kill();
        first.kill();
        assert!(!met || !is_asleep(second.tid), "asleep though the round is broken");
        assert_eq!(second.end(), End::Broken);
        met.then_some(())
    });
}

/// The last one dies in a place that looked, to somebody who is about to sleep, as it does after that death: another had
/// died there before.
#[test]
fn the_last_one_is_killed_in_the_place_of_another_dead() {
    let stage = Stage::new(2);
    let place = gettid().as_raw() as u32 + 1; // the reset takes another
    let [dead, last] = [(); 2].map(|()| stage.actor_at(place));
    let waiter = stage.actor_at(place + 1);
    dead.sleep_in("wait");
    dead.kill();
    stage.barrier.reset().unwrap();
    let asleep_soon = waiter.step_through("step-wait");
    while !asleep_soon.to_syscall().is_futex_wait() {}
    let stepper = last.step_through("step-wait");
    complete_half(&stage, &stepper);
    stepper.kill();
    last.kill();
    assert_eq!(asleep_soon.run_to_end(), Came::ToTheEnd, "asleep though the round is over");
    asleep_soon.detach();
    assert_eq!(waiter.end(), End::Through);
}

/// The last one comes, ends the round and dies while somebody, who has slept before, is between two looks at its place.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_last_one_is_killed_while_somebody_looks_at_its_place() {
    let stage = Stage::new(3);
    let [waiter, third, last] = [0, 1, 2].map(|place| stage.actor_at(place));
    let note = waiter.address() + 24 + 48 * (last.tid % PLACES) as usize + 40;
    let asleep_soon = waiter.step_through("step-wait");
    while !asleep_soon.to_syscall().is_futex_wait() {}
    // It has said that it sleeps, and doesn't, as a place changes.
    let stopped = third.step_through("step-wait");
    while stage.barrier.waiting() != 2 {
        assert_eq!(stopped.step(), Stop::Stepped);
    }
    assert!(matches!(asleep_soon.to_syscall(), Stop::Exit { result: ..0 }));
    asleep_soon.run_to_access(note);
    let stepper = last.step_through("step-wait");
    complete_half(&stage, &stepper);
    stepper.kill();
    last.kill();
    assert_eq!(asleep_soon.run_to_end(), Came::ToTheEnd, "asleep though the round is over");
    asleep_soon.detach();
    stopped.run_to_mark();
    stopped.detach();
    assert_eq!([waiter.end(), third.end()], [End::Through; 2]);
}

#[test]
fn t3_a_timed_waiter_that_is_woken_when_its_time_is_up_is_let_through() {
    staged("t3", || {
        let stage = Stage::new(2);
        let [victim, last] = [(); 2].map(|()| stage.actor());
        let stepper = victim.step_through("step-briefly");
        stepper.run_until_asleep();
        let deadline = Instant::now() + BRIEF;
        last.tell("wait");
        let met = matches!(stepper.stopped(), Stop::Exit { result: 0.. }) && last.end() == End::Leads;
        // Stopped as it was woken, until its time is certainly up.
        schedule::wait_until("its time is up", || Instant::now() > deadline);
        stepper.detach();
        met.then(|| assert_eq!(victim.end(), End::Through))
    });
}

/// A resetter is killed between breaking the round and telling: who waits is told.
#[test]
fn a_resetter_is_killed_before_it_wakes_the_others() {
    staged("resetter", || {
        let stage = Stage::new(3);
        let [first, second, resetter] = [(); 3].map(|()| stage.actor());
        first.sleep_in("wait");
        second.sleep_in("wait");
        let before = [&first, &second].map(|actor| sleeps(actor.tid));
        let stepper = resetter.step_through("step-reset");
        complete_half(&stage, &stepper); // broken, and begun anew or not yet
        let met = [&first, &second].map(|actor| sleeps(actor.tid)) == before;
        stepper.kill();
        resetter.kill();
        assert_eq!(stage.ends(&[&first, &second]), [End::Broken; 2]);
        // Whoever comes ends the reset that was begun.
        stage.is_whole_for(&[&first, &second, &stage.actor()]);
        met.then_some(())
    });
}

#[test]
fn e15_a_participant_whose_list_the_kernel_does_not_know() {
    for waits in ["wait", "wait-timed"] {
        let stage = Stage::new(3);
        let [dead, waiter] = [(); 2].map(|()| stage.actor());
        dead.does("prepare");
        dead.does("forget-list");
        dead.sleep_in("wait");
        waiter.sleep_in(waits);
        dead.kill();
        assert!(!stage.barrier.is_broken(), "the kernel was not to mark it");
        assert_eq!(waiter.end(), End::Broken);
    }
}
