//! Processes that do as they are told, and the permits they are told about.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::{alarm, gettid};
use pshared::{Permit, Permits, Result, Shm};

use crate::support::child::{self, Child, Peer};
use crate::support::place::Scratch;
use crate::support::schedule::{self, Pinned};
use crate::support::stepper::{Stepper, Stop, mark};

/// The test that every child runs.
pub const TEST: &str = "actor::the_process_that_acts";

/// As long as any wait of these tests may last; longer is a hang.
const LONG: Duration = Duration::from_secs(55);

/// Long enough to fall asleep in, and short enough to let pass.
pub const BRIEF: Duration = Duration::from_millis(400);

/// The parent's side. It never waits for a permit: what must be free is free at once.
pub struct Stage<const N: usize> {
    name: String,
    pub permits: Shm<Permits<N>>,
    _scratch: Scratch,
}

impl<const N: usize> Stage<N> {
    pub fn new() -> Self {
        let scratch = Scratch::new();
        let [_, name] = scratch.posix().words();
        Stage { permits: Shm::create(&name, || Ok(Permits::new())).unwrap(), name, _scratch: scratch }
    }

    pub fn actor(&self) -> Actor {
        let child = child::spawn(TEST, "actor", &[&self.name, &N.to_string()]);
        Actor { tid: child.peer.hear().parse().unwrap(), child }
    }

    /// The ids of the threads that have a permit, read where libc's own robust mutexes have theirs.
    pub fn owners(&self) -> Vec<u32> {
        let at = 8 + if cfg!(target_env = "musl") { 4 } else { 0 };
        let start = (&raw const *self.permits).cast::<u8>();
        let word = |slot: usize| {
            // SAFETY: inside the permits: 8 bytes, and 40 for each slot, which begins with its words; aligned like them.
            unsafe { &*start.add(at + slot * 40).cast::<AtomicU32>() }.load(Ordering::SeqCst)
        };
        (0..N).map(|slot| word(slot) & libc::FUTEX_TID_MASK).filter(|owner| *owner != 0).collect()
    }

    /// The actor sleeps although a permit is free.
    pub fn is_stranded(&self, actor: &Actor) -> bool {
        self.permits.available() > 0 && schedule::is_asleep(actor.tid) && self.permits.available() > 0
    }

    /// As many permits are free as there must be; each of them can be had and given back.
    #[track_caller]
    pub fn adds_up(&self, free: usize) {
        assert_eq!(self.permits.available(), free);
        for _ in 0..2 {
            let all: Vec<_> = (0..free).map(|_| self.permits.try_acquire().unwrap()).collect();
            assert!(self.permits.try_acquire().is_err(), "one too many");
            drop(all);
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

    #[track_caller]
    pub fn does(&self, command: &str) {
        self.tell(command);
        self.is_done();
    }

    #[track_caller]
    pub fn is_done(&self) {
        assert_eq!(self.child.peer.hear(), "done");
    }

    /// Lets it wait for a permit, and waits until it sleeps.
    pub fn sleep_in(&self, command: &str) {
        self.tell(command);
        schedule::wait_until_asleep(self.tid);
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
}

/// Not a test by itself: the processes that the others start.
#[test]
fn the_process_that_acts() {
    let Some((role, args, peer)) = child::role() else { return };
    match (role.as_str(), args.get(1).map(String::as_str)) {
        ("actor", Some("1")) => act::<1>(&args[0], &peer),
        ("actor", Some("2")) => act::<2>(&args[0], &peer),
        (schedule::SPINNER, _) => schedule::spin(&args, &peer),
        other => panic!("no role is called {other:?}"),
    }
}

fn act<const N: usize>(name: &str, peer: &Peer) {
    let permits = Shm::<Permits<N>>::open(name).unwrap();
    let mut hands = Hands { permits: &permits, held: Vec::new(), pinned: None };
    peer.say(&gettid().to_string());
    loop {
        let line = peer.hear();
        alarm::set(60); // the watchdog, wound up again
        if line == "spin" {
            peer.say("done");
            loop {
                std::hint::spin_loop();
            }
        }
        let done = hands.does(&line);
        peer.say(&done.map_or_else(|e| format!("{e:?}"), |()| "done".into()));
    }
}

struct Hands<'a, const N: usize> {
    permits: &'a Permits<N>,
    held: Vec<Permit<'a, N>>,
    pinned: Option<Pinned>,
}

impl<'a, const N: usize> Hands<'a, N> {
    fn does(&mut self, command: &str) -> Result<()> {
        let (command, number) = command.split_once(' ').unwrap_or((command, "0"));
        let acquire: fn(&'a Permits<N>) -> Result<Permit<'a, N>> = match command.rsplit('-').next() {
            Some("try") => |permits| permits.try_acquire(),
            Some("timed") => |permits| permits.acquire_timeout(LONG),
            Some("briefly") => |permits| permits.acquire_timeout(BRIEF),
            _ => |permits| permits.acquire(),
        };
        match command {
            "acquire" | "try" | "timed" | "briefly" => self.held.push(acquire(self.permits)?),
            "release" => drop(self.held.pop()),
            // Stepped through, so with nothing in between that the test isn't about.
            "step-acquire" | "step-try" | "step-timed" => {
                mark();
                let permit = acquire(self.permits);
                drop(permit);
                mark();
            }
            "step-briefly" => {
                mark(); // the only one: the stepper lets go
                self.held.push(acquire(self.permits)?);
            }
            "step-release" => {
                let permit = self.held.pop();
                mark();
                drop(permit);
                mark();
            }
            "step-two" => {
                mark();
                let both = (self.permits.acquire(), self.permits.acquire());
                drop(both.0);
                drop(both.1);
                mark();
            }
            "pin" => self.pinned = Some(Pinned::to(0, &[number.parse().unwrap()])),
            "forget-list" => forget_robust_list(),
            other => panic!("no command is called {other}"),
        }
        Ok(())
    }
}

/// `set_robust_list(NULL)`: from now on the kernel marks nothing at this thread's end.
fn forget_robust_list() {
    // SAFETY: a null list is none, and the length is the one that the kernel asks for.
    let done = unsafe { libc::syscall(libc::SYS_set_robust_list, std::ptr::null::<u8>(), 3 * size_of::<usize>()) };
    Errno::result(done).unwrap();
}

/// SIGKILL to the process of this id.
pub fn kill_process(id: u32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id as i32), Signal::SIGKILL).unwrap();
}
