//! A program in C that takes the same mutex, in memory that it maps by itself.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use pshared::{Cause, Shm, ShmSafe};

use crate::Mutex;
use crate::actor::TEST;
use crate::support::child::{self, Child, Peer};
use crate::support::place::Scratch;
use crate::support::watchdog;

const ROUNDS: u64 = 100_000;

#[repr(C)]
#[derive(ShmSafe)]
struct Shared {
    /// So that the mutex isn't where the value begins.
    before: [u8; 24],
    number: Mutex<u64>,
}

/// A region with that in it, and the program, compiled.
struct Stage {
    shared: Shm<Shared>,
    name: String,
    program: PathBuf,
    _scratch: Scratch,
}

impl Stage {
    fn new() -> Stage {
        let scratch = Scratch::new();
        let [_, name] = scratch.posix().words();
        let program = scratch.directory.join("interop");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pthread/interop.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-Wall", "-Werror", "-pthread", "-o"]).arg(&program).arg(source);
        assert!(compiler.status().expect("a C compiler is needed").success());
        let shared = Shm::create(&name, || Ok(Shared { before: [0; 24], number: Mutex::new(0) })).unwrap();
        Stage { shared, name, program, _scratch: scratch }
    }

    /// The program, with the region mapped.
    fn start_c(&self) -> InC {
        // The region begins at a page's beginning, and so does every cell in a region.
        let base = std::ptr::from_ref(&*self.shared).addr() & !4095;
        let number = &self.shared.number;
        let data = std::ptr::from_ref(&*number.lock().unwrap()).addr() - base;
        let mut process = Command::new(&self.program)
            .arg(format!("/dev/shm/{}", self.name))
            .args([number.raw_mutex().addr() - base, data].map(|offset| offset.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        InC { process, to, from: BufReader::new(from) }
    }

    fn start_rust(&self) -> Child {
        child::spawn(TEST, ROLE, &[&self.name])
    }
}

/// The program in C; dropped, it is killed.
struct InC {
    process: std::process::Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl InC {
    fn tell(&mut self, command: &str) {
        writeln!(self.to, "{command}").unwrap();
    }

    fn expect(&mut self, answer: &str) {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), answer);
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for InC {
    fn drop(&mut self) {
        // Both fail only for one that was waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub const ROLE: &str = "beside C";

/// The other side in Rust.
pub fn play(args: &[String], peer: &Peer) {
    let shared = Shm::<Shared>::open(&args[0]).unwrap();
    match peer.hear().as_str() {
        "lock" => {
            let _guard = shared.number.lock().unwrap();
            peer.say("locked");
            peer.hear();
        }
        other => panic!("{other}"),
    }
}

#[test]
fn both_sides_count_up_together() {
    let _watchdog = watchdog::watch("both_sides_count_up_together");
    let stage = Stage::new();
    let mut c = stage.start_c();
    c.tell(&format!("add {ROUNDS}"));
    for _ in 0..ROUNDS {
        *stage.shared.number.lock().unwrap() += 1;
    }
    c.expect("added");
    assert_eq!(*stage.shared.number.lock().unwrap(), 2 * ROUNDS);
}

#[test]
fn each_side_keeps_the_other_out() {
    let stage = Stage::new();
    let mut c = stage.start_c();
    c.tell("lock");
    c.expect("clean");
    let number = &stage.shared.number;
    assert!(number.is_locked());
    assert_eq!(number.owner().unwrap().pid, c.process.id());
    assert!(matches!(number.try_lock(), Err(pshared::LockError::WouldBlock)));
    c.tell("unlock");
    c.expect("unlocked");
    let guard = number.lock().unwrap();
    c.tell("lock");
    crate::support::state::wait_until_asleep_in_a_lock(c.process.id());
    drop(guard);
    c.expect("clean");
}

#[test]
fn the_death_of_the_c_side_is_poison_here() {
    let stage = Stage::new();
    let mut c = stage.start_c();
    c.tell("lock");
    c.expect("clean");
    c.kill();
    let (_guard, cause) = stage.shared.number.lock().unwrap_err().recover().unwrap();
    assert_eq!(cause, Cause::OwnerDied);
}

#[test]
fn the_death_of_the_rust_side_is_eownerdead_there() {
    let stage = Stage::new();
    let (mut c, rust) = (stage.start_c(), stage.start_rust());
    rust.peer.say("lock");
    rust.peer.expect("locked");
    c.tell("lock");
    crate::support::state::wait_until_asleep_in_a_lock(c.process.id());
    rust.kill();
    c.expect("died");
    c.tell("unlock");
    c.expect("unlocked");
    assert!(stage.shared.number.lock().is_ok(), "the other side has recovered it");
}

/// What was never made consistent is `ENOTRECOVERABLE` for programs in C; here it is a death like others.
#[test]
fn a_mutex_that_the_c_side_gave_up_is_poisoned_and_usable() {
    let stage = Stage::new();
    let rust = stage.start_rust();
    rust.peer.say("lock");
    rust.peer.expect("locked");
    rust.kill();
    let mutex = stage.shared.number.raw_mutex().cast::<libc::pthread_mutex_t>();
    // SAFETY: the mutex of a settled lock, which stays mapped meanwhile.
    unsafe {
        assert_eq!(libc::pthread_mutex_lock(mutex), libc::EOWNERDEAD);
        assert_eq!(libc::pthread_mutex_unlock(mutex), 0);
        assert_eq!(libc::pthread_mutex_lock(mutex), libc::ENOTRECOVERABLE);
    }
    let (guard, cause) = stage.shared.number.lock().unwrap_err().recover().unwrap();
    assert_eq!(cause, Cause::OwnerDied);
    drop(guard);
    stage.shared.number.clear_poison();
    assert!(stage.shared.number.lock().is_ok());
}
