//! Processes that do as they are told, and the lock they are told about: the side of the test.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv};
use pshared::{Cause, LockResult, RwLock, Shm};

use crate::support::child::{self, Child};
use crate::support::place::Scratch;
use crate::support::schedule::{self, is_asleep, sleeps};
use crate::support::stepper::{Stepper, Stop};

/// The test that every child runs.
pub const TEST: &str = "hands::the_process_that_acts";

/// As long as any wait of these tests may last; longer is a hang.
pub const LONG: Duration = Duration::from_secs(55);

/// Long enough to fall asleep in, and short enough to let pass.
pub const BRIEF: Duration = Duration::from_millis(400);

/// The phase of the lock in which its gate's owner has the data.
const WRITING: u32 = 2;

/// The parent's side of the lock. It never waits for it: what must be free is free at once.
pub struct Stage<const READERS: usize> {
    name: String,
    pub lock: Shm<RwLock<u32, READERS>>,
    _scratch: Scratch,
}

impl<const READERS: usize> Stage<READERS> {
    pub fn new() -> Self {
        let scratch = Scratch::new();
        let [_, name] = scratch.posix().words();
        let lock = Shm::create(&name, || Ok(RwLock::with_readers(0))).unwrap();
        Stage { lock, name, _scratch: scratch }
    }

    pub fn actor(&self) -> Actor {
        let child = child::spawn(TEST, "actor", &[&self.name, &READERS.to_string()]);
        Actor { tid: child.peer.hear().parse().unwrap(), child }
    }

    fn number_at(&self, at: usize) -> u32 {
        let lock = &raw const *self.lock;
        // SAFETY: inside the lock, which begins with the gate, the phase and the slots, all of them atomics.
        unsafe { &*lock.cast::<u8>().add(at).cast::<AtomicU32>() }.load(Ordering::SeqCst)
    }

    /// The owners of the gate and of the slots: ids, or 0.
    pub fn owners(&self) -> Vec<u32> {
        let word = if cfg!(target_env = "musl") { 4 } else { 0 };
        (0..=READERS).map(|at| self.number_at(at * 64 + word) & libc::FUTEX_TID_MASK).collect()
    }

    /// Whether that thread has the data for writing.
    pub fn is_writing(&self, tid: u32) -> bool {
        self.owners()[0] == tid && self.number_at(40) == WRITING
    }

    /// Takes the lock, which must be free now, in every way, and gives it back without poison; says whether it had any.
    pub fn must_be_free(&self) -> Found {
        let found = Found::of(&self.lock.try_write());
        assert_eq!(Found::of(&self.lock.try_read()), found);
        self.lock.clear_poison();
        for _ in 0..2 {
            assert_eq!(Found::of(&self.lock.try_write()), Found::Clean);
            assert_eq!(Found::of(&self.lock.try_read()), Found::Clean);
            assert_eq!(Found::of(&self.lock.try_upgradable_read()), Found::Clean);
        }
        found
    }

    /// Lets everybody who sleeps come to an end, which needs nobody else: says how they found the lock.
    pub fn all_come_through(&self, actors: &[&Actor]) -> Vec<Found> {
        let mut waiting: Vec<&Actor> = actors.to_vec();
        schedule::wait_until("all come through", || {
            waiting.retain(|actor| !actor.has_answered());
            let counts = || waiting.iter().map(|actor| sleeps(actor.tid)).collect::<Vec<_>>();
            let all_asleep = || waiting.iter().all(|actor| is_asleep(actor.tid));
            let before = counts();
            // Everybody was asleep at one moment, if nobody went to sleep between the two looks.
            let stranded = !waiting.is_empty() && all_asleep() && all_asleep() && counts() == before;
            assert!(
                !stranded || waiting.iter().any(|actor| actor.has_answered()),
                "asleep for nobody: {:x?}",
                self.owners()
            );
            waiting.is_empty()
        });
        actors.iter().map(|actor| actor.found()).collect()
    }
}

/// How the lock was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Clean,
    Poisoned,
}

impl Found {
    pub fn poisoned_if(poisoned: bool) -> Found {
        if poisoned { Found::Poisoned } else { Found::Clean }
    }

    fn of<G>(taken: &LockResult<G>) -> Found {
        match taken {
            Ok(_) => Found::Clean,
            Err(pshared::LockError::Poisoned(poison)) if poison.cause() == Cause::OwnerDied => Found::Poisoned,
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// The parent's side of an actor. Its `tid` is the thread that acts.
pub struct Actor {
    child: Child,
    pub tid: u32,
}

impl Actor {
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

    fn has_answered(&self) -> bool {
        recv(self.child.peer.socket().as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT).is_ok()
    }

    /// Lets it wait for the lock, and waits until it sleeps there.
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

    pub fn unlock(&self) {
        assert_eq!(self.ask("unlock"), "done");
    }

    /// Begins to trace it, and lets it run what is told to its first mark.
    pub fn step_through(&self, command: &str) -> Stepper {
        let stepper = Stepper::seize(self.tid);
        self.tell(&format!("step {command}"));
        assert_eq!(stepper.stopped(), Stop::Mark);
        stepper
    }

    /// SIGKILL, which must find it alive, and waits for the end of its process.
    pub fn kill(self) {
        self.child.kill();
    }
}

/// Lets the stopped thread run until it sleeps for the lock; woken, it will stop as it leaves that call.
pub fn run_until_asleep(stepper: &Stepper, actor: &Actor) {
    loop {
        match stepper.to_syscall() {
            Stop::Entry { number: libc::SYS_futex_waitv, .. } => break,
            other if other.is_futex_wait() => break,
            _ => {}
        }
    }
    stepper.run_to_syscall();
    schedule::wait_until_asleep(actor.tid);
}
