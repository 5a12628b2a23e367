//! Processes that do as they are told, and the barrier they are told about.

use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::{alarm, gettid};
use pshared::{Barrier, Error, Shm};

use crate::support::child::{self, Child, Peer};
use crate::support::place::Scratch;
use crate::support::schedule;
use crate::support::stepper::{Stepper, Stop, mark};

/// The test that every child runs.
const TEST: &str = "actor::the_process_that_acts";

/// As long as any wait of these tests may last; longer is a hang.
const LONG: Duration = Duration::from_secs(55);

/// Long enough to fall asleep in, and short enough to let pass.
pub const BRIEF: Duration = Duration::from_millis(400);

/// How many the barriers have room for.
pub const PLACES: u32 = 4;

/// The parent's side. It never waits at the barrier.
pub struct Stage {
    name: String,
    pub barrier: Shm<Barrier<4>>,
    _scratch: Scratch,
}

impl Stage {
    pub fn new(participants: usize) -> Stage {
        let scratch = Scratch::new();
        let [_, name] = scratch.posix().words();
        Stage { barrier: Shm::create(&name, || Barrier::new(participants)).unwrap(), name, _scratch: scratch }
    }

    pub fn actor(&self) -> Actor {
        let child = child::spawn(TEST, "actor", &[&self.name]);
        Actor { tid: child.peer.hear().parse().unwrap(), child }
    }

    /// One that looks for a free place from this one on.
    pub fn actor_at(&self, place: u32) -> Actor {
        loop {
            let actor = self.actor();
            if actor.tid % PLACES == place % PLACES {
                return actor;
            }
        }
    }

    /// Whether who waits may wait on: others are still to come, and nobody has died waiting.
    pub fn waits_rightly(&self) -> bool {
        self.barrier.waiting() > 0 && !self.barrier.is_broken()
    }

    /// How the waits ended of all these, in a round that is over. Who has said so has woken the others before, if that was
    /// its task: never do all that are left sleep, until they look up by themselves.
    #[track_caller]
    pub fn ends(&self, actors: &[&Actor]) -> Vec<End> {
        let mut left = actors.to_vec();
        let mut ends = Vec::new();
        while !left.is_empty() {
            let awake = left.iter().position(|actor| !schedule::is_asleep(actor.tid));
            let awake = awake.unwrap_or_else(|| panic!("{} left asleep in a round that is over", left.len()));
            ends.push(left.remove(awake).end());
        }
        ends
    }

    /// Makes the barrier whole; then these, as many as take part, must get through it, twice.
    #[track_caller]
    pub fn goes_on_with(&self, actors: &[&Actor]) {
        self.barrier.reset().unwrap();
        self.is_whole_for(actors);
    }

    /// These, as many as take part, get through it, twice.
    #[track_caller]
    pub fn is_whole_for(&self, actors: &[&Actor]) {
        assert_eq!(actors.len(), self.barrier.participants());
        for _ in 0..2 {
            actors.iter().for_each(|actor| actor.tell("wait"));
            let leaders = actors.iter().filter(|actor| actor.end() == End::Leads).count();
            assert_eq!(leaders, 1);
        }
        assert_eq!((self.barrier.waiting(), self.barrier.is_broken()), (0, false));
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Leads,
    Through,
    Broken,
    TimedOut,
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

    /// How the wait that it was told to do ended.
    pub fn end(&self) -> End {
        match self.child.peer.hear().as_str() {
            "leads" => End::Leads,
            "through" => End::Through,
            "BarrierBroken" => End::Broken,
            "TimedOut" => End::TimedOut,
            other => panic!("{other}"),
        }
    }

    /// Where it has the barrier.
    pub fn address(&self) -> usize {
        self.tell("address");
        self.child.peer.hear().parse().unwrap()
    }

    pub fn does(&self, command: &str) {
        self.tell(command);
        self.child.peer.expect("done");
    }

    /// Lets it wait, and waits until it sleeps.
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
    let Some((_, args, peer)) = child::role() else { return };
    let barrier = Shm::<Barrier<4>>::open(&args[0]).unwrap();
    peer.say(&gettid().to_string());
    loop {
        let line = peer.hear();
        alarm::set(60); // the watchdog, wound up again
        act(&barrier, &line, &peer);
    }
}

fn act(barrier: &Barrier<4>, command: &str, peer: &Peer) {
    let wait = || match command.rsplit('-').next() {
        Some("timed") => barrier.wait_timeout(LONG),
        Some("briefly") => barrier.wait_timeout(BRIEF),
        _ => barrier.wait(),
    };
    let met = match command {
        "wait" | "wait-timed" | "wait-briefly" => wait(),
        // Stepped through, so with nothing in between that the test isn't about.
        "step-wait" | "step-timed" => {
            mark();
            let met = wait();
            mark();
            met
        }
        "step-briefly" => {
            mark(); // the only one: the stepper lets go
            wait()
        }
        "step-reset" => {
            mark();
            let done = barrier.reset();
            mark();
            done.unwrap();
            return peer.say("done");
        }
        "address" => return peer.say(&std::ptr::from_ref(barrier).addr().to_string()),
        "prepare" => {
            // What a thread does once is done elsewhere.
            Barrier::<1>::full().wait().unwrap();
            return peer.say("done");
        }
        "forget-list" => {
            // SAFETY: a null list is none, and the length is the one that the kernel asks for.
            let done =
                unsafe { libc::syscall(libc::SYS_set_robust_list, std::ptr::null::<u8>(), 3 * size_of::<usize>()) };
            Errno::result(done).unwrap();
            return peer.say("done");
        }
        other => panic!("no command is called {other}"),
    };
    match met {
        Ok(met) => peer.say(if met.is_leader() { "leads" } else { "through" }),
        Err(error @ (Error::BarrierBroken | Error::TimedOut)) => peer.say(&format!("{error:?}")),
        Err(other) => panic!("{other}"),
    }
}
