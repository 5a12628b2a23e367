//! Each kind of failure is reported as what it is, with a schedule that runs again.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use pshared::contend::{Contest, Error, Failure, Problem, Subject};
use pshared::{Semaphore, ShmSafe};

/// What goes wrong when the count comes to [`TOO_MANY`].
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    Nothing,
    Hangs,
    Panics,
    Exits,
    Aborts,
    Answers1000,
    MissesOne,
    InvariantIsViolated,
    StateHangs,
    IsNotCreated,
    MakesNoOperations,
}

const TOO_MANY: u64 = 3;

#[repr(C)]
#[derive(ShmSafe)]
struct Count {
    count: AtomicU64,
}

impl Subject for Wrong {
    type Shared = Count;
    type Op = u8;
    type Answer = u64;
    type Model = u64;

    fn create(&self) -> pshared::Result<Count> {
        if *self == Wrong::IsNotCreated {
            return Err(pshared::Error::TimedOut);
        }
        Ok(Count { count: AtomicU64::new(0) })
    }

    fn ops(&self) -> impl Strategy<Value = u8> {
        let possible = *self != Wrong::MakesNoOperations;
        any::<u8>().prop_filter("none at all", move |_| possible)
    }

    fn run(&self, count: &Count, _op: &u8) -> u64 {
        let before = count.count.fetch_add(1, Ordering::Relaxed);
        if before + 1 != TOO_MANY {
            return before;
        }
        match self {
            Wrong::Hangs => loop {
                std::thread::sleep(Duration::from_secs(1));
            },
            Wrong::Panics => panic!("the count is {TOO_MANY}"),
            Wrong::Exits => std::process::exit(0),
            Wrong::Aborts => std::process::abort(),
            Wrong::Answers1000 => 1000,
            _ => before,
        }
    }

    fn model(&self) -> u64 {
        0
    }

    fn apply(&self, count: &mut u64, _op: &u8) -> u64 {
        *count += 1;
        *count - 1
    }

    fn state(&self, count: &Count) -> u64 {
        if *self == Wrong::StateHangs {
            std::thread::sleep(Duration::from_secs(1000));
        }
        let count = count.count.load(Ordering::Relaxed);
        if *self == Wrong::MissesOne && count >= TOO_MANY { count - 1 } else { count }
    }

    fn invariants(&self, count: &Count) {
        let count = count.count.load(Ordering::Relaxed);
        assert!(*self != Wrong::InvariantIsViolated || count < TOO_MANY, "{count} is too many");
    }
}

fn contest(wrong: Wrong) -> Contest<Wrong> {
    let contest = Contest::new(wrong).plans(200).kill_rate(0.0).pauses(Duration::from_micros(20));
    contest.deadline(Duration::from_millis(500)).shrink_for(Duration::from_secs(3))
}

/// The failure, which is shrunk as far as it goes and whose message has all of it.
fn failure(wrong: Wrong) -> Failure {
    let error = contest(wrong).run().unwrap_err();
    println!("{error}");
    let failure = error.failure().unwrap_or_else(|| panic!("no failure: {error}")).clone();
    let text = error.to_string();
    assert!(text.contains(&failure.schedule.to_string()), "{text}");
    assert!(text.contains(&format!("PSHARED_CONTEND_REPLAY={} ", failure.replay)), "{text}");
    assert!(text.contains(&failure.report.to_string()), "{text}");
    failure
}

#[test]
fn nothing_is_reported_of_what_is_right() {
    let report = contest(Wrong::Nothing).run().unwrap();
    assert_eq!((report.plans, report.kills, report.undecided), (200, 0, 0), "{report}");
    assert!(report.operations >= 400 && report.stalls > 0, "{report}");
    assert!(report.longest_wait > Duration::ZERO && !report.longest_operation.is_empty(), "{report}");
    let text = report.to_string();
    assert!(text.starts_with("200 plans: ") && text.contains("longest wait"), "{text}");
}

#[test]
fn a_hang_is_reported() {
    let failure = failure(Wrong::Hangs);
    let Problem::Hang { deadline, who } = &failure.problem else { panic!("{failure}") };
    assert_eq!(*deadline, Duration::from_millis(500));
    assert_eq!(who.len(), 1, "{failure}");
}

#[test]
fn a_panic_in_an_operation_is_reported_with_its_message_and_place() {
    let failure = failure(Wrong::Panics);
    let Problem::Panic { message, .. } = &failure.problem else { panic!("{failure}") };
    assert!(message.contains("the count is 3") && message.contains("reported.rs"), "{failure}");
    assert_eq!(failure.schedule.operations(), 3, "{failure}");
}

#[test]
fn a_process_that_ends_by_itself_is_reported() {
    for (wrong, expected) in [(Wrong::Exits, "exit code 0"), (Wrong::Aborts, "SIGABRT")] {
        let failure = failure(wrong);
        let Problem::Died { how, .. } = &failure.problem else { panic!("{failure}") };
        assert_eq!(how, expected, "{failure}");
    }
}

#[test]
fn a_wrong_answer_is_reported() {
    let failure = failure(Wrong::Answers1000);
    assert_eq!(failure.problem, Problem::WrongAnswers, "{failure}");
    assert!(failure.schedule.to_string().contains("→ 1000"), "{failure}");
    assert_eq!(failure.schedule.operations(), 3, "shrunk as far as it goes: {failure}");
}

#[test]
fn a_wrong_final_state_is_reported_beside_the_right_ones() {
    let failure = failure(Wrong::MissesOne);
    let Problem::WrongState { found, possible } = &failure.problem else { panic!("{failure}") };
    assert_eq!((found.as_str(), possible.as_slice()), ("2", ["3".to_owned()].as_slice()), "{failure}");
}

#[test]
fn a_violated_invariant_is_reported_with_its_message_and_place() {
    let failure = failure(Wrong::InvariantIsViolated);
    let Problem::Invariant { message } = &failure.problem else { panic!("{failure}") };
    assert!(message.contains("3 is too many") && message.contains("reported.rs"), "{failure}");
    assert_eq!(failure.schedule.operations(), 3, "{failure}");
}

#[test]
fn a_hang_after_all_operations_is_reported() {
    let failure = failure(Wrong::StateHangs);
    let Problem::Hang { who, .. } = &failure.problem else { panic!("{failure}") };
    assert!(who[0].contains("state()"), "{failure}");
}

#[test]
fn what_cannot_be_created_and_operations_that_cannot_be_made_are_errors() {
    let error = contest(Wrong::IsNotCreated).run().unwrap_err();
    assert!(matches!(&error, Error::NotCreated { message } if message.contains("time was up")), "{error}");
    let error = contest(Wrong::MakesNoOperations).run().unwrap_err();
    assert!(matches!(&error, Error::NoOperations { .. }), "{error}");
}

/// Two permits of a semaphore that nobody owns: what a killed one has taken is gone.
struct Permitted;

impl Subject for Permitted {
    type Shared = Semaphore;
    type Op = ();
    type Answer = ();
    type Model = u32;

    fn create(&self) -> pshared::Result<Semaphore> {
        Semaphore::counting(2)
    }

    fn ops(&self) -> impl Strategy<Value = ()> {
        Just(())
    }

    fn run(&self, permits: &Semaphore, _op: &()) {
        permits.wait().unwrap();
        permits.post().unwrap();
    }

    fn model(&self) -> u32 {
        2
    }

    fn apply(&self, _permits: &mut u32, _op: &()) {}

    fn state(&self, permits: &Semaphore) -> u32 {
        permits.value()
    }
}

#[test]
fn a_lost_permit_is_reported() {
    let contest = Contest::new(Permitted).plans(5000).kill_rate(0.5).deadline(Duration::from_secs(1));
    let error = contest.processes(1..=2).shrink_for(Duration::from_secs(3)).run().unwrap_err();
    println!("{error}");
    let failure = error.failure().expect("a failure");
    let Problem::WrongState { found, possible } = &failure.problem else { panic!("{error}") };
    assert!(found.parse::<u32>().unwrap() < 2 && possible == &["2"], "{error}");
    assert!(failure.schedule.to_string().contains("killed"), "{error}");
}

/// A value that readers are shown only when somebody has read it before.
#[repr(C)]
#[derive(ShmSafe)]
struct Late {
    written: AtomicU64,
    shown: AtomicU64,
}

struct ReadingLate;

#[derive(Clone, Debug)]
enum Op {
    Write,
    Read,
}

impl Subject for ReadingLate {
    type Shared = Late;
    type Op = Op;
    type Answer = u64;
    type Model = u64;

    fn create(&self) -> pshared::Result<Late> {
        Ok(Late { written: AtomicU64::new(0), shown: AtomicU64::new(0) })
    }

    fn ops(&self) -> impl Strategy<Value = Op> {
        prop_oneof![Just(Op::Write), Just(Op::Read)]
    }

    fn run(&self, late: &Late, op: &Op) -> u64 {
        match op {
            Op::Write => late.written.store(1, Ordering::SeqCst),
            Op::Read => return late.shown.swap(late.written.load(Ordering::SeqCst), Ordering::SeqCst),
        }
        1
    }

    fn model(&self) -> u64 {
        0
    }

    fn apply(&self, value: &mut u64, op: &Op) -> u64 {
        if let Op::Write = op {
            *value = 1;
        }
        *value
    }

    fn state(&self, late: &Late) -> u64 {
        late.written.load(Ordering::SeqCst)
    }
}

#[test]
fn an_answer_that_only_an_order_against_time_would_give_is_wrong() {
    // One operation each, so that the order within a process says nothing.
    let contest = Contest::new(ReadingLate).kill_rate(0.0).operations(1..=1).processes(2..=2).plans(2000);
    let error = contest.shrink_for(Duration::from_secs(1)).run().unwrap_err();
    let failure = error.failure().expect("a failure");
    assert_eq!(failure.problem, Problem::WrongAnswers, "{error}");
}

/// The lines of a schedule, without what came of them.
fn planned(schedule: &str) -> Vec<String> {
    let of_line = |line: &str| line.split("   →").next().and_then(|line| line.split("   (").next()).map(str::to_owned);
    schedule.lines().filter_map(of_line).collect()
}

#[test]
fn a_failing_schedule_runs_again_from_its_token() {
    let first = failure(Wrong::Panics);
    let error = contest(Wrong::Panics).replay(&first.replay).run().unwrap_err();
    let again = error.failure().unwrap_or_else(|| panic!("no failure: {error}"));
    assert_eq!(planned(&again.schedule.to_string()), planned(&first.schedule.to_string()), "{error}");
    assert_eq!(again.replay, first.replay);
    assert_eq!(std::mem::discriminant(&again.problem), std::mem::discriminant(&first.problem), "{error}");
}

#[test]
fn a_token_replays_nothing_where_nothing_is_wrong_any_more() {
    let first = failure(Wrong::Answers1000);
    let report = contest(Wrong::Nothing).replay(&first.replay).run().unwrap();
    assert!(report.plans > 1, "the one plan, again and again: {report}");
}

#[test]
fn a_failing_schedule_runs_again_as_its_message_says() {
    const TEST: &str = "reported::a_failing_schedule_runs_again_as_its_message_says";
    const INNER: &str = "PSHARED_TEST_CONTEND_INNER";
    if std::env::var_os(INNER).is_some() {
        contest(Wrong::Answers1000).passes();
        return;
    }
    let first = {
        // The same contest as in the process below: the first one of this test.
        let output = run_again(TEST, &[(INNER, "1")]);
        let token = output.split("PSHARED_CONTEND_REPLAY=").nth(1).expect("a token").split(' ').next().unwrap();
        (token.to_owned(), schedule_in(&output))
    };
    let again = run_again(TEST, &[(INNER, "1"), ("PSHARED_CONTEND_REPLAY", &first.0)]);
    assert_eq!(planned(&schedule_in(&again)), planned(&first.1), "{again}");
    assert!(again.contains("This is plan 1,"), "nothing else was run before it: {again}");
    // Another test's token is for that test alone.
    let other = format!("0-{}", first.0.split_once('-').unwrap().1);
    let again = run_again(TEST, &[(INNER, "1"), ("PSHARED_CONTEND_REPLAY", &other), ("PSHARED_CONTEND_SEED", "0x11")]);
    assert!(again.contains("seed 0x11"), "{again}");
}

fn run_again(test: &str, environment: &[(&str, &str)]) -> String {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args([test, "--exact", "--nocapture"]).envs(environment.iter().copied());
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap()
}

fn schedule_in(text: &str) -> String {
    let start = text.find("schedule, all started together").unwrap_or_else(|| panic!("no schedule: {text}"));
    text[start..].split("This is plan").next().unwrap().to_owned()
}

#[test]
fn the_same_seed_makes_the_same_plans() {
    let first = contest(Wrong::Answers1000).seed(7).shrink_for(Duration::ZERO).run().unwrap_err();
    let again = contest(Wrong::Answers1000).seed(7).shrink_for(Duration::ZERO).run().unwrap_err();
    let planned_in = |error: &Error| planned(&error.failure().unwrap().schedule.to_string());
    assert_eq!(planned_in(&first), planned_in(&again));
    assert_eq!(first.failure().unwrap().report.seed, 7);
}

#[test]
fn contests_of_one_test_are_told_apart() {
    assert!(contest(Wrong::Panics).shrink_for(Duration::ZERO).run().is_err());
    assert_eq!(contest(Wrong::Nothing).plans(7).run().unwrap().plans, 7);
    let error = contest(Wrong::Answers1000).shrink_for(Duration::ZERO).run().unwrap_err();
    assert_eq!(error.failure().unwrap().problem, Problem::WrongAnswers);
}
