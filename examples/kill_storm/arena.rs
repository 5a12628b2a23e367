//! What all processes share: one of everything that the crate has, and the desks.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use pshared::backend::Backend;
use pshared::generic::{Barrier, Condvar, Event, Mutex, Once, OnceLock, Permits, ReentrantMutex, RwLock, Semaphore};
use pshared::{Result, ShmData, ShmSafe};

use crate::desk::Desk;
use crate::lane::{LANES, LIMIT, LIMITED};
use crate::ledger::{Ledger, SharedLedger};

/// As many workers as there can be.
pub const MAX_WORKERS: usize = 32;
/// The keeper's desk, and that of the inspector.
pub const KEEPER: usize = MAX_WORKERS;
pub const INSPECTOR: usize = MAX_WORKERS + 1;
pub const DESKS: usize = MAX_WORKERS + 2;

/// So many have a permit at a time,
pub const PERMITS: usize = 3;
/// so many read at a time, fewer than there are processes,
pub const READERS: usize = 4;
/// so many meet at the barrier,
pub const PARTICIPANTS: usize = 3;
/// and it has room for everybody.
pub const ROOM: usize = DESKS + PARTICIPANTS;

/// What everybody does at present.
pub mod phase {
    /// Operations.
    pub const STORM: u32 = 0;
    /// The workers end theirs and stand still; the keeper sees to it that they can.
    pub const GATHERING: u32 = 1;
    /// Everybody stands still.
    pub const QUIET: u32 = 2;
}

#[repr(C)]
#[derive(ShmSafe)]
pub struct Arena<B: Backend> {
    pub phase: AtomicU32,
    /// The chapter that is open; see [`Chapter`].
    pub chapter: AtomicU32,
    /// Deaths that were brought about, and those that are over for certain.
    pub killing: AtomicU64,
    pub killed: AtomicU64,
    /// Owners' deaths that somebody was told of.
    pub owner_deaths: AtomicU64,
    pub lost: AtomicU64,
    pub desks: [Desk; DESKS],

    pub mutex: Mutex<Ledger, B>,
    pub reentrant: ReentrantMutex<SharedLedger, B>,
    pub rwlock: RwLock<Ledger, B, READERS>,
    pub mailbox: Mutex<Mail, B>,
    pub arrived: Condvar<B>,
    pub lanes: [Semaphore<B>; LANES],
    pub binary: Semaphore<B>,
    pub permits: Permits<B, PERMITS>,
    pub barrier: Barrier<B, ROOM>,
    pub auto: Event<B>,
    pub manual: Event<B>,
}

/// Letters, each of which somebody waits for.
#[repr(C)]
#[derive(ShmData, Clone, Copy, Default)]
pub struct Mail {
    pub ledger: Ledger,
    pub letters: u64,
    pub put: u64,
    pub taken: u64,
}

impl Mail {
    /// Makes what is there agree with what came and went.
    pub fn repair(&mut self) {
        self.letters = self.put.saturating_sub(self.taken);
    }
}

/// What can be done only once, and is therefore in a cell of its own that is made anew at each quiet point: by whichever
/// worker comes first, and may be killed at it.
#[repr(C)]
#[derive(ShmSafe)]
pub struct Chapter<B: Backend> {
    /// Which of them everybody is at.
    pub page: AtomicU32,
    pub pages: [Page<B>; PAGES],
}

pub const PAGES: usize = 8;

#[repr(C)]
#[derive(ShmSafe)]
pub struct Page<B: Backend> {
    pub once: Once<B>,
    /// What the initialiser does: both are the same in the end, and not 0.
    pub done: [AtomicU64; 2],
    pub value: OnceLock<[u64; 2], B>,
    /// The value as the first to see it saw it; 0 before.
    pub seen: AtomicU64,
    /// Whether somebody found it complete.
    pub complete: AtomicBool,
}

impl<B: Backend> Arena<B> {
    pub fn new() -> Result<Arena<B>> {
        let lane = |lane| if lane == LIMITED { Semaphore::counting_with_max(0, LIMIT) } else { Semaphore::counting(0) };
        let [a, b, c, d, e, f, g, h] = std::array::from_fn(lane);
        Ok(Arena {
            phase: AtomicU32::new(phase::STORM),
            chapter: AtomicU32::new(0),
            killing: AtomicU64::new(0),
            killed: AtomicU64::new(0),
            owner_deaths: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            desks: [const { Desk::new() }; DESKS],
            mutex: Mutex::new(Ledger::default()),
            reentrant: ReentrantMutex::new(SharedLedger::default()),
            rwlock: RwLock::with_readers(Ledger::default()),
            mailbox: Mutex::new(Mail::default()),
            arrived: Condvar::new(),
            lanes: [a?, b?, c?, d?, e?, f?, g?, h?],
            binary: Semaphore::binary(false),
            permits: Permits::new(),
            barrier: Barrier::new(PARTICIPANTS)?,
            auto: Event::auto(false),
            manual: Event::manual(false),
        })
    }

    /// Something doesn't add up. Says what, the first few times.
    pub fn lost(&self, what: &str) {
        if self.lost.fetch_add(1, Ordering::Relaxed) < 20 {
            // Not even when nobody reads it any more may this end the process.
            let _ = writeln!(io::stderr(), "kill_storm: lost, on {}: {what}", B::NAME);
        }
    }

    pub fn phase(&self) -> u32 {
        self.phase.load(Ordering::SeqCst)
    }

    /// The sum of what all have added to a ledger. Exact while its lock is held, for only its holder adds.
    pub fn added(&self, ledger: usize) -> u64 {
        self.desks.iter().map(|desk| desk.added[ledger].load(Ordering::SeqCst)).sum()
    }

    /// Complains about everybody else who holds any of `what` just now and lives.
    pub fn nobody_holds(&self, what: u32, but: usize, holding: &str) {
        for (number, desk) in self.desks.iter().enumerate().filter(|(number, _)| *number != but) {
            let life = desk.life.load(Ordering::SeqCst);
            let held = desk.holds.load(Ordering::SeqCst) & what;
            if held != 0 && desk.is_alive(life) {
                self.lost(&format!("desk {but} has the {holding} while desk {number} has it (in a way of {held:#b})"));
            }
        }
    }

    /// The lives of those who have a permit, each with the number of that permit.
    pub fn permit_holders(&self) -> Vec<(usize, u64, u64)> {
        let holds = |desk: &Desk| desk.holds.load(Ordering::SeqCst) & crate::desk::hold::PERMIT != 0;
        let desks = self.desks.iter().enumerate().filter(|(_, desk)| holds(desk));
        desks.map(|(at, desk)| (at, desk.life.load(Ordering::SeqCst), desk.permit.load(Ordering::SeqCst))).collect()
    }

    /// Complains if more have a permit at one moment than there are: those who had the same one in both of two looks had
    /// it between them, all at once.
    pub fn permits_are_not_too_many(&self) {
        let first = self.permit_holders();
        if first.len() <= PERMITS {
            return;
        }
        let second = self.permit_holders();
        let both = first.iter().filter(|holder| second.contains(holder));
        let alive = both.filter(|(at, life, _)| self.desks[*at].is_alive(*life)).count();
        if alive > PERMITS {
            self.lost(&format!("{alive} have one of {PERMITS} permits"));
        }
    }
}

impl<B: Backend> Chapter<B> {
    pub fn new() -> Chapter<B> {
        Chapter { page: AtomicU32::new(0), pages: [const { Page::new() }; PAGES] }
    }

    pub fn name(arena: &str, number: u32) -> String {
        format!("{arena}-chapter-{number}")
    }
}

impl<B: Backend> Page<B> {
    const fn new() -> Page<B> {
        Page {
            once: Once::new(),
            done: [const { AtomicU64::new(0) }; 2],
            value: OnceLock::new(),
            seen: AtomicU64::new(0),
            complete: AtomicBool::new(false),
        }
    }
}
