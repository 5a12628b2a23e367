//! Tells the program which compiler it was built by.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = std::env::var_os("RUSTC").expect("cargo says which compiler it uses");
    let said = Command::new(rustc).arg("--version").output().expect("the compiler runs");
    let version = String::from_utf8(said.stdout).expect("its version is text");
    println!("cargo::rustc-env=RUSTC_VERSION={}", version.trim());
}
