//! The kill storm example: it passes, it leaves nothing behind, and its books can fail.

#[path = "support/example.rs"]
mod example;
#[path = "../examples/kill_storm/lane.rs"]
#[allow(dead_code, reason = "the tests don't use all that the example does")]
mod lane;
#[path = "../examples/kill_storm/ledger.rs"]
#[allow(dead_code, reason = "the tests don't use all that the example does")]
mod ledger;
#[path = "../examples/kill_storm/rounds.rs"]
#[allow(dead_code, reason = "the tests don't use all that the example does")]
mod rounds;

use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};

use example::*;
use lane::{Lane, balance};
use ledger::{Known, Ledger, Steps, repair, wrong};
use nix::sys::signal::Signal;
use pshared::Cause;
use rounds::Rounds;

static KILL_STORM: Example = Example::new("kill_storm");
const NO_FILES: &[&str] = &[];

/// Kills, operations, stuck and lost, as the last line has them.
fn tally(output: &Output) -> [u64; 4] {
    let line = last_line(output);
    let words: Vec<&str> = line.split(' ').collect();
    let ["kills", kills, "operations", operations, "stuck", stuck, "lost", lost] = words[..] else {
        panic!("{output:?}");
    };
    [kills, operations, stuck, lost].map(|number| number.parse().unwrap())
}

#[test]
fn a_storm_on_every_backend_leaves_nobody_stuck_and_loses_nothing() {
    let output = KILL_STORM.run(&["--backend", "all", "--seconds", "4", "--processes", "5"], NO_FILES);
    let [kills, operations, stuck, lost] = tally(&output);
    assert!(kills > 0 && operations > 0, "{output:?}");
    assert_eq!([stuck, lost], [0, 0], "{output:?}");
    assert!(output.status.success(), "{output:?}");
    for backend in ["futex", "pthread", "posix", "sysv"] {
        assert!(text(&output.stdout).contains(&format!("{backend}, longest waits")), "{output:?}");
    }
}

/// A storm that would take long, with its workers at work, and their ids and the keeper's.
fn a_long_storm() -> (Boss, Doomed) {
    // With time between the kills, to see all of them at work at one moment.
    let options = ["--seconds", "1000", "--processes", "3", "--kill-every", "300"];
    let boss = KILL_STORM.start(&options, NO_FILES);
    let crew = wait_for("workers at work", || {
        let crew = children(boss.id());
        let are_in = || crew.iter().all(|&process| KILL_STORM.has_attached(process));
        (crew.len() > 3 && are_in()).then(|| Doomed(crew))
    });
    (boss, crew)
}

#[test]
fn an_interrupted_storm_ends_well_and_leaves_nothing() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (boss, _crew) = a_long_storm();
        let pid = boss.id();
        send(signal, pid);
        let output = boss.finish();
        let [_, _, stuck, lost] = tally(&output);
        assert_eq!([stuck, lost], [0, 0], "{output:?}");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(children(pid), Vec::<u32>::new());
        assert_eq!(KILL_STORM.names_of(pid), Vec::<String>::new());
    }
}

#[test]
fn a_killed_boss_leaves_nobody_and_nothing() {
    let (boss, crew) = a_long_storm();
    let pid = boss.id();
    drop(boss);
    for &process in &crew.0 {
        wait_for("its end", || (!is_running(process)).then_some(()));
    }
    wait_for("that the names are gone", || KILL_STORM.names_of(pid).is_empty().then_some(()));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for options in
        [["--processes", "1"], ["--processes", "33"], ["--seconds", "0"], ["--kill-every", "0"], ["--backend", "x"]]
    {
        let output = KILL_STORM.run(&options, NO_FILES);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}

const DIED: Option<Cause> = Some(Cause::OwnerDied);
const KNOWN: Known = Known { added: 7, killing: 3 };

fn ledger(owner: u64, one: u64, other: u64) -> Ledger {
    Ledger { owner, one, other, killed: 2 }
}

#[test]
fn a_ledger_in_order_and_one_whose_owner_is_said_to_have_died_are_right() {
    assert_eq!(wrong(ledger(0, 7, 7), None, KNOWN), None);
    for anything in [ledger(0, 7, 7), ledger(9, 7, 6), ledger(9, 8, 7), ledger(0, 0, 0)] {
        assert_eq!(wrong(anything, DIED, KNOWN), None, "{anything:?}");
    }
}

#[test]
fn a_ledger_that_is_wrong_is_found() {
    for (found, told, what) in [
        (ledger(9, 7, 7), None, "inside"),
        (ledger(0, 8, 7), None, "half-written"),
        (ledger(0, 6, 6), None, "at the desks"),
        (ledger(0, 8, 8), None, "at the desks"),
        (ledger(0, 7, 7), Some(Cause::Panicked), "panic"),
        (Ledger { killed: 3, ..ledger(0, 7, 7) }, DIED, "nobody was killed"),
    ] {
        let said = wrong(found, told, KNOWN);
        assert!(said.as_ref().is_some_and(|said| said.contains(what)), "{found:?}, {told:?}: {said:?}");
    }
}

#[test]
fn a_ledger_is_put_right_whatever_is_there() {
    for mut found in [ledger(0, 7, 7), ledger(9, 7, 6), ledger(9, 0, u64::MAX)] {
        repair(&mut found, 7, 3);
        assert_eq!(found, Ledger { owner: 0, one: 7, other: 7, killed: 3 });
        assert_eq!(wrong(found.read(), None, KNOWN), None);
    }
}

/// A call that succeeds.
fn done() -> Result<(), ()> {
    Ok(())
}

#[test]
fn calls_at_a_semaphore_are_announced_and_noted() {
    let lane = Lane::new();
    lane.book(3, || {
        assert_eq!((lane.net(), lane.open()), (0, 3));
        done()
    })
    .unwrap();
    lane.book(-1, || {
        assert_eq!((lane.net(), lane.open()), (3, -1));
        done()
    })
    .unwrap();
    lane.book(-1, || Err(())).unwrap_err();
    assert_eq!((lane.net(), lane.open()), (2, 0));
    for _ in 0..5 {
        lane.book(-1, done).unwrap();
    }
    assert_eq!((lane.net(), lane.open()), (-3, 0));
}

#[test]
fn what_a_victim_announced_is_open_and_what_it_noted_stays() {
    let lane = Lane::new();
    lane.book(2, done).unwrap();
    let seen = AtomicU32::new(0);
    // As a kill in the middle of the call leaves it, for whoever looks from outside.
    lane.book(-1, || {
        seen.store(u32::from(lane.open() == -1 && lane.net() == 2), Ordering::Relaxed);
        assert_eq!(lane.close(), -1);
        assert_eq!((lane.net(), lane.open()), (2, 0));
        done()
    })
    .unwrap();
    assert_eq!(seen.into_inner(), 1);
}

#[test]
fn a_semaphore_is_balanced_by_any_of_the_open_calls_and_by_nothing_else() {
    for (value, expected, open, is_possible) in [
        (5, 5, &[][..], true),
        (4, 5, &[], false),
        (6, 5, &[], false),
        (4, 5, &[-1], true),
        (5, 5, &[-1], true),
        (3, 5, &[-1], false),
        (6, 5, &[-1], false),
        (7, 5, &[2], true),
        (6, 5, &[2], false),
        (6, 5, &[2, -1], true),
        (3, 5, &[-1, -1, 3], true),
        (9, 5, &[-1, 3], false),
    ] {
        assert_eq!(balance(value, expected, open), (value - expected, is_possible), "{value}, {expected}, {open:?}");
    }
}

#[test]
fn rounds_have_one_leader_each_but_for_those_who_were_killed() {
    for (leaders, others, open, are_possible) in [
        (0, 0, 0, true),
        (4, 8, 0, true),
        (4, 9, 0, false),
        (5, 8, 0, false),
        (4, 7, 0, false),
        (4, 7, 1, true),
        (3, 8, 1, true),
        (3, 7, 1, false),
        (3, 7, 2, true),
        (4, 9, 1, false),
        (4, 9, 2, true),
    ] {
        let rounds = Rounds { leaders, others };
        assert_eq!(rounds.are_possible(3, open), are_possible, "{rounds:?}, {open}");
    }
    assert_eq!(Rounds::of(4 << 32 | 8), Rounds { leaders: 4, others: 8 });
}
