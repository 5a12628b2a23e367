//! The side of the test: what the processes share, and how they are told what to do.

use pshared::backend::Backend;
use pshared::generic::{Condvar, Mutex, Permits, Semaphore};
use pshared::{Shm, ShmSafe};

use crate::actor;
use crate::support::child::{self, Child};
use crate::support::place::Scratch;
use crate::support::schedule;
use crate::support::stepper::{Stepper, Stop};
use crate::support::watchdog::watch;

/// What can be taken and given, by its name in commands.
pub const KINDS: [&str; 4] = ["lock", "job", "permit", "change"];

/// What the processes share.
#[repr(C)]
#[derive(ShmSafe)]
pub struct Table<B: Backend> {
    pub lock: Mutex<u32, B>,
    pub jobs: Semaphore<B>,
    pub permits: Permits<B, 2>,
    pub changed: Condvar<B>,
}

/// Runs `attempt` on new stages until it says that it has met its schedule; in a child, acts.
pub fn run<B: Backend>(test: &'static str, attempt: fn(&Stage<B>) -> Option<()>) {
    if let Some((_, args, peer)) = child::role() {
        return actor::act::<B>(&args[0], &peer);
    }
    let (_crate, in_crate) = test.split_once("::").unwrap();
    for number in 1..=30 {
        let _watchdog = watch(test);
        if attempt(&Stage::new(in_crate)).is_some() {
            return println!("{test}: staged at attempt {number}");
        }
    }
    panic!("{test}: the schedule was never met in 30 attempts");
}

/// Whether a sleep ended by a wake-up; which of the words slept on it came by, is the result.
pub fn is_wake_up(stop: Stop) -> bool {
    matches!(stop, Stop::Exit { result } if result >= 0)
}

pub struct Stage<B: Backend> {
    test: &'static str,
    name: String,
    pub table: Shm<Table<B>>,
    _scratch: Scratch,
}

impl<B: Backend> Stage<B> {
    fn new(test: &'static str) -> Self {
        let scratch = Scratch::new();
        let [_, name] = scratch.posix().words();
        let table = || {
            Ok(Table {
                lock: Mutex::new(0),
                jobs: Semaphore::counting(0)?,
                permits: Permits::new(),
                changed: Condvar::new(),
            })
        };
        Stage { test, table: Shm::create(&name, table).unwrap(), name, _scratch: scratch }
    }

    /// The same with nothing taken and nothing given: for the next kind.
    pub fn anew(&self) -> Self {
        Stage::new(self.test)
    }

    pub fn actor(&self) -> Actor {
        let child = child::spawn(self.test, "actor", &[&self.name]);
        Actor { tid: child.peer.hear().parse().unwrap(), child }
    }

    /// An actor that has all there is of a kind, so that others wait.
    pub fn holder(&self, kind: &str) -> Actor {
        let holder = self.actor();
        let takes = match kind {
            "lock" => 1,
            "permit" => 2,
            _ => 0,
        };
        (0..takes).for_each(|_| holder.takes(kind));
        holder
    }
}

impl<B: Backend> Drop for Stage<B> {
    fn drop(&mut self) {
        // Not as the scratch does, which knows no locks: what the system holds for them goes too.
        let removed = Shm::<Table<B>>::remove(&self.name);
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

/// The parent's side of an actor. Its `tid` is the thread that acts.
pub struct Actor {
    pub child: Child,
    pub tid: u32,
}

impl Actor {
    pub fn tell(&self, command: &str) {
        self.child.peer.say(command);
    }

    pub fn hear(&self) -> String {
        self.child.peer.hear()
    }

    #[track_caller]
    pub fn does(&self, command: &str) {
        self.tell(command);
        self.says("done");
    }

    #[track_caller]
    pub fn says(&self, line: &str) {
        assert_eq!(self.hear(), line);
    }

    #[track_caller]
    pub fn takes(&self, kind: &str) {
        self.does(&format!("take {kind}"));
    }

    /// Lets it wait, and waits until it sleeps.
    pub fn sleeps_in(&self, command: &str) {
        self.tell(command);
        schedule::wait_until_asleep(self.tid);
    }

    /// Begins to trace it, and lets it run what it is told to its mark.
    pub fn step_through(&self, command: &str) -> Stepper {
        let stepper = Stepper::seize(self.tid);
        self.tell(command);
        assert_eq!(stepper.stopped(), Stop::Mark);
        stepper
    }

    /// The same until it sleeps: woken, it will stop before it has done anything.
    pub fn step_to_sleep(&self, command: &str) -> Stepper {
        let stepper = self.step_through(command);
        stepper.run_until_asleep();
        stepper
    }

    /// SIGKILL, which must find it alive, and waits for the end of its process.
    pub fn kill(self) {
        self.child.kill();
    }
}
