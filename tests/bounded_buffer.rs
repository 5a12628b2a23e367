//! The bounded buffer example: every line arrives exactly once, whoever is killed.

#[path = "../examples/bounded_buffer/buffer.rs"]
#[allow(dead_code, reason = "the tests don't use all that the example does")]
mod buffer;
#[path = "../examples/common/mod.rs"]
mod common;
#[path = "support/example.rs"]
mod example;

use std::path::PathBuf;

use buffer::{Buffer, MAX_LINE};
use example::*;

static BOUNDED_BUFFER: Example = Example::new("bounded_buffer");

/// A file of so many lines, no two alike.
fn lines(dir: &TempDir, count: u32) -> PathBuf {
    let text: String = (0..count).map(|number| format!("line {number}\n")).collect();
    dir.file("lines", text.as_bytes())
}

#[test]
fn every_line_arrives_whatever_the_numbers_of_workers() {
    let dir = TempDir::new("buffer-numbers");
    let file = lines(&dir, 2000);
    for (producers, consumers) in [("1", "1"), ("1", "5"), ("5", "1"), ("3", "4")] {
        let output = BOUNDED_BUFFER.run(&["--producers", producers, "--consumers", consumers], &[&file]);
        assert!(output.status.success(), "{output:?}");
        let line = last_line(&output);
        assert!(line.starts_with("2000 lines, checksum ") && line.ends_with(" equal"), "{line}");
    }
}

#[test]
fn odd_files_arrive() {
    let dir = TempDir::new("buffer-odd");
    let long = [vec![b'x'; 3 * MAX_LINE], b"\n".to_vec(), vec![b'y'; MAX_LINE - 1], b"\n".to_vec()].concat();
    let files = [dir.file("empty", b""), dir.file("no end", b"one\n\ntwo"), dir.file("long", &long)];
    let output = BOUNDED_BUFFER.run(&["--kill", "3"], &files);
    assert!(output.status.success() && last_line(&output).starts_with("4 lines,"), "{output:?}");
    let output = BOUNDED_BUFFER.run(&[], &[&files[0]]);
    assert!(output.status.success() && last_line(&output).starts_with("0 lines,"), "{output:?}");
}

#[test]
fn every_line_arrives_once_when_workers_are_killed() {
    let dir = TempDir::new("buffer-kill");
    let file = lines(&dir, 20_000);
    for _ in 0..3 {
        let output = BOUNDED_BUFFER.run(&["--producers", "3", "--consumers", "3", "--kill", "15"], &[&file]);
        assert!(output.status.success() && last_line(&output).starts_with("20000 lines,"), "{output:?}");
        assert!(text(&output.stderr).contains("workers killed: 15,"), "{output:?}");
    }
}

#[test]
fn every_line_arrives_once_when_workers_are_killed_inside_the_lock() {
    let deaths = kill_until_somebody_dies("buffer-inside", is_inside);
    assert!(deaths.0 > 0);
}

#[test]
fn every_line_arrives_once_when_consumers_are_killed_with_a_line_in_their_hand() {
    let deaths = kill_until_somebody_dies("buffer-hand", |buffer, worker| {
        let consumer = slot_of(worker).and_then(|slot| slot.checked_sub(2));
        // Who stands still outside of the lock doesn't keep anybody from looking.
        !is_inside(buffer, worker) && consumer.is_some_and(|consumer| buffer.busy().unwrap().contains(&consumer))
    });
    assert!(deaths.1 > 0);
}

fn is_inside(buffer: &Buffer, worker: u32) -> bool {
    buffer.ring.owner().is_some_and(|owner| owner.pid == worker)
}

/// Runs with two producers and two consumers, some of which are killed in the right place, until there was a run that had
/// some there; returns what the buffer says of deaths in that one.
fn kill_until_somebody_dies(name: &str, is_the_place: impl Fn(&Buffer, u32) -> bool) -> (u32, u64) {
    let dir = TempDir::new(name);
    let file = lines(&dir, 50_000);
    wait_for("workers in the right place", || {
        let boss = BOUNDED_BUFFER.start(&[], &[&file]);
        let buffer = open_job::<Buffer>(&BOUNDED_BUFFER, &boss);
        let killed = kill_where(&boss, 5, |worker| is_the_place(&buffer, worker));
        let output = boss.finish();
        assert!(output.status.success() && last_line(&output).starts_with("50000 lines,"), "{output:?}");
        (killed > 0).then(|| buffer.deaths().unwrap())
    })
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    let dir = TempDir::new("buffer-interrupt");
    assert_that_an_interrupt_leaves_nothing(&BOUNDED_BUFFER, &[], &[lines(&dir, 500_000)]);
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let dir = TempDir::new("buffer-refused");
    for (file, complaint) in [(dir.path.join("missing"), "missing: No such file"), (dir.path.clone(), "regular file")] {
        let output = BOUNDED_BUFFER.run(&[], &[file]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(text(&output.stderr).contains(complaint), "{output:?}");
    }
    for option in ["--producers", "--consumers"] {
        for number in ["0", "33"] {
            let output = BOUNDED_BUFFER.run(&[option, number], &["/dev/null"]);
            assert_eq!(output.status.code(), Some(2), "{output:?}");
        }
    }
}
