//! Runs of the example and of `wc`.

use std::ffi::OsStr;
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::example::{Example, TempDir, text};

pub static WORD_COUNT: Example = Example::new("word_count");

pub fn wc(files: &[impl AsRef<OsStr>]) -> Output {
    Command::new("wc").env("LC_ALL", "C").arg("--").args(files).output().unwrap()
}

/// The example's name for what begins a word in this system's `wc`: GNU changed it in 9.5.
pub fn rule_of_wc() -> &'static str {
    static RULE: OnceLock<&str> = OnceLock::new();
    RULE.get_or_init(|| {
        let dir = TempDir::new("rule");
        let output = wc(&[dir.file("a", b"\x01")]);
        if text(&output.stdout).split_whitespace().nth(1) == Some("1") { "any" } else { "printable" }
    })
}

/// A run of the example, which leaves nothing in shared memory.
pub fn word_count(options: &[&str], files: &[impl AsRef<OsStr>]) -> Output {
    WORD_COUNT.run(options, files)
}
