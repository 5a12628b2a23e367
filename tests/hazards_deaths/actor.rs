//! Processes that do as they are told, and the locks they are told about: the side of the test.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pshared::{Cause, Shm, ShmSafe};

use crate::Mutex;
use crate::support::child::{self, Child};
use crate::support::place::Scratch;
use crate::support::schedule;
use crate::support::stepper::{Stepper, Stop};

/// What the processes share.
#[repr(C)]
#[derive(ShmSafe)]
pub struct Table {
    pub locks: [Mutex<u32>; 4],
}

/// The test that every child runs.
pub const TEST: &str = "hands::the_process_that_acts";

/// As long as any wait of these tests may last; longer is a hang.
pub const LONG: Duration = Duration::from_secs(55);

/// Long enough to fall asleep in, and short enough to let pass.
pub const BRIEF: Duration = Duration::from_millis(400);

/// The parent's side of the locks. It never waits for one: what must be free is free at once.
pub struct Stage {
    name: String,
    pub table: Shm<Table>,
    _scratch: Scratch,
}

impl Stage {
    pub fn new() -> Stage {
        let scratch = Scratch::new();
        let [_, name] = scratch.posix().words();
        let table = || Ok(Table { locks: [const { Mutex::new(0) }; 4] });
        Stage { table: Shm::create(&name, table).unwrap(), name, _scratch: scratch }
    }

    pub fn actor(&self) -> Actor {
        let child = child::spawn(TEST, "actor", &[&self.name]);
        Actor { tid: child.peer.hear().parse().unwrap(), child }
    }

    /// An actor that is its process's only thread, forked from `actor`'s child, which reaps it or doesn't.
    pub fn lonely(&self, role: Lonely) -> Actor {
        let child = child::spawn(TEST, role.name(), &[&self.name]);
        Actor { tid: child.peer.hear().parse().unwrap(), child }
    }

    /// The futex word of a lock, which stands where libc's own robust mutexes have theirs.
    pub fn word(&self, lock: usize) -> u32 {
        let at = if cfg!(target_env = "musl") { 4 } else { 0 };
        let lock = &raw const self.table.locks[lock];
        // SAFETY: inside the lock, whose first 40 bytes are its atomic words; aligned like them.
        unsafe { &*lock.cast::<u8>().add(at).cast::<AtomicU32>() }.load(Ordering::SeqCst)
    }

    /// The owner part of the word: an id, or 0.
    pub fn owner(&self, lock: usize) -> u32 {
        self.word(lock) & libc::FUTEX_TID_MASK
    }

    /// Takes a lock that must be free now, and gives it back without poison; says whether it had any.
    pub fn must_be_free(&self, lock: usize) -> Found {
        let found = match self.table.locks[lock].try_lock() {
            Ok(_) => Found::Clean,
            Err(error) => {
                let (_guard, cause) = error.recover().unwrap_or_else(|e| panic!("{:#x}: {e}", self.word(lock)));
                assert_eq!(cause, Cause::OwnerDied);
                Found::Poisoned
            }
        };
        self.table.locks[lock].clear_poison();
        found
    }

    /// Whether the actor sleeps although nobody, or nobody but `dead`, owns the lock. Where waiters have to look up by
    /// themselves this isn't asked: that they come to it at all is what is claimed there.
    pub fn is_stranded(&self, actor: &Actor, lock: usize, dead: &[u32]) -> bool {
        let free = || matches!(self.owner(lock), 0) || dead.contains(&self.owner(lock));
        crate::WOKEN_AT_ONCE && free() && schedule::is_asleep(actor.tid) && free()
    }
}

/// How a lock was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Clean,
    Poisoned,
}

#[derive(Clone, Copy, Debug)]
pub enum Lonely {
    Reaped,
    LeftAsZombie,
}

impl Lonely {
    fn name(self) -> &'static str {
        match self {
            Lonely::Reaped => "reaped",
            Lonely::LeftAsZombie => "zombie",
        }
    }
}

/// The parent's side of an actor. Its `tid` is the thread that acts.
pub struct Actor {
    child: Child,
    pub tid: u32,
}

impl Actor {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn tell(&self, command: &str) {
        self.child.peer.say(command);
    }

    pub fn hear(&self) -> String {
        self.child.peer.hear()
    }

    pub fn ask(&self, command: &str) -> String {
        self.tell(command);
        self.hear()
    }

    /// Lets it wait for a lock, and waits until it sleeps there.
    pub fn sleep_on(&self, command: &str) {
        self.tell(command);
        schedule::wait_until_asleep(self.tid);
    }

    /// What it found when it got the lock that it was told to take.
    pub fn found(&self) -> Found {
        match self.hear().as_str() {
            "clean" => Found::Clean,
            "poisoned OwnerDied" => Found::Poisoned,
            other => panic!("{other}"),
        }
    }

    pub fn takes(&self, command: &str) -> Found {
        self.tell(command);
        self.found()
    }

    pub fn unlock(&self, lock: usize) {
        assert_eq!(self.ask(&format!("unlock {lock}")), "done");
    }

    /// Begins to trace it, and lets it run what is told to its first mark.
    pub fn step_through(&self, command: &str) -> Stepper {
        let stepper = Stepper::seize(self.tid);
        self.tell(command);
        assert_eq!(stepper.stopped(), Stop::Mark);
        stepper
    }

    /// SIGKILL, which must find it alive, and waits for the end of its process.
    pub fn kill(self) {
        self.child.kill();
    }

    /// SIGKILL to the process of the acting thread, and waits until that is dead, reaped or not.
    pub fn kill_acting(&self) {
        kill(Pid::from_raw(self.tid as i32), Signal::SIGKILL).unwrap();
        schedule::wait_until_dead(self.tid);
    }
}
