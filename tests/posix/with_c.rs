//! The other side is a program in C.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use pshared::Error;
use pshared::posix::NamedSemaphore;

use crate::Name;
use crate::support::schedule;
use crate::support::watchdog::watch;

/// The compiled program, which goes away with it; `None` where there is no C compiler.
struct Program(PathBuf);

impl Program {
    fn compiled(name: &Name) -> Option<Program> {
        let path = std::env::temp_dir().join(&name.0);
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/posix/named.c");
        // Neither glibc before 2.34 nor older musl has the calls without -pthread.
        let done = Command::new("cc").args(["-O1", "-Wall", "-Werror", "-pthread", source, "-o"]).arg(&path).status();
        let Ok(done) = done else {
            println!("skipped: it takes a C compiler called cc");
            return None;
        };
        assert!(done.success());
        Some(Program(path))
    }

    fn run(&self, name: &Name, how: &str) -> Child {
        let name = format!("/{}", name.0);
        Command::new(&self.0).args([&name, how]).stdout(Stdio::piped()).spawn().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

#[test]
fn a_program_in_c_waits_and_posts() {
    let _watchdog = watch("a_program_in_c_waits_and_posts");
    let name = Name::new();
    let jobs = name.create(0);
    let Some(program) = Program::compiled(&name) else { return };
    let mut child = program.run(&name, "open");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "waiting\n");
    schedule::wait_until_asleep(child.id());
    assert_eq!(jobs.try_wait(), Err(Error::WouldBlock));
    jobs.post().unwrap();
    assert!(child.wait().unwrap().success());
    jobs.wait().unwrap();
    jobs.wait().unwrap();
    assert_eq!(jobs.value(), Ok(0));
}

#[test]
fn what_a_program_in_c_made_is_opened() {
    let _watchdog = watch("what_a_program_in_c_made_is_opened");
    let name = Name::new();
    let Some(program) = Program::compiled(&name) else { return };
    let mut child = program.run(&name, "create"); // 1, less 1, and 2
    assert!(child.wait().unwrap().success());
    let jobs = NamedSemaphore::open(&name.0).unwrap();
    assert_eq!(jobs.value(), Ok(2));
    jobs.wait().unwrap();
}
