//! A desk: what one process of the storm has written down about itself, for the boss and its colleagues to read.
//!
//! Each process writes to its own desk only, and a note is one store, so a kill leaves it made or not made. The boss
//! clears a desk when its process has ended for certain, and keeps the counts: they are of the desk, not of the process.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use pshared::ShmSafe;

use crate::lane::{LANES, Lane};

/// What a process may be waiting in. The order is that of [`Op::NAMES`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Mutex,
    Reentrant,
    Read,
    Write,
    UpgradableRead,
    Upgrade,
    Condvar,
    Mailbox,
    Semaphore,
    Binary,
    Permits,
    Barrier,
    AutoEvent,
    ManualEvent,
    Any,
    Once,
    OnceLock,
    Chapter,
}

pub const OPS: usize = Op::NAMES.len();

impl Op {
    pub const NAMES: [&'static str; 18] = [
        "mutex",
        "reentrant mutex",
        "read lock",
        "write lock",
        "upgradable read lock",
        "upgrade",
        "condvar",
        "mailbox's mutex",
        "semaphore",
        "binary semaphore",
        "permits",
        "barrier",
        "auto-reset event",
        "manual-reset event",
        "any of several",
        "once",
        "once lock",
        "opening a cell",
    ];
}

/// What a process may hold, a bit each. Written after it is got and cleared before it is given back.
pub mod hold {
    pub const MUTEX: u32 = 1;
    pub const REENTRANT: u32 = 1 << 1;
    pub const MAILBOX: u32 = 1 << 2;
    pub const READ: u32 = 1 << 3;
    pub const UPGRADABLE: u32 = 1 << 4;
    pub const WRITE: u32 = 1 << 5;
    pub const PERMIT: u32 = 1 << 6;
    /// That of the first page; the other pages' follow.
    pub const ONCE: u32 = 1 << 8;
    pub const ONCE_LOCK: u32 = 1 << 16;
    pub const ANY_ONCE: u32 = 0xffff00;
}

/// So many ledgers there are.
pub const LEDGERS: usize = 4;

#[repr(C, align(64))]
#[derive(ShmSafe)]
pub struct Desk {
    /// Which process sits here: a number that none had before, and its id in the lower half. 0 is none.
    pub life: AtomicU64,
    /// When the call that it is in began, in milliseconds; 0 where it is in none.
    since: AtomicU64,
    op: AtomicU32,
    /// See [`hold`].
    pub holds: AtomicU32,
    /// Which of its permits it has: another number each time.
    pub permit: AtomicU64,
    /// Whether it stands still, as it was told to.
    pub parked: AtomicBool,
    pub calls: AtomicU64,
    longest: [AtomicU32; OPS],
    /// What it has added to each of the ledgers.
    pub added: [AtomicU64; LEDGERS],
    pub lanes: [Lane; LANES],
    /// Its calls at the barrier: as leader, and as another, in halves.
    pub rounds: AtomicU64,
    pub at_barrier: AtomicBool,
}

impl Desk {
    pub const fn new() -> Desk {
        Desk {
            life: AtomicU64::new(0),
            since: AtomicU64::new(0),
            op: AtomicU32::new(0),
            holds: AtomicU32::new(0),
            permit: AtomicU64::new(0),
            parked: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            longest: [const { AtomicU32::new(0) }; OPS],
            added: [const { AtomicU64::new(0) }; LEDGERS],
            lanes: [const { Lane::new() }; LANES],
            rounds: AtomicU64::new(0),
            at_barrier: AtomicBool::new(false),
        }
    }

    /// Makes a call that may wait, under the boss's eyes.
    pub fn call<R>(&self, op: Op, call: impl FnOnce() -> R) -> R {
        let began = now();
        self.op.store(op as u32, Ordering::Relaxed);
        self.since.store(began, Ordering::Release);
        let result = call();
        self.since.store(0, Ordering::Release);
        let took = u32::try_from(now() - began).unwrap_or(u32::MAX);
        self.longest[op as usize].fetch_max(took, Ordering::Relaxed);
        self.calls.store(self.calls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        result
    }

    /// What it waits in, and for how many milliseconds by now.
    pub fn waits(&self) -> Option<(&'static str, u64)> {
        let since = self.since.load(Ordering::Acquire);
        let op = Op::NAMES[self.op.load(Ordering::Relaxed) as usize % OPS];
        (since != 0).then(|| (op, now().saturating_sub(since)))
    }

    /// The longest of its waits that came to an end, in milliseconds, by what it waited in.
    pub fn longest(&self) -> [u32; OPS] {
        std::array::from_fn(|op| self.longest[op].load(Ordering::Relaxed))
    }

    pub fn hold(&self, what: u32) {
        self.holds.fetch_or(what, Ordering::SeqCst);
    }

    pub fn release(&self, what: u32) {
        self.holds.fetch_and(!what, Ordering::SeqCst);
    }

    pub fn add(&self, ledger: usize) {
        self.added[ledger].store(self.added[ledger].load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Somebody else may sit here now: nothing is held, and nothing is waited for.
    pub fn clear(&self) {
        self.since.store(0, Ordering::Relaxed);
        self.holds.store(0, Ordering::Relaxed);
        self.at_barrier.store(false, Ordering::Relaxed);
        self.parked.store(false, Ordering::Relaxed);
        self.life.store(0, Ordering::SeqCst);
    }

    /// Whether the process of that life sits here still, alive: also after a moment, for what is about to end is as good
    /// as dead to everybody who was told so.
    pub fn is_alive(&self, life: u64) -> bool {
        let asked = Instant::now();
        while self.life.load(Ordering::SeqCst) == life && life != 0 && is_running(life as u32) {
            if asked.elapsed() > DYING {
                return true;
            }
            thread::sleep(Duration::from_micros(200));
        }
        false
    }
}

/// So long a process takes to die at most.
const DYING: Duration = Duration::from_secs(3);

/// The state letter of a process.
pub fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 1..].trim_start().chars().next()
}

fn is_running(pid: u32) -> bool {
    state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Milliseconds of a clock that all processes share.
pub fn now() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| time.tv_sec() as u64 * 1000 + time.tv_nsec() as u64 / 1_000_000)
}
