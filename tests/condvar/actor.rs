//! Processes that do as they are told, and the condition variable they are told about: the side of the test.

use std::fs;
use std::sync::atomic::AtomicU32;

use pshared::{Condvar, Mutex, Shm};

use super::*;
use crate::support::child::{self, Child};
use crate::support::place::Scratch;
use crate::support::schedule;
use crate::support::stepper::{Stepper, Stop};

/// What the processes share.
#[repr(C)]
#[derive(ShmSafe)]
pub struct Table {
    pub value: Mutex<u64>,
    pub changed: Condvar,
    /// Set by whoever repairs, when it is done.
    pub repaired: AtomicU32,
}

/// Long enough to fall asleep in, and short enough to let pass.
pub const BRIEF: Duration = Duration::from_millis(400);

/// The parent's side of the condition variable. It waits for nobody: what must be free is free at once.
pub struct Stage {
    name: String,
    pub table: Shm<Table>,
    _scratch: Scratch,
}

impl Stage {
    pub fn new() -> Stage {
        let scratch = Scratch::new();
        let [_, name] = scratch.posix().words();
        let table = || Ok(Table { value: Mutex::new(0), changed: Condvar::new(), repaired: AtomicU32::new(0) });
        Stage { table: Shm::create(&name, table).unwrap(), name, _scratch: scratch }
    }

    pub fn actor(&self) -> Actor {
        let child = child::spawn("hands::the_process_that_acts", "actor", &[&self.name]);
        Actor { tid: child.peer.hear().parse().unwrap(), child }
    }

    /// A word of the condition variable.
    fn word(&self, at: usize) -> u32 {
        let changed = (&raw const self.table.changed).cast::<u8>();
        // SAFETY: inside it, and made of atomic words that are aligned to their size.
        unsafe { &*changed.add(at).cast::<AtomicU32>() }.load(Ordering::SeqCst)
    }

    /// Who has the baton, or 0.
    pub fn baton(&self) -> u32 {
        self.word(if cfg!(target_env = "musl") { 4 } else { 0 }) & libc::FUTEX_TID_MASK
    }

    /// Puts something there for one to take. The lock must be free; poison is no news here.
    pub fn put(&self) {
        let mut guard = match self.table.value.try_lock() {
            Ok(guard) => guard,
            Err(error) => error.recover().unwrap().0,
        };
        *guard += 1;
    }

    /// Whether the lock is poisoned; it must be free, and isn't poisoned any more.
    pub fn was_poisoned(&self) -> bool {
        let poisoned = match self.table.value.try_lock() {
            Ok(_) => false,
            Err(error) => error.recover().map(|(_, cause)| assert_eq!(cause, Cause::OwnerDied)).is_ok(),
        };
        self.table.value.clear_poison();
        poisoned
    }

    /// Everybody who is left, and one who has just come, can use it as ever, twice.
    pub fn must_serve(&self, others: &[&Actor]) {
        let fresh = self.actor();
        for _ in 0..2 {
            for actor in others.iter().copied().chain([&fresh]) {
                actor.sleep_on("take");
                self.put();
                self.table.changed.notify_one();
                assert!(!actor.waits(), "asleep after a notification");
                assert_eq!(actor.hear(), "clean");
            }
        }
        assert_eq!(*self.table.value.try_lock().unwrap(), 0);
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

    /// Lets it wait for a notification, and waits until it sleeps there.
    pub fn sleep_on(&self, command: &str) {
        self.tell(command);
        schedule::wait_until("it waits for a notification", || self.waits());
    }

    /// Whether it sleeps until it is notified, and not in the lock. (Who was woken names the call it slept in until it
    /// runs, but isn't asleep any more: the state is looked at first, or the call would be of the sleep before.)
    pub fn waits(&self) -> bool {
        if schedule::state(self.tid) != Some('S') {
            return false;
        }
        let call = fs::read_to_string(format!("/proc/{}/syscall", self.tid));
        let number = call.ok().and_then(|call| call.split(' ').next().and_then(|number| number.parse::<i64>().ok()));
        number == Some(libc::SYS_futex_waitv)
    }

    /// Begins to trace it, and lets it run what is told to its first mark.
    pub fn step_through(&self, command: &str) -> Stepper {
        let stepper = Stepper::seize(self.tid);
        self.tell(command);
        assert_eq!(stepper.stopped(), Stop::Mark);
        stepper
    }

    /// The same, as far as its sleep; woken, it will stop as it leaves that call.
    pub fn step_to_sleep(&self, command: &str) -> Stepper {
        let stepper = self.step_through(command);
        while !matches!(stepper.to_syscall(), Stop::Entry { number: libc::SYS_futex_waitv, .. }) {}
        stepper.run_to_syscall();
        schedule::wait_until("it waits for a notification", || self.waits());
        stepper
    }

    /// SIGKILL, which must find it alive, and waits for the end of its process.
    pub fn kill(self) {
        self.child.kill();
    }
}
