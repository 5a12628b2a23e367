//! The claims once more where there is no `futex_waitv`.

use std::process::{Command, Stdio};

use crate::support::no_waitv;

const MARK: &str = "PSHARED_TEST_WITHOUT_WAITV";

/// The claims about waiting, by the modules that they stand in.
const MODULES: [&str; 8] =
    ["contended::", "death::", "poison::", "readers::", "taking::", "time::", "turning::", "without_waitv::"];

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
