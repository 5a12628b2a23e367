//! The structs with a bug of the example, each caught, and each passed when it is repaired.

#[path = "../../examples/contend/counter.rs"]
mod counter;
#[path = "../../examples/contend/lock_word.rs"]
mod lock_word;
#[path = "../../examples/contend/seqlock.rs"]
mod seqlock;

use std::time::Duration;

use pshared::contend::{Contest, Problem, Subject};

use crate::example::Example;

/// More than any of them takes.
const PLANS: u64 = 20_000;

/// The problem, which comes with a schedule.
fn caught<S: Subject>(contest: Contest<S>) -> Problem {
    let error = contest.plans(PLANS).shrink_for(Duration::from_secs(3)).run().expect_err("the bug is not caught");
    println!("{error}");
    let failure = error.failure().unwrap_or_else(|| panic!("no failure: {error}"));
    assert!(failure.schedule.workers() >= 2 && failure.schedule.operations() >= 2, "{error}");
    assert!(error.to_string().contains("  process 1\n    1. "), "{error}");
    failure.problem.clone()
}

#[test]
fn a_counter_that_is_looked_at_first_is_caught() {
    let problem = caught(counter::buggy());
    assert!(matches!(problem, Problem::WrongState { .. } | Problem::WrongAnswers), "{problem}");
}

#[test]
fn a_counter_that_is_looked_at_first_is_caught_between_threads_and_on_one_core() {
    for contest in [counter::buggy().threads(), counter::buggy().one_core(), counter::buggy().without_stepping()] {
        let error = contest.plans(PLANS).shrink_for(Duration::ZERO).run().expect_err("the bug is not caught");
        assert!(error.failure().is_some(), "{error}");
    }
}

#[test]
fn a_counter_that_is_changed_in_one_step_passes() {
    counter::repaired().plans(100).passes();
}

#[test]
fn a_seqlock_without_the_readers_fence_is_caught() {
    assert_eq!(caught(seqlock::buggy()), Problem::WrongAnswers);
}

#[test]
fn a_seqlock_with_its_fences_passes() {
    seqlock::repaired().plans(100).passes();
}

#[test]
fn a_lock_word_without_owner_is_caught() {
    let problem = caught(lock_word::buggy());
    assert!(matches!(problem, Problem::Hang { .. }), "{problem}");
}

#[test]
fn a_lock_word_with_an_owner_passes() {
    lock_word::repaired().plans(100).passes();
}

/// The example is a program without tests: it comes back to its `main`.
#[test]
fn a_program_without_tests_runs_contests_too() {
    static CONTEND: Example = Example::new("contend");
    const NO_FILES: &[&str] = &[];
    let output = CONTEND.run(&["counter", "--repaired", "--plans", "20"], NO_FILES);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("20 plans: "));

    let output = CONTEND.run(&["counter"], NO_FILES);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("schedule, all started together"), "{text}");
    assert!(text.contains("in the environment of the same program"), "{text}");
}
