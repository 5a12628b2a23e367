//! These tests can fail: each access named here is made weaker than the source says, one at a time, in a process of its own,
//! and the test named beside it must notice.
//!
//! What isn't here isn't noticed, for one of these reasons:
//! - a fence of the neighbouring access does the same: the words of slots that are looked at after `used`;
//! - the system call does: the fence before it in `futex/publish.rs`;
//! - an earlier look at the same value does: the Acquire of the barrier's changes;
//! - loom comes to no execution that shows it: the last looks before a sleep in `watched/mutex.rs`, `permits.rs` and `once.rs`
//!   (as there are in `event.rs`, `semaphore.rs` and `condvar.rs`), and that at the gate in `watched/rwlock.rs`, `read_at_once`;
//! - the lock isn't settled, or there are more than two threads.

use std::path::Path;
use std::process::Command;

/// What is weakened.
struct Case {
    /// In `src/backend`.
    file: &'static str,
    /// What the line has, and which of the lines that have it.
    line: &'static str,
    number: usize,
    to: &'static str,
    /// The test that notices.
    test: &'static str,
}

const fn case(file: &'static str, line: &'static str, to: &'static str, test: &'static str) -> Case {
    Case { file, line, number: 0, to, test }
}

const fn second(file: &'static str, line: &'static str, to: &'static str, test: &'static str) -> Case {
    Case { file, line, number: 1, to, test }
}

const RW: &str = "a_reader_and_a_writer_see_each_other";
const MUTEX: &str = "a_mutex_hands_on_what_was_written";
const RW_BESIDE: &str = "a_reader_and_a_writer_that_hold_other_locks_see_each_other";
const MUTEX_BESIDE: &str = "a_mutex_hands_on_what_was_written_by_who_holds_others";
const SEMAPHORE: &str = "a_semaphore_hands_on_what_was_written";
const EVENT: &str = "an_event_hands_on_what_was_written";
const ONCE: &str = "who_waits_sees_what_another_does_once";
const BARRIER: &str = "who_came_to_a_barrier_is_seen_by_the_other";
const CONDVAR: &str = "who_is_notified_without_the_mutex_sees_what_was_written";

#[rustfmt::skip]
const FUTEX: &[Case] = &[
    // A reader's slot against the gate.
    case("futex/rwlock.rs", "if word.compare_exchange(0, mine as u32", "Acquire", RW),
    second("futex/rwlock.rs", "if self.gate.word().load(Ordering::SeqCst) != 0 {", "Acquire", RW),
    case("futex/rwlock.rs", "if self.gate.word().compare_exchange(0, mine as u32", "Acquire", RW),
    case("futex/rwlock/reader.rs", "fence(Ordering::SeqCst); // claimed", "Relaxed", RW),
    case("futex/rwlock/gate.rs", "fence(Ordering::SeqCst); // closed", "Relaxed", RW),
    // The same of threads that hold other locks.
    case("futex/rwlock.rs", "if slot.word.word().compare_exchange(0, me.tid()", "Acquire", RW_BESIDE),
    case("futex/rwlock.rs", "let is_open = self.gate.word().load(", "Acquire", RW_BESIDE),
    case("futex/rwlock.rs", "if self.gate.word().compare_exchange(0, me.tid()", "Acquire", RW_BESIDE),
    case("futex/robust.rs", "if self.word.compare_exchange(0, me.tid()", "Relaxed", MUTEX_BESIDE),
    case("futex/robust.rs", "if self.word.compare_exchange(me.tid(), 0", "Relaxed", MUTEX_BESIDE),
    // What readers and writers leave to each other.
    case("futex/rwlock.rs", "slot.word.word().compare_exchange(tid, 0", "Relaxed", RW),
    case("futex/rwlock.rs", "self.gate.word().compare_exchange(tid, 0", "Relaxed", RW),
    case("futex/rwlock/reader.rs", ".fetch_update(Ordering::Release, Ordering::Relaxed, free)", "Relaxed", RW),
    case("futex/rwlock/gate.rs", "word.fetch_update(Ordering::Release", "Relaxed", RW),
    // Waiting against W.
    case("futex/rwlock/reader.rs", "slot.state.store(WAITING", "Release", RW),
    case("futex/rwlock/reader.rs", "if slot.word.word().load(Ordering::SeqCst) & WAITERS", "Acquire", RW),
    case("futex/rwlock/gate.rs", "let word = slot.word.word().load(Ordering::SeqCst);", "Relaxed", RW),
    case("futex/rwlock/gate.rs", "compare_exchange(word, word | WAITERS", "Relaxed", RW),
    case("futex/rwlock/gate.rs", "slot.state.swap(INSIDE", "Relaxed", RW),
    case("futex/rwlock/gate.rs", "self.phase.swap(OPEN", "Release", "a_reader_gets_in_beside_an_upgradable_one"),
    case("futex/rwlock.rs", "self.phase.swap(QUIET", "Relaxed", "an_upgradable_reader_closes_the_gate"),
    // The robust word.
    case("futex/robust.rs", "if self.word.compare_exchange(0, mine as u32", "Relaxed", MUTEX),
    case("futex/robust.rs", "if self.word.compare_exchange(tid, 0", "Relaxed", MUTEX),
    case("futex/robust.rs", "self.word.fetch_update(Ordering::Release", "Relaxed", MUTEX),
    case("futex/robust.rs", "Ordering::AcqRel, Ordering::Relaxed).is_ok()", "Release", MUTEX),
    case("futex/slot.rs", "fetch_update(Ordering::Release", "Relaxed", "a_permit_hands_on_what_was_written"),
    // The semaphore's value.
    case("futex/semaphore.rs", "match self.word.compare_exchange(word, word - 1", "Relaxed", SEMAPHORE),
    case("futex/semaphore.rs", "if self.word.compare_exchange(word, word - 1", "Relaxed", SEMAPHORE),
    case("futex/semaphore.rs", "&& self.word.compare_exchange(word, word + permits", "Relaxed", SEMAPHORE),
    case("futex/semaphore.rs", "if self.word.compare_exchange(word, new", "Relaxed", "a_limited_semaphore_wakes_who_waits"),
    // Events, what is done once, the condition variable's sequence, the barrier's state.
    case("futex/event.rs", "let word = self.word.load(Ordering::Acquire);", "Relaxed", EVENT),
    case("futex/event.rs", "self.word.load(Ordering::Acquire) & SET", "Relaxed", EVENT),
    case("futex/event.rs", "compare_exchange(word, word | SET", "Relaxed", EVENT),
    case("futex/publish.rs", "self.word().load(Ordering::Acquire) & OWNER == READY", "Relaxed", ONCE),
    case("futex/once.rs", "let word = self.0.word().load(Ordering::Acquire);", "Relaxed", ONCE),
    case("futex/condvar.rs", "self.sequence.fetch_update(Ordering::Release", "Relaxed", CONDVAR),
    case("futex/condvar.rs", "let sequence = self.sequence.load(Ordering::Acquire);", "Relaxed", CONDVAR),
    case("futex/barrier.rs", "self.state.compare_exchange(state, to", "Acquire", BARRIER),
    case("futex/barrier.rs", "self.state.load(Ordering::Acquire)", "Relaxed", BARRIER),
    case("futex/barrier.rs", "self.gate.load(Ordering::Acquire)", "Relaxed", BARRIER),
];

#[rustfmt::skip]
const WATCHED: &[Case] = &[
    // A sleeper is counted, then looks; who changes something does that first, then looks at the count.
    case("watched/waiting.rs", "self.sleepers.fetch_add(1", "Relaxed", MUTEX),
    case("watched/waiting.rs", "self.sleepers.load(Ordering::SeqCst) == 0", "Relaxed", "a_permit_hands_on_what_was_written"),
    case("watched/waiting.rs", "let sleepers = self.sleepers.load(Ordering::SeqCst);", "Relaxed", MUTEX),
    case("watched/owner.rs", "self.0.fetch_update(Ordering::SeqCst, Ordering::Relaxed, free)", "Release", MUTEX),
    case("watched/owner.rs", "compare_exchange(me.bits(), 0", "Release", "a_permit_hands_on_what_was_written"),
    case("watched/semaphore.rs", "sleep_if(|| self.word.load(Ordering::SeqCst)", "Relaxed", SEMAPHORE),
    case("watched/semaphore.rs", "match self.word.compare_exchange(word, new", "Release", SEMAPHORE),
    case("watched/event.rs", "let is_same = || self.word.load(Ordering::SeqCst)", "Relaxed", EVENT),
    case("watched/event.rs", "self.word.fetch_update(Ordering::SeqCst", "Release", EVENT),
    case("watched/condvar.rs", "let is_same = || self.sequence.load(Ordering::SeqCst)", "Relaxed", CONDVAR),
    case("watched/condvar.rs", "self.sequence.fetch_add(ONE", "Release", CONDVAR),
    case("watched/barrier.rs", "self.state.compare_exchange(state, to", "AcqRel", BARRIER),
    case("watched/barrier.rs", "self.state.load(Ordering::SeqCst)", "Acquire", BARRIER),
    // A reader's slot against the gate.
    case("watched/owner.rs", "compare_exchange(0, me.bits()", "Acquire", RW),
    case("watched/owner.rs", "compare_exchange(word, by", "Acquire", RW),
    case("watched/rwlock/reader.rs", "slot.state.store(WAITING", "Release", RW),
];

/// What a run says whose access is weaker; `None` if it notices nothing.
fn noticed(case: &Case, family: &str, interruptions: u32) -> Option<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/backend").join(case.file);
    let source = std::fs::read_to_string(source).expect("the source is there");
    let lines = source.lines().enumerate().filter(|(_, line)| line.contains(case.line));
    let (at, _) =
        lines.clone().nth(case.number).unwrap_or_else(|| panic!("{} has no such line: {}", case.file, case.line));
    let mut run = Command::new(std::env::current_exe().expect("this file"));
    run.args(["--exact", &format!("{family}::{}", case.test), "--test-threads", "1"]);
    run.env("PSHARED_WEAKEN", format!("src/backend/{}:{}:{}", case.file, at + 1, case.to));
    run.env("LOOM_MAX_PREEMPTIONS", interruptions.to_string());
    let output = run.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("running 1 test"), "no such test: {family}::{}\n{said}", case.test);
    let why = said.lines().skip_while(|line| !line.contains("panicked at")).nth(1).unwrap_or("killed").to_owned();
    (!output.status.success()).then_some(why)
}

fn all_are_noticed(cases: &[Case], family: &str, interruptions: u32) {
    let mut missed = Vec::new();
    for case in cases {
        let what = format!("{}: {} → {}", case.file, case.line, case.to);
        match noticed(case, family, interruptions) {
            Some(why) => println!("{what}: noticed by {family}::{}: {why}", case.test),
            None => missed.push(what),
        }
    }
    assert!(missed.is_empty(), "nobody notices:\n{}", missed.join("\n"));
}

#[test]
fn of_what_the_kernel_helps() {
    all_are_noticed(FUTEX, "on_futexes", 2);
}

#[test]
fn of_what_is_watched() {
    all_are_noticed(WATCHED, "watched", 4);
}
