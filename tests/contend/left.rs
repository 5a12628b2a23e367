//! Contests leave no process behind, whatever becomes of them.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use proptest::prelude::*;
use pshared::contend::{Contest, Problem, Subject};

use crate::state::wait_until;

/// Each worker leaves a file of its process's number in the directory, and sleeps if it is told to.
struct Signing {
    directory: PathBuf,
    sleeps: bool,
}

impl Subject for Signing {
    type Shared = AtomicU32;
    type Op = ();
    type Answer = ();
    type Model = ();

    fn create(&self) -> pshared::Result<AtomicU32> {
        self.sign();
        Ok(AtomicU32::new(0))
    }

    fn ops(&self) -> impl Strategy<Value = ()> {
        Just(())
    }

    fn run(&self, _shared: &AtomicU32, _op: &()) {
        self.sign();
        if self.sleeps {
            std::thread::sleep(Duration::from_secs(1000));
        }
    }

    fn model(&self) {}

    fn apply(&self, _model: &mut (), _op: &()) {}

    fn state(&self, _shared: &AtomicU32) {
        self.sign();
    }
}

impl Signing {
    fn sign(&self) {
        fs::write(self.directory.join(std::process::id().to_string()), "").unwrap();
    }
}

const DIRECTORY: &str = "PSHARED_TEST_CONTEND_DIRECTORY";

/// A directory for the processes of a test to sign in.
struct Signed(PathBuf);

impl Signed {
    fn new(test: &str) -> Signed {
        let directory =
            std::env::temp_dir().join(format!("pshared-contend-{}-{}", std::process::id(), test.replace(':', "-")));
        fs::create_dir(&directory).unwrap();
        Signed(directory)
    }

    /// Runs the test again, in another process, where [`inner`] has the directory.
    fn start(&self, test: &str) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture"]).env(DIRECTORY, &self.0).stdout(Stdio::null());
        command.spawn().unwrap()
    }

    fn processes(&self) -> Vec<Pid> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.map(|name| Pid::from_raw(name.parse().unwrap())).collect()
    }

    fn wait_until_all_are_gone(&self) {
        let all = self.processes();
        wait_until("all are gone", || all.iter().all(|pid| kill(*pid, None) == Err(Errno::ESRCH)));
    }
}

impl Drop for Signed {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// The contest, in the process that runs it.
fn inner(sleeps: bool) -> Option<Contest<Signing>> {
    let directory = PathBuf::from(std::env::var_os(DIRECTORY)?);
    Some(Contest::new(Signing { directory, sleeps }).plans(10).processes(3..=3))
}

#[test]
fn a_contest_that_passes_leaves_no_process() {
    const TEST: &str = "left::a_contest_that_passes_leaves_no_process";
    if let Some(contest) = inner(false) {
        contest.passes();
        return;
    }
    let signed = Signed::new(TEST);
    assert!(signed.start(TEST).wait().unwrap().success());
    assert!(signed.processes().len() > 20, "a zygote, workers and who looks at it, for each plan");
    signed.wait_until_all_are_gone();
}

#[test]
fn a_contest_that_hangs_leaves_no_process() {
    const TEST: &str = "left::a_contest_that_hangs_leaves_no_process";
    if let Some(contest) = inner(true) {
        let contest = contest.deadline(Duration::from_millis(200)).pauses(Duration::ZERO);
        let error = contest.shrink_for(Duration::ZERO).run().unwrap_err();
        assert!(matches!(error.failure().unwrap().problem, Problem::Hang { .. }), "{error}");
        return;
    }
    let signed = Signed::new(TEST);
    assert!(signed.start(TEST).wait().unwrap().success());
    assert!(signed.processes().len() > 2);
    signed.wait_until_all_are_gone();
}

#[test]
fn nothing_outlives_the_process_that_runs_a_contest() {
    const TEST: &str = "left::nothing_outlives_the_process_that_runs_a_contest";
    if let Some(contest) = inner(true) {
        contest.deadline(Duration::from_secs(1000)).kill_rate(0.0).passes();
        return;
    }
    let signed = Signed::new(TEST);
    let mut running = signed.start(TEST);
    wait_until("a zygote and three workers", || signed.processes().len() == 4);
    running.kill().unwrap();
    running.wait().unwrap();
    signed.wait_until_all_are_gone();
}
