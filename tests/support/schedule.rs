//! Staging a schedule: who runs where, who is asleep, and waiting for such a state instead of for a while.
//!
//! Threads are named by their kernel id. All of this looks at `/proc` or asks the scheduler; nothing here knows a lock.

use std::fs;

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::child::{self, Child, Peer};
pub use super::state::{
    is_asleep_in_a_lock as is_asleep, state, wait_until, wait_until_asleep_in_a_lock as wait_until_asleep,
};

/// Waits until the thread is gone, or is a zombie that nobody has reaped: the kernel has marked what it held.
pub fn wait_until_dead(tid: u32) {
    wait_until("the thread is dead", || matches!(state(tid), None | Some('Z' | 'X')));
}

/// How often the thread went to sleep so far: the same number later means that it has slept all the while.
pub fn sleeps(tid: u32) -> Option<u64> {
    number(tid, "voluntary_ctxt_switches:")
}

/// How often the thread was put on a processor so far: the same number later means that it hasn't run.
pub fn runs(tid: u32) -> Option<u64> {
    fs::read_to_string(format!("/proc/{tid}/schedstat")).ok()?.split_ascii_whitespace().nth(2)?.parse().ok()
}

fn number(tid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(field))?.trim().parse().ok()
}

/// The processors that this thread may run on.
pub fn processors() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap()).collect()
}

/// Keeps a thread (0: the calling one) on some processors until the value is dropped.
pub struct Pinned {
    tid: Pid,
    before: CpuSet,
}

impl Pinned {
    pub fn to(tid: u32, cpus: &[usize]) -> Pinned {
        let tid = Pid::from_raw(tid as i32);
        let before = sched_getaffinity(tid).unwrap();
        let mut set = CpuSet::new();
        cpus.iter().for_each(|cpu| set.set(*cpu).unwrap());
        sched_setaffinity(tid, &set).unwrap();
        Pinned { tid, before }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // A thread that is dead by now needs nothing back.
        let _ = sched_setaffinity(self.tid, &self.before);
    }
}

/// A process that keeps one processor busy ahead of every ordinary thread (SCHED_FIFO), so that a thread pinned there
/// doesn't run. Dropped, it is killed. (The kernel lets ordinary threads run for a moment each second all the same:
/// look at [`runs`].)
pub struct Spinner(#[allow(dead_code, reason = "kept for its end")] Child);

/// The role in which a child must call [`spin`].
pub const SPINNER: &str = "spinner";

impl Spinner {
    /// Starts `test` again for it; `None` where this user has no right to real-time priorities.
    pub fn start(test: &str, cpu: usize) -> Option<Spinner> {
        let child = child::spawn(test, SPINNER, &[&cpu.to_string()]);
        match child.peer.hear().as_str() {
            "spinning" => Some(Spinner(child)),
            "EPERM" => None,
            other => panic!("{other}"),
        }
    }
}

/// What a child in the role [`SPINNER`] does until it is killed.
pub fn spin(args: &[String], peer: &Peer) {
    let _pinned = Pinned::to(0, &[args[0].parse().unwrap()]);
    let priority = libc::sched_param { sched_priority: 50 };
    // SAFETY: the parameter outlives the call.
    match Errno::result(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &priority) }) {
        Err(Errno::EPERM) => return peer.say("EPERM"),
        done => _ = done.unwrap(),
    }
    peer.say("spinning");
    loop {
        std::hint::spin_loop();
    }
}
