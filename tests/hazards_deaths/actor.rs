//! Processes that do as they are told, and the locks they are told about.

use std::ffi::CString;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, alarm, execv, gettid, getpid, pause};
use pshared::{Cause, LockResult, Mutex, MutexGuard, Shm, ShmSafe};

use crate::support::child::{self, Child, Peer};
use crate::support::place::Scratch;
use crate::support::schedule::{self, Pinned};
use crate::support::stepper::{Stepper, mark};

/// What the processes share.
#[repr(C)]
#[derive(ShmSafe)]
pub struct Table {
    pub locks: [Mutex<u32>; 4],
    /// Set by whoever repairs, when it is done.
    pub repaired: AtomicU32,
}

/// As long as any wait of these tests may last; longer is a hang.
const LONG: Duration = Duration::from_secs(55);

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
        let table = || Ok(Table { locks: [const { Mutex::new(0) }; 4], repaired: AtomicU32::new(0) });
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

    /// Whether the actor sleeps although nobody, or nobody but `dead`, owns the lock.
    pub fn is_stranded(&self, actor: &Actor, lock: usize, dead: &[u32]) -> bool {
        let free = || matches!(self.owner(lock), 0) || dead.contains(&self.owner(lock));
        free() && schedule::is_asleep(actor.tid) && free()
    }
}

/// How a lock was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Clean,
    Poisoned,
}

impl Found {
    pub fn poisoned_if(poisoned: bool) -> Found {
        if poisoned { Found::Poisoned } else { Found::Clean }
    }
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
        assert_eq!(stepper.stopped(), crate::support::stepper::Stop::Mark);
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

// In the other process

pub const TEST: &str = "actor::the_process_that_acts";

/// Not a test by itself: the processes that the others start.
#[test]
fn the_process_that_acts() {
    let Some((role, args, peer)) = child::role() else { return };
    match role.as_str() {
        "actor" => act(&args[0], &peer),
        "reaped" | "zombie" => fork_actor(&role, &args[0], &peer),
        "many" => crate::owners::take_many(&args, &peer),
        "creator" => crate::creators::create(&args, &peer),
        "racer" => crate::creators::race(&args, &peer),
        schedule::SPINNER => schedule::spin(&args, &peer),
        other => panic!("no role is called {other}"),
    }
}

fn fork_actor(role: &str, name: &str, peer: &Peer) {
    // SAFETY: the test runner's only other thread waits for this one and holds no lock.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Child => {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
            act(name, peer);
            std::process::exit(0);
        }
        nix::unistd::ForkResult::Parent { child } => {
            // Until that or the watchdog ends this process.
            if role == "reaped" {
                nix::sys::wait::waitpid(child, None).unwrap();
            }
            loop {
                pause();
            }
        }
    }
}

fn act(name: &str, peer: &Peer) {
    let table = Shm::<Table>::open(name).unwrap();
    let mut hands = Hands { table: &table, guards: [const { None }; 4], pinned: None };
    peer.say(&gettid().to_string());
    loop {
        let line = peer.hear();
        alarm::set(60); // the watchdog, wound up again
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] == "bye" {
            return;
        }
        let answer = hands.do_as_told(&words, peer);
        peer.say(&answer);
    }
}

type Guard<'a> = MutexGuard<'a, u32>;

struct Hands<'a> {
    table: &'a Table,
    guards: [Option<Guard<'a>>; 4],
    pinned: Option<Pinned>,
}

impl<'a> Hands<'a> {
    fn do_as_told(&mut self, words: &[&str], peer: &Peer) -> String {
        let number = words.get(1).and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
        let (first, second) = (&self.table.locks[number.min(3)], &self.table.locks[1]);
        match words[0] {
            "lock" => return self.got(number, first.lock()),
            "try" => return self.got(number, first.try_lock()),
            "timed" => return self.got(number, first.try_lock_for(LONG)),
            "unlock" => self.guards[number] = None,
            "recover" => drop(first.lock_or_recover(|_, _| {}).unwrap()),
            // Stepped through, so with nothing in between that the test isn't about.
            "step-lock" => {
                mark();
                let guard = first.lock();
                mark();
                return self.got(number, guard);
            }
            "step-timed" => {
                mark();
                let guard = first.try_lock_for(LONG);
                mark();
                return self.got(number, guard);
            }
            "step-briefly" => {
                mark(); // the only one: the stepper lets go
                return self.got(number, first.try_lock_for(BRIEF));
            }
            "step-unlock" => {
                let guard = self.guards[number].take();
                mark();
                drop(guard);
                mark();
            }
            "step-both" => {
                mark();
                drop(first.lock());
                mark();
            }
            "step-two" => {
                mark();
                let guards = (first.lock(), second.lock());
                drop(guards.0);
                drop(guards.1);
                mark();
            }
            "step-recover" => {
                mark();
                let guard = first.lock_or_recover(|data, _| {
                    *data = 0;
                    self.table.repaired.store(1, Ordering::SeqCst);
                });
                drop(guard);
                mark();
            }
            "recover-slowly" => {
                let guard = first.lock_or_recover(|_, _| {
                    peer.say("repairing");
                    peer.expect("go on");
                });
                drop(guard.unwrap());
            }
            "fork" => return fork_idle(),
            "exec" => return exec(),
            "lock-and-exec-from-thread" => return self.exec_from_thread(number, peer),
            "forget-list" => forget_robust_list(),
            "pin" => self.pinned = Some(Pinned::to(0, &[number])),
            "spin" => {
                peer.say("done");
                loop {
                    std::hint::spin_loop();
                }
            }
            "become" => return self.fork_as(words[1].parse().unwrap(), peer),
            other => panic!("no command is called {other}"),
        }
        "done".into()
    }

    fn got(&mut self, lock: usize, result: LockResult<Guard<'a>>) -> String {
        let (guard, answer) = match result {
            Ok(guard) => (guard, "clean".into()),
            Err(error) => match error.recover() {
                Ok((guard, cause)) => (guard, format!("poisoned {cause:?}")),
                Err(error) => return format!("{error:?}"),
            },
        };
        self.guards[lock] = Some(guard);
        answer
    }

    fn exec_from_thread(&self, lock: usize, peer: &Peer) -> String {
        let lock = &self.table.locks[lock];
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let _guard = lock.lock().unwrap();
                assert_ne!(gettid(), getpid());
                peer.say(&gettid().to_string());
                peer.expect("exec");
                exec()
            });
            thread.join().unwrap()
        })
    }

    /// Forks a process with that id, which acts; this one waits for its end.
    fn fork_as(&mut self, tid: u32, peer: &Peer) -> String {
        match clone_with_tid(tid) {
            Err(errno) => errno.to_string(),
            Ok(0) => {
                nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
                self.guards = [const { None }; 4];
                alarm::set(60);
                peer.say(&format!("{} here", gettid()));
                loop {
                    let line = peer.hear();
                    let answer = self.do_as_told(&line.split(' ').collect::<Vec<_>>(), peer);
                    peer.say(&answer);
                }
            }
            Ok(child) => {
                nix::sys::wait::waitpid(Pid::from_raw(child as i32), None).unwrap();
                "ended".into()
            }
        }
    }
}

/// A process that only lives; its id.
fn fork_idle() -> String {
    // SAFETY: the test runner's only other thread waits for this one and holds no lock.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Child => loop {
            alarm::set(60);
            pause();
        },
        nix::unistd::ForkResult::Parent { child } => child.to_string(),
    }
}

/// Another program in this process.
fn exec() -> String {
    let words = [c"sleep", c"60"].map(CString::from);
    format!("exec: {:?}", execv(c"/bin/sleep", &words))
}

/// `set_robust_list(NULL)`: from now on the kernel marks nothing at this thread's end.
fn forget_robust_list() {
    // SAFETY: a null list is none, and the length is the one that the kernel asks for.
    let done = unsafe { libc::syscall(libc::SYS_set_robust_list, std::ptr::null::<u8>(), 3 * size_of::<usize>()) };
    Errno::result(done).unwrap();
}

/// `clone3(CLONE_SETTID…)`: fork, where the child gets an id that is free.
fn clone_with_tid(tid: u32) -> Result<u32, Errno> {
    let tid = tid as i32;
    // SAFETY: all its fields are integers, of which 0 asks for nothing.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.exit_signal = libc::SIGCHLD as u64;
    args.set_tid = (&raw const tid).addr() as u64;
    args.set_tid_size = 1;
    // SAFETY: as fork in a process whose only other thread waits for this one: the child has its own memory.
    let child = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    Errno::result(child).map(|child| child as u32)
}
