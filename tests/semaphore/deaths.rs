//! Waiters and posters killed around a wake-up: the schedules of the list of hazards, by number, staged.
//!
//! Nobody looks up by himself here, so whoever is left asleep beside a permit stays asleep, and the tests see it.

use crate::actor::{Actor, Stage};
use crate::support::schedule::{self, is_asleep};
use crate::support::stepper::{Stepper, Stop};

/// A waiter that was woken and hasn't run since.
struct Woken {
    stepper: Stepper,
    actor: Actor,
}

impl Woken {
    /// Waits until `victim` was woken, and stops it before it runs.
    fn stopped(stepper: Stepper, actor: Actor) -> Woken {
        assert_eq!(stepper.stopped(), Stop::Exit { result: 0 });
        Woken { stepper, actor }
    }

    fn kill(self) {
        self.stepper.kill();
        self.actor.kill();
    }
}

/// An actor that sleeps, to be stopped as it is woken. Its stepper comes last, to be dropped first.
fn victim(stage: &Stage, command: &str) -> (Actor, Stepper) {
    let victim = stage.actor();
    let stepper = victim.step_through(command);
    stepper.run_until_asleep();
    (victim, stepper)
}

fn sleepers<const N: usize>(stage: &Stage, command: &str) -> [Actor; N] {
    std::array::from_fn(|_| {
        let actor = stage.actor();
        actor.sleep_on(command);
        actor
    })
}

#[test]
fn r3_a_woken_waiter_is_killed_and_another_gets_the_permit() {
    for command in ["step-wait", "step-timed"] {
        let stage = Stage::new();
        let (victim, stepper) = victim(&stage, command);
        let [other] = sleepers(&stage, "wait");
        stage.table.permits.post().unwrap();
        let woken = Woken::stopped(stepper, victim);
        assert!(is_asleep(other.tid), "the one that slept first is woken first");
        woken.kill();
        stage.one_takes(&mut vec![&other]);
    }
}

#[test]
fn r3_a_waiter_killed_asleep_takes_nothing_along() {
    for command in ["wait", "timed", "any"] {
        let stage = Stage::new();
        let [victim, other] = [command, "wait"].map(|command| {
            let actor = stage.actor();
            actor.sleep_on(command);
            actor
        });
        victim.kill();
        stage.table.permits.post().unwrap();
        stage.one_takes(&mut vec![&other]);
    }
}

#[test]
fn r3_prime_a_poster_killed_as_it_has_added_the_permit_has_woken_somebody() {
    for (waits, posts) in [("trace-wait", "step-post"), ("trace-wait-binary", "step-post-binary")] {
        let stage = Stage::new();
        let (waiter, stepper) = victim(&stage, waits);
        let poster = stage.actor();
        let posting = poster.step_through(posts);
        let there = || stage.permits() + stage.table.binary.value();
        while there() == 0 {
            assert_eq!(posting.step(), Stop::Stepped);
        }
        posting.kill();
        poster.kill();
        assert_eq!(stepper.stopped(), Stop::Exit { result: 0 });
        stepper.detach();
        waiter.child.peer.expect("done");
        assert_eq!(there(), 0);
    }
}

/// Where there is a maximum the permit is added first: the waiter finds it when it looks up.
#[test]
fn r3_prime_a_poster_with_a_maximum_killed_before_it_wakes_leaves_the_permit_to_be_found() {
    let stage = Stage::new();
    let [waiter] = sleepers(&stage, "wait-limited");
    let poster = stage.actor();
    let posting = poster.step_through("step-post-limited");
    while stage.table.limited.value() == 0 {
        assert_eq!(posting.step(), Stop::Stepped);
    }
    posting.kill();
    poster.kill();
    waiter.child.peer.expect("done");
    assert_eq!(stage.table.limited.value(), 0);
}

/// The same for who waits for any of several.
#[test]
fn r3_prime_a_poster_killed_before_it_wakes_who_waits_for_any_leaves_the_permit_to_be_found() {
    let stage = Stage::new();
    let [waiter] = sleepers(&stage, "any");
    let poster = stage.actor();
    let posting = poster.step_through("step-post");
    while stage.permits() == 0 {
        assert_eq!(posting.step(), Stop::Stepped);
    }
    posting.kill();
    poster.kill();
    waiter.child.peer.expect("done");
    assert_eq!(stage.permits(), 0);
}

/// The poster has seen room and is about to make its system call when others take the room away.
#[test]
fn posts_at_the_same_moment_never_pass_the_maximum() {
    for (waits, posts, max) in
        [("trace-wait-binary", "step-post-binary", 1), ("trace-wait-limited", "step-post-limited", 3)]
    {
        let stage = Stage::new();
        let semaphore = if max == 1 { &stage.table.binary } else { &stage.table.limited };
        let (waiter, waiting) = victim(&stage, waits);
        let poster = stage.actor();
        let posting = poster.step_through(posts);
        while !matches!(posting.to_syscall(), Stop::Entry { number: libc::SYS_futex, .. }) {}
        for _ in 0..max {
            let _full = semaphore.post();
        }
        while posting.to_syscall() != Stop::Mark {}
        assert_eq!(semaphore.value(), max, "{posts}");
        drop(posting);
        drop(waiting);
        drop((waiter, poster));
    }
}

#[test]
fn r3_second_two_posts_in_a_row_and_the_first_ones_waiter_is_killed() {
    for killed_late in [false, true] {
        let stage = Stage::new();
        let (victim, stepper) = victim(&stage, "step-wait");
        let [second, third] = sleepers(&stage, "wait");
        stage.table.permits.post().unwrap();
        let woken = Woken::stopped(stepper, victim);
        if killed_late {
            stage.table.permits.post().unwrap();
            woken.kill();
        } else {
            woken.kill();
            stage.table.permits.post().unwrap();
        }
        assert!(!stage.are_stranded(&[&second, &third]), "asleep beside a permit");
        [second, third].iter().for_each(|waiter| waiter.child.peer.expect("done"));
        assert_eq!(stage.permits(), 0);
    }
}

#[test]
fn r3_second_two_permits_at_once_and_one_of_the_woken_is_killed() {
    let stage = Stage::new();
    let (victim, stepper) = victim(&stage, "step-wait");
    let [second, third] = sleepers(&stage, "wait");
    stage.table.permits.post_many(2).unwrap();
    Woken::stopped(stepper, victim).kill();
    [second, third].iter().for_each(|waiter| waiter.child.peer.expect("done"));
    assert_eq!(stage.permits(), 0);
}

/// Nor does one that is stopped, and not killed, keep more than one permit from the others.
#[test]
fn a_stopped_waiter_keeps_one_permit_at_most() {
    let stage = Stage::new();
    let (victim, stepper) = victim(&stage, "step-wait");
    let [second, third] = sleepers(&stage, "wait");
    for _ in 0..3 {
        stage.table.permits.post().unwrap();
    }
    let woken = Woken::stopped(stepper, victim);
    [second, third].iter().for_each(|waiter| waiter.child.peer.expect("done"));
    assert_eq!(stage.permits(), 1);
    woken.kill();
    assert_eq!(stage.permits(), 1);
}

#[test]
fn t3_a_timed_waiter_that_is_woken_when_its_time_is_up_takes_the_permit() {
    let stage = Stage::new();
    let (victim, stepper) = victim(&stage, "trace-briefly");
    let deadline = std::time::Instant::now() + crate::hands::BRIEF;
    stage.table.permits.post().unwrap();
    let stop = stepper.stopped();
    // Stopped as it was woken, until its time is certainly up.
    schedule::wait_until("its time is up", || std::time::Instant::now() > deadline);
    stepper.detach();
    if stop != (Stop::Exit { result: 0 }) {
        return println!("skipped: this machine was too busy to post in time");
    }
    victim.child.peer.expect("done");
    assert_eq!(stage.permits(), 0);
}

#[test]
fn t3_one_that_is_woken_finds_nothing_and_gives_up_leaves_the_next_permit_to_others() {
    let stage = Stage::new();
    let (victim, stepper) = victim(&stage, "trace-briefly");
    let [other] = sleepers(&stage, "wait");
    let deadline = std::time::Instant::now() + crate::hands::BRIEF;
    stage.table.permits.post().unwrap();
    let stolen = stage.table.permits.try_wait();
    let stop = stepper.stopped();
    schedule::wait_until("its time is up", || std::time::Instant::now() > deadline);
    stepper.detach();
    if stop != (Stop::Exit { result: 0 }) || stolen.is_err() {
        return println!("skipped: this machine was too busy to post in time");
    }
    victim.child.peer.expect("TimedOut");
    stage.table.permits.post().unwrap();
    stage.one_takes(&mut vec![&other]);
}

/// Whoever waits for any of several is not counted on: what it was woken for is there for the other.
#[test]
fn a_woken_one_that_waits_for_any_is_killed_and_another_gets_the_permit() {
    for other in ["wait", "any", "any-all"] {
        let stage = Stage::new();
        let (victim, stepper) = victim(&stage, "step-any");
        let [other] = sleepers(&stage, other);
        stage.table.permits.post().unwrap();
        assert!(matches!(stepper.stopped(), Stop::Exit { result: 0.. }));
        stepper.kill();
        victim.kill();
        stage.one_takes(&mut vec![&other]);
    }
}

#[test]
fn a_woken_waiter_of_an_auto_reset_event_is_killed_and_another_passes() {
    let stage = Stage::new();
    let (victim, stepper) = victim(&stage, "step-auto");
    let [other] = sleepers(&stage, "auto");
    stage.table.auto.set().unwrap();
    Woken::stopped(stepper, victim).kill();
    assert!(!(stage.table.auto.is_set() && is_asleep(other.tid) && stage.table.auto.is_set()), "asleep beside it");
    other.child.peer.expect("done");
}

#[test]
fn a_woken_waiter_of_a_manual_reset_event_is_killed_and_all_others_pass() {
    let stage = Stage::new();
    let (victim, stepper) = victim(&stage, "step-manual");
    let others: [Actor; 2] = sleepers(&stage, "manual");
    stage.table.manual.set().unwrap();
    stage.table.manual.reset().unwrap();
    Woken::stopped(stepper, victim).kill();
    others.iter().for_each(|other| other.child.peer.expect("done"));
}
