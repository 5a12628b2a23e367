//! The claims once more where there is no `futex_waitv`.

use std::process::{Command, Stdio};

use crate::support::no_waitv;

const MARK: &str = "PSHARED_TEST_WITHOUT_WAITV";

/// The claims that hold there, by the modules that they stand in. `deaths` and `sweeps` ask who is replaced at once, which
/// takes `futex_waitv`; without it that is within a second.
const MODULES: [&str; 6] = ["fork::", "pairs::", "poison::", "time::", "waiting::", "without_waitv::"];

#[test]
fn every_claim_holds_on_a_kernel_without_futex_waitv() {
    if std::env::var_os(MARK).is_some() {
        return; // this is the run without
    }
    let mut tests = Command::new(std::env::current_exe().unwrap());
    tests.args(MODULES).args(["--test-threads", "4"]).env(MARK, "1").stdin(Stdio::null());
    no_waitv::forbid(&mut tests);
    let output = match tests.output() {
        Ok(output) => output,
        Err(error) => return println!("skipped: no filter can be installed here: {error}"),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("there_is_no_futex_waitv_in_that_run ... ok"), "{said}");
}

#[test]
fn there_is_no_futex_waitv_in_that_run() {
    assert_eq!(no_waitv::is_forbidden(), std::env::var_os(MARK).is_some());
}

/// A killed waiter's notification goes on to another, if not at once.
#[test]
fn r4_without_futex_waitv_another_waiter_comes_back_within_a_second_or_so() {
    use crate::actor::Stage;
    if !no_waitv::is_forbidden() {
        return; // in the other run
    }
    let stage = Stage::new();
    let (victim, other) = (stage.actor(), stage.actor());
    for actor in [&victim, &other] {
        actor.tell("take");
        crate::support::state::wait_until_asleep_in_a_lock(actor.tid);
    }
    let guard = stage.table.value.lock().unwrap();
    stage.table.changed.notify_one(); // the victim goes on to the lock
    crate::support::state::wait_until("nobody is in between", || crate::support::schedule::is_asleep(victim.tid));
    victim.kill();
    drop(guard);
    stage.put();
    assert_eq!(other.hear(), "clean");
}
