//! The models of the protocols, in `tests/models`: each holds where it must and fails where it must. With
//! `PSHARED_MODELS=full` they go through more processes and more deaths, which takes far longer.

use std::path::Path;
use std::process::Command;

fn check(model: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models").join(model);
    // -B: writes no compiled copies next to the sources.
    let output = match Command::new("python3").arg("-B").arg(&path).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: {model} needs python3, which can't be started: {error}");
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{model} doesn't say what it must:\n{said}{errors}");
    assert!(said.contains("holds"), "{model} says nothing:\n{said}{errors}");
}

#[test]
fn the_mutex_hangs_nobody_and_loses_no_death() {
    check("mutex.py");
}

#[test]
fn the_kernel_finds_every_lock_of_the_dead() {
    check("linking.py");
}

#[test]
fn what_is_published_is_finished_and_found() {
    check("publish.py");
}

#[test]
fn what_is_done_once_is_done_by_another_if_need_be() {
    check("once.py");
}

#[test]
fn the_oracle_buries_nobody_alive() {
    check("oracle.py");
}

#[test]
fn the_semaphore_loses_and_mints_no_permit() {
    check("semaphore.py");
}

#[test]
fn the_event_is_set_for_everybody_who_waits() {
    check("event.py");
}

#[test]
fn the_condvar_loses_no_notification() {
    check("condvar.py");
}

#[test]
fn no_permit_is_lost_and_nobody_sleeps_beside_one() {
    check("permits.py");
}

#[test]
fn who_waits_at_a_barrier_is_let_through_or_told() {
    check("barrier.py");
}

#[test]
fn the_rwlock_hangs_nobody_and_loses_no_death() {
    check("rwlock.py");
}

#[test]
fn the_rwlock_whose_owners_are_watched_hangs_nobody_and_loses_no_death() {
    check("watched_rwlock.py");
}

#[test]
fn who_waits_for_what_is_watched_hears_of_it_or_looks() {
    check("watched.py");
}

#[test]
fn who_waits_at_a_watched_barrier_is_let_through_or_told() {
    check("watched_barrier.py");
}
