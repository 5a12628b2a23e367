//! Options: each does what it says, and what can't be is refused with advice.

use std::time::Duration;

use proptest::prelude::*;
use pshared::contend::{Contest, Error, Subject};
use pshared::{Mutex, ShmSafe};

/// Who was at the lock.
#[repr(C)]
#[derive(ShmSafe)]
struct Visitors {
    count: Mutex<u32>,
}

struct Visiting;

#[derive(Clone, Debug)]
enum Ask {
    WhichProcess,
    WhichProcessors,
}

impl Subject for Visiting {
    type Shared = Visitors;
    type Op = ();
    type Answer = ();
    type Model = ();

    fn create(&self) -> pshared::Result<Visitors> {
        Ok(Visitors { count: Mutex::new(0) })
    }

    fn ops(&self) -> impl Strategy<Value = ()> {
        Just(())
    }

    fn run(&self, visitors: &Visitors, _op: &()) {
        *visitors.count.lock_or_recover(|_, _| {}).unwrap() += 1;
    }

    fn model(&self) {}

    fn apply(&self, _model: &mut (), _op: &()) {}

    fn state(&self, _visitors: &Visitors) {}
}

fn refused(contest: Contest<Visiting>, option: &str) {
    let error = contest.run().unwrap_err();
    let Error::BadOption { option: named, advice, .. } = &error else { panic!("{option}: {error}") };
    assert_eq!(named, option);
    assert!(!advice.is_empty() && error.to_string().contains(advice.as_str()), "{error}");
}

#[test]
#[allow(clippy::reversed_empty_ranges, reason = "such ranges are refused")]
fn options_that_cannot_be_are_refused_by_name() {
    let contest = || Contest::new(Visiting);
    refused(contest().processes(0..=2), "processes");
    refused(contest().processes(3..=2), "processes");
    refused(contest().processes(1..=17), "processes");
    refused(contest().operations(0..=0), "operations");
    refused(contest().operations(1..=65), "operations");
    refused(contest().plans(0), "plans");
    refused(contest().kill_rate(1.1), "kill_rate");
    refused(contest().kill_rate(-0.1), "kill_rate");
    refused(contest().kill_rate(f64::NAN), "kill_rate");
    refused(contest().threads().kill_rate(0.5), "kill_rate");
    refused(contest().kill_within(Duration::MAX), "kill_within");
    refused(contest().deadline(Duration::ZERO), "deadline");
    refused(contest().deadline(Duration::MAX), "deadline");
    refused(contest().pauses(Duration::MAX), "pauses");
    refused(contest().deadline(Duration::from_millis(10)).pauses(Duration::from_millis(5)), "pauses");
}

#[test]
fn tokens_that_are_none_are_refused() {
    let whole = "1-2-3-s4b1-5";
    for token in
        ["", "nonsense", "1-2-3-s4-zz", "1-2-3-x4-5", "1-2-3-s-5", "1-2-3-s99999999999999999999-5", "1-2-3-é-5"]
    {
        let error = Contest::new(Visiting).replay(token).run().unwrap_err();
        assert!(matches!(&error, Error::BadReplay { token: named, .. } if named == token), "{error}");
    }
    let error = Contest::new(Visiting).replay(whole).run().unwrap_err();
    let Error::BadReplay { why, .. } = &error else { panic!("{error}") };
    assert!(why.contains("other options"), "{error}");
}

#[test]
fn a_test_of_another_name_is_not_reached() {
    let error = Contest::new(Visiting).test("options::there_is_no_such_test").run().unwrap_err();
    assert!(matches!(error, Error::NotReached { .. }), "{error}");
    assert!(error.to_string().contains("test()"), "{error}");
}

#[test]
fn kill_rate_says_how_many_are_killed() {
    let contest = || Contest::new(Visiting).plans(60).processes(3..=3).operations(2..=2).pauses(Duration::ZERO);
    assert_eq!(contest().kill_rate(0.0).run().unwrap().kills, 0);
    // Who is at its end before the time is up lives.
    let all = contest().kill_rate(1.0).run().unwrap();
    assert!((30..=180).contains(&all.kills), "{all}");
    assert!(all.kills_inside > 0 && all.kills_inside <= all.kills, "{all}");
}

#[test]
fn numbers_of_processes_and_operations_are_kept() {
    let contest = Contest::new(Visiting).plans(20).kill_rate(0.0).pauses(Duration::ZERO);
    let report = contest.processes(5..=5).operations(4..=4).run().unwrap();
    assert_eq!((report.plans, report.operations, report.stalls), (20, 400, 0), "{report}");
}

#[test]
fn the_largest_plans_come_to_a_verdict() {
    let contest = Contest::new(Visiting).plans(2).kill_rate(0.0).pauses(Duration::ZERO);
    let report = contest.processes(16..=16).operations(64..=64).run().unwrap();
    assert_eq!((report.operations, report.undecided), (2048, 0), "{report}");
}

#[test]
fn threads_do_the_same_and_nobody_is_killed() {
    let report = Contest::new(Visiting).plans(50).threads().run().unwrap();
    assert_eq!((report.plans, report.kills), (50, 0), "{report}");
    assert!(report.operations > 100 && report.stalls > 0, "{report}");
}

/// What a worker finds out about itself.
struct Asking;

impl Subject for Asking {
    type Shared = Visitors;
    type Op = Ask;
    type Answer = bool;
    type Model = ();

    fn create(&self) -> pshared::Result<Visitors> {
        Visiting.create()
    }

    fn ops(&self) -> impl Strategy<Value = Ask> {
        prop_oneof![Just(Ask::WhichProcess), Just(Ask::WhichProcessors)]
    }

    /// Whether the first one to ask about the process was in the same one, or there are several processors.
    fn run(&self, visitors: &Visitors, op: &Ask) -> bool {
        match op {
            Ask::WhichProcess => {
                let mut first = visitors.count.lock().unwrap();
                if *first == 0 {
                    *first = std::process::id();
                }
                *first == std::process::id()
            }
            Ask::WhichProcessors => std::thread::available_parallelism().unwrap().get() == 1,
        }
    }

    fn model(&self) {}

    fn apply(&self, _model: &mut (), _op: &Ask) -> bool {
        true
    }

    fn state(&self, _visitors: &Visitors) {}
}

#[test]
fn threads_are_threads_of_one_process_on_one_processor() {
    Contest::new(Asking).plans(30).threads().one_core().passes();
}

#[test]
fn processes_are_several_on_several_processors() {
    let error = Contest::new(Asking).plans(30).kill_rate(0.0).run().unwrap_err();
    assert!(error.failure().is_some(), "{error}");
}
