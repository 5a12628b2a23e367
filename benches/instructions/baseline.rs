//! What the paths cost when they were last looked at: the file `baseline.toml`, which stands beside the sources.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fmt::Write as _;
use std::path::Path;
use std::{fmt, fs};

use serde::Deserialize;

use crate::cost::Cost;

const HEAD: &str = "\
# What one time through each fast path costs. `cargo bench -p instructions -- --bless` writes it; see TESTING.md.
";

/// What the numbers depend on besides the sources.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Tools {
    pub rustc: String,
    pub libc: String,
}

impl Tools {
    /// What this program was made with, and runs with.
    pub fn here() -> Tools {
        // SAFETY: a string that is there as long as the program.
        let libc = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
        Tools { rustc: env!("RUSTC_VERSION").into(), libc: format!("glibc {}", libc.to_string_lossy()) }
    }
}

impl fmt::Display for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.rustc, self.libc)
    }
}

#[derive(Deserialize)]
pub struct Baseline {
    pub tools: Tools,
    pub paths: BTreeMap<String, Cost>,
}

impl Baseline {
    pub fn read(file: &Path) -> Result<Baseline, String> {
        let failed = |error: &dyn fmt::Display| format!("{}: {error}; --bless writes a new one", file.display());
        let text = fs::read_to_string(file).map_err(|error| failed(&error))?;
        toml::from_str(&text).map_err(|error| failed(&error))
    }

    pub fn write(&self, file: &Path) -> Result<(), String> {
        let Tools { rustc, libc } = &self.tools;
        let mut text = format!("{HEAD}\n[tools]\nrustc = {rustc:?}\nlibc = {libc:?}\n\n[paths]\n");
        for (name, Cost { instructions, locked, system_calls }) in &self.paths {
            let counts = format!("instructions = {instructions}, locked = {locked}, system_calls = {system_calls}");
            writeln!(text, "{name:?} = {{ {counts} }}").expect("a string has room");
        }
        fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
    }
}
