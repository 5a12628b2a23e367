//! Processes that do as they are told, and what they share: the side of the test.

use pshared::{Event, Semaphore, Shm, ShmSafe};

use crate::support::child::{self, Child};
use crate::support::place::Scratch;
use crate::support::schedule;
use crate::support::stepper::{Stepper, Stop};

/// What the processes share.
#[repr(C)]
#[derive(ShmSafe)]
pub struct Table {
    pub permits: Semaphore,
    pub binary: Semaphore,
    pub limited: Semaphore,
    pub others: Semaphore,
    pub auto: Event,
    pub manual: Event,
}

/// The test that every child runs.
pub const TEST: &str = "hands::the_process_that_acts";

/// The parent's side. It never waits for a permit: what must be there is there at once.
pub struct Stage {
    name: String,
    pub table: Shm<Table>,
    _scratch: Scratch,
}

impl Stage {
    pub fn new() -> Stage {
        let scratch = Scratch::new();
        let [_, name] = scratch.posix().words();
        let table = || {
            Ok(Table {
                permits: Semaphore::counting(0)?,
                binary: Semaphore::binary(false),
                limited: Semaphore::counting_with_max(0, 3)?,
                others: Semaphore::counting(0)?,
                auto: Event::auto(false),
                manual: Event::manual(false),
            })
        };
        Stage { table: Shm::create(&name, table).unwrap(), name, _scratch: scratch }
    }

    pub fn actor(&self) -> Actor {
        let child = child::spawn(TEST, "actor", &[&self.name]);
        Actor { tid: child.peer.hear().parse().unwrap(), child }
    }

    pub fn permits(&self) -> u32 {
        self.table.permits.value()
    }

    /// Whether all of them sleep although there is a permit.
    pub fn are_stranded(&self, actors: &[&Actor]) -> bool {
        let there = || self.permits() > 0;
        there() && actors.iter().all(|actor| schedule::is_asleep(actor.tid)) && there()
    }

    /// One of them takes the permit that is there. Nobody may sleep beside it.
    pub fn one_takes<'a>(&self, actors: &mut Vec<&'a Actor>) -> &'a Actor {
        assert!(!self.are_stranded(actors), "asleep beside a permit");
        schedule::wait_until("somebody takes the permit", || self.permits() == 0);
        let taker = || actors.iter().position(|actor| !schedule::is_asleep(actor.tid));
        // Others may have been woken as well, and are on their way back to sleep.
        let mut settled = None;
        schedule::wait_until("one has it, the others sleep", || {
            let awake = actors.iter().filter(|actor| !schedule::is_asleep(actor.tid)).count();
            settled = taker();
            awake == 1
        });
        let taker = actors.remove(settled.unwrap());
        taker.child.peer.expect("done");
        taker
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

    /// Lets it wait, and waits until it sleeps.
    pub fn sleep_on(&self, command: &str) {
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
