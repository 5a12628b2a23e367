//! Waiting for a state of the system instead of for a time.
//!
//! Threads are named by their kernel id. All of this looks at `/proc`; nothing here knows a lock.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::watchdog::PATIENCE;

/// Waits until `reached` says so; what never comes is a failure that says what was waited for.
pub fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < PATIENCE / 2, "{what}: never"); // before the watchdog, which knows less
        thread::sleep(Duration::from_micros(100));
    }
}

/// The state letter of a thread in `/proc/TID/stat`; `None` if there is no such thread.
pub fn state(tid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{tid}/stat")).ok()?;
    stat[stat.rfind(')')? + 1..].trim_start().chars().next()
}

/// Waits until the thread sleeps in a system call that isn't one of those by which tests wait for each other's lines.
pub fn wait_until_asleep_in_a_lock(tid: u32) {
    wait_until(&format!("thread {tid} asleep in a lock"), || {
        let ended = matches!(state(tid), None | Some('Z' | 'X'));
        assert!(!ended, "thread {tid} was to sleep in a lock, and has ended");
        is_asleep_in_a_lock(tid)
    });
}

/// Whether it does so at this moment. One that was woken isn't asleep, even before it runs.
pub fn is_asleep_in_a_lock(tid: u32) -> bool {
    state(tid) == Some('S') && !is_talking(tid)
}

fn is_talking(tid: u32) -> bool {
    let talking = [libc::SYS_read, libc::SYS_recvfrom, libc::SYS_recvmsg, libc::SYS_write, libc::SYS_sendto];
    match fs::read_to_string(format!("/proc/{tid}/syscall")) {
        // "running" is no number: it woke up meanwhile.
        Ok(call) => call.split(' ').next().and_then(|number| number.parse().ok()).is_none_or(|n| talking.contains(&n)),
        // Where processes may not look into others than their children.
        Err(_) => fs::read_to_string(format!("/proc/{tid}/wchan")).is_ok_and(|at| at == "0" || at.contains("unix_")),
    }
}

/// The calling thread's id.
pub fn tid() -> u32 {
    nix::unistd::gettid().as_raw() as u32
}
