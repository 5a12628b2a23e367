//! The worker pool example: neither a job nor a slot is lost, whoever is killed.

#[path = "../examples/common/mod.rs"]
mod common;
#[path = "support/example.rs"]
mod example;
#[path = "../examples/worker_pool/pool.rs"]
#[allow(dead_code, reason = "the tests don't use all that the example does")]
mod pool;

use example::*;
use nix::sys::signal::Signal;
use pool::{PERMITS, Pool};

static WORKER_POOL: Example = Example::new("worker_pool");
const NO_FILES: &[&str] = &[];

#[test]
fn all_jobs_are_done_whatever_the_number_of_workers() {
    for workers in ["1", "2", "16"] {
        let output = WORKER_POOL.run(&["--workers", workers, "--jobs", "20"], NO_FILES);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(last_line(&output), "20 jobs done, 0 kills, 3 of 3 permits available");
    }
}

#[test]
fn all_jobs_are_done_and_all_permits_come_back_when_workers_are_killed() {
    let output = WORKER_POOL.run(&["--jobs", "100", "--kill", "20"], NO_FILES);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(last_line(&output), "100 jobs done, 20 kills, 3 of 3 permits available");
}

#[test]
fn three_work_at_a_time() {
    let boss = WORKER_POOL.start(&["--jobs", "100000"], NO_FILES);
    let pool = open_job::<Pool>(&WORKER_POOL, &boss);
    let mut seen = 0;
    wait_for("a hundred jobs", || {
        let (busy, done) = pool.change(|books| (books.busy().len(), books.done)).unwrap();
        assert!(busy <= PERMITS, "{busy} at a time");
        seen = seen.max(busy);
        (done > 100).then_some(())
    });
    assert_eq!(seen, PERMITS);
    send(Signal::SIGINT, boss.id());
    boss.finish();
}

#[test]
fn all_permits_come_back_from_workers_killed_at_work() {
    let boss = WORKER_POOL.start(&["--jobs", "200"], NO_FILES);
    let pool = open_job::<Pool>(&WORKER_POOL, &boss);
    // At a moment when all three are taken, all of their holders: more permits lost than there are would stop everything.
    let killed = kill_where(&boss, 4 * PERMITS as u32, |_| pool.permits.available() == 0);
    let output = boss.finish();
    assert!(killed > 0);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(last_line(&output), "200 jobs done, 0 kills, 3 of 3 permits available");
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    assert_that_an_interrupt_leaves_nothing(&WORKER_POOL, &["--jobs", "1000000"], NO_FILES);
}

#[test]
fn numbers_of_workers_that_make_no_sense_are_refused() {
    for workers in ["0", "65"] {
        let output = WORKER_POOL.run(&["--workers", workers], NO_FILES);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}
