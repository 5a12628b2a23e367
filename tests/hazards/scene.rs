//! A cell with a few locks, processes to use it in, and looks at what the system knows of them.

use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use pshared::region::{Anonymous, Region};
use pshared::{Cause, LockError, Mutex, Shm, ShmSafe};

use crate::support::child;
use crate::support::state::state as child_state;

/// Nothing here takes as long; what does hangs.
const WATCHDOG: Duration = Duration::from_secs(60);

#[repr(C)]
#[derive(ShmSafe)]
pub struct Locks {
    pub locks: [Mutex<u64>; 8],
    /// For what the processes of a test tell each other.
    pub marks: [AtomicU32; 8],
}

pub fn locks() -> pshared::Result<Locks> {
    let marks = [const { AtomicU32::new(0) }; 8];
    Ok(Locks { locks: std::array::from_fn(|i| Mutex::new(i as u64)), marks })
}

/// Shared with forked children only.
pub fn anonymous() -> Shm<Locks> {
    Shm::create_in(&Anonymous::new(), locks).unwrap()
}

pub fn create(region: &dyn Region) -> Shm<Locks> {
    Shm::create_in(region, locks).unwrap()
}

pub fn open(region: &dyn Region) -> Shm<Locks> {
    Shm::open_in(region).unwrap()
}

// Where a `Mutex<u64>` has what a peer may scribble over, in words of 4 bytes.
pub const WORD: usize = 0;
pub const SETTLED: usize = 1;
pub const STAMP: usize = 2;
// In words of 8 bytes.
pub const BACK: usize = 3;
pub const NEXT: usize = 4;
/// From the lock to what the robust list calls it.
pub const ENTRY: usize = 32;

pub const WAITERS: u32 = 1 << 31;
pub const OWNER_DIED: u32 = 1 << 30;

/// All of a lock, as a peer that knows nothing of it sees it.
pub fn raw(lock: &Mutex<u64>) -> &[AtomicU32; 14] {
    const { assert!(size_of::<Mutex<u64>>() == 14 * 4) };
    // SAFETY: as many bytes, aligned to 8, and all of them are atomics or in an UnsafeCell.
    unsafe { &*std::ptr::from_ref(lock).cast() }
}

/// The same in words as long as a pointer.
pub fn links(lock: &Mutex<u64>) -> &[AtomicUsize; 7] {
    const { assert!(size_of::<Mutex<u64>>() == 7 * size_of::<usize>()) };
    // SAFETY: as above.
    unsafe { &*std::ptr::from_ref(lock).cast() }
}

/// Whether the kernel has marked the lock, asked so that nothing of it changes.
pub fn is_marked(lock: &Mutex<u64>) -> bool {
    !lock.is_locked() && lock.is_poisoned()
}

/// Takes a lock whose last owner must have died in it, and puts it right.
pub fn recover(lock: &Mutex<u64>) {
    match lock.lock() {
        Err(LockError::Poisoned(poison)) => assert_eq!(poison.cause(), Cause::OwnerDied),
        other => panic!("its owner died: {other:?}"),
    }
    lock.clear_poison();
}

/// Takes a lock with which nothing is wrong.
pub fn use_up(lock: &Mutex<u64>) {
    *lock.lock().unwrap() += 1;
}

/// Waits for a state that must come.
pub fn until(what: &str, is: impl Fn() -> bool) {
    let started = Instant::now();
    while !is() {
        assert!(started.elapsed() < WATCHDOG, "never: {what}");
        thread::sleep(Duration::from_micros(200));
    }
}

/// Runs `body` in another process, where it may fork, be killed, and hang without hanging the test.
pub fn alone(body: impl FnOnce()) {
    match child::role() {
        Some(_) => body(),
        None => child::spawn(&this_test(), "alone", &[]).finish(),
    }
}

/// The name that this test is run by.
pub fn this_test() -> String {
    thread::current().name().expect("a test runs in a thread of its name").into()
}

/// The three ways to fork: with libc's handlers, without, and past libc.
#[derive(Clone, Copy, Debug)]
pub enum How {
    Fork,
    #[cfg(target_env = "gnu")]
    PlainFork,
    Clone,
}

impl How {
    #[cfg(target_env = "gnu")]
    pub const ALL: [How; 3] = [How::Fork, How::PlainFork, How::Clone];
    #[cfg(not(target_env = "gnu"))]
    pub const ALL: [How; 2] = [How::Fork, How::Clone];

    fn call(self) -> i32 {
        #[cfg(target_env = "gnu")]
        unsafe extern "C" {
            fn _Fork() -> libc::pid_t;
        }
        // SAFETY: the caller is the only thread of its process that does anything, so its child finds nothing half-done.
        unsafe {
            match self {
                How::Fork => libc::fork(),
                #[cfg(target_env = "gnu")]
                How::PlainFork => _Fork(),
                How::Clone => libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as i32,
            }
        }
    }
}

/// A forked child; dropped, it is killed.
pub struct Forked {
    pid: Pid,
    waited: bool,
}

/// Forks a child that does `body` and ends. Not from the test runner itself, which has threads: see [`alone`].
pub fn fork(body: impl FnOnce()) -> Forked {
    fork_by(How::Fork, body)
}

pub fn fork_by(how: How, body: impl FnOnce()) -> Forked {
    let parent = nix::unistd::getpid();
    match how.call() {
        -1 => panic!("{how:?}: {}", nix::errno::Errno::last()),
        0 => {
            let done = catch_unwind(AssertUnwindSafe(|| {
                nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
                assert!([parent, Pid::from_raw(0)].contains(&nix::unistd::getppid()), "the parent has died");
                nix::unistd::alarm::set(WATCHDOG.as_secs() as u32);
                body();
            }));
            exit(if done.is_ok() { 0 } else { 101 })
        }
        pid => Forked { pid: Pid::from_raw(pid), waited: false },
    }
}

/// Ends a forked child past everything that its parent had to do.
pub fn exit(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// SIGKILL for the calling process.
pub fn die() -> ! {
    kill(nix::unistd::getpid(), Signal::SIGKILL).unwrap();
    unreachable!("killed")
}

impl Forked {
    pub fn pid(&self) -> u32 {
        self.pid.as_raw() as u32
    }

    /// Whether it has ended.
    #[allow(dead_code, reason = "not all who include this file watch how it goes")]
    pub fn has_ended(&self) -> bool {
        matches!(child_state(self.pid()), None | Some('Z' | 'X'))
    }

    /// Waits for the end; says how it ended.
    pub fn wait(mut self) -> WaitStatus {
        self.waited = true;
        waitpid(self.pid, None).unwrap()
    }

    /// Waits for the end, which must be a good one.
    pub fn finish(self) {
        let pid = self.pid;
        assert_eq!(self.wait(), WaitStatus::Exited(pid, 0));
    }

    /// Waits until it has been killed, by itself or by `kill`.
    pub fn killed(self) {
        let pid = self.pid;
        assert_eq!(self.wait(), WaitStatus::Signaled(pid, Signal::SIGKILL, false));
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap();
    }

    pub fn kill(self) {
        self.signal(Signal::SIGKILL);
        self.killed();
    }

    /// Whether its first thread sleeps in futex(2).
    pub fn sleeps(&self) -> bool {
        sleeps(self.pid(), self.pid())
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        if !self.waited {
            // Both fail only where it is gone already.
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}

/// Whether a thread sleeps in futex(2).
pub fn sleeps(pid: u32, tid: u32) -> bool {
    futex_operation(pid, tid).is_some()
}

/// The second argument of the futex(2) that a thread sleeps in.
pub fn futex_operation(pid: u32, tid: u32) -> Option<u64> {
    let call = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")).ok()?;
    let mut words = call.split_whitespace();
    if words.next()? != libc::SYS_futex.to_string() {
        return None;
    }
    u64::from_str_radix(words.nth(1)?.trim_start_matches("0x"), 16).ok()
}

/// Keeps the calling thread on one processor; false if there is no such.
pub fn stay_on(processor: usize) -> bool {
    // SAFETY: a set of bits, of which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is large enough for that bit, and its size is told.
    unsafe {
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set) == 0
    }
}

/// The inode number of this process's pid namespace.
pub fn pid_namespace() -> u64 {
    std::fs::metadata("/proc/self/ns/pid").unwrap().ino()
}

/// What the thread's robust list holds, first entry first, and its pending entry.
pub fn robust_list() -> (Vec<usize>, usize) {
    let (mut head, mut len) = (std::ptr::null::<[usize; 3]>(), 0_usize);
    // SAFETY: two places for the results.
    let done = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    assert_eq!((done, len), (0, size_of::<[usize; 3]>()));
    let mut entries = Vec::new();
    // SAFETY: libc's head, which lives as long as the thread, and entries that tests keep mapped; volatile, as the
    // locks under test write there.
    unsafe {
        let mut next = (&raw const (*head)[0]).read_volatile();
        while next & !1 != head.expose_provenance() {
            entries.push(next & !1);
            assert!(entries.len() <= 2048, "the list doesn't end");
            next = std::ptr::with_exposed_provenance::<usize>(next & !1).read_volatile();
        }
        (entries, (&raw const (*head)[2]).read_volatile())
    }
}

/// What the robust list calls a lock.
pub fn entry(lock: &Mutex<u64>) -> usize {
    std::ptr::from_ref(lock).addr() + ENTRY
}
