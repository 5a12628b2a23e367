//! What stands before the first lock: making one, finding one, and room for it.

use std::time::{Duration, Instant};

use crate::figure::Column;
use crate::place::Name;
use crate::run::{Contest, Effort, Run, Scenario};
use crate::subjects::hand_over::{HandOver, VisitHandOvers, condvars, semaphores};
use crate::subjects::read_write::{ReadWrite, VisitReadWrites, read_writes};
use crate::subjects::{self, Lock, Reach, Subject, VisitLocks};

pub const CREATE: Scenario = Scenario {
    name: "mutex-create",
    about: "shared memory with a lock in it (peers: shm_open, ftruncate, mmap): to create it, and to open it in another place",
    roles: Vec::new,
    measure: create,
};

pub const BYTES: Scenario = Scenario {
    name: "mutex-bytes",
    about: "shared memory that a lock takes, without what it guards",
    roles: Vec::new,
    measure: |run| bytes(run, &BYTES, |sizes| subjects::locks(sizes)),
};

pub const RWLOCK_BYTES: Scenario = Scenario {
    name: "rwlock-bytes",
    about: "shared memory that a lock takes, without what it guards; ours has room for 64 readers",
    roles: Vec::new,
    measure: |run| bytes(run, &RWLOCK_BYTES, |sizes| read_writes(sizes)),
};

pub const SEMAPHORE_BYTES: Scenario = Scenario {
    name: "semaphore-bytes",
    about: "shared memory that a semaphore takes",
    roles: Vec::new,
    measure: |run| bytes(run, &SEMAPHORE_BYTES, |sizes| semaphores(sizes)),
};

pub const CONDVAR_BYTES: Scenario = Scenario {
    name: "condvar-bytes",
    about: "shared memory that a condition variable takes, without its mutex; what is called an event has that in it",
    roles: Vec::new,
    measure: |run| bytes(run, &CONDVAR_BYTES, |sizes| condvars(sizes)),
};

fn create(run: &mut Run) {
    let columns = [Column::lower("create", "µs"), Column::lower("open", "µs")];
    let mut contest = run.contest(CREATE.name, CREATE.about, &columns);
    subjects::locks(&mut Creations(&mut contest));
    contest.hold();
}

struct Creations<'a, 'r>(&'a mut Contest<'r>);

impl VisitLocks for Creations<'_, '_> {
    fn visit<S: Lock>(&mut self) {
        if S::REACH == Reach::Threads {
            return self.0.leave_out(S::NAME, "has no name that others open it by");
        }
        let times = if self.0.effort() == Effort::Test { 1 } else { 50 };
        self.0.enter(S::NAME, move || {
            let (mut creating, mut opening) = (Duration::ZERO, Duration::ZERO);
            for _ in 0..times {
                let name = Name::new();
                let started = Instant::now();
                let created = S::create(&name);
                creating += started.elapsed();
                let started = Instant::now();
                let opened = S::open(&name);
                opening += started.elapsed();
                S::remove(&name);
                drop((created, opened));
            }
            Ok([creating, opening].map(|time| time.as_secs_f64() * 1e6 / f64::from(times)).into())
        });
    }
}

fn bytes(run: &mut Run, scenario: &Scenario, visit: fn(&mut Sizes<'_, '_>)) {
    let mut contest = run.contest(scenario.name, scenario.about, &[Column::lower("", "bytes")]);
    visit(&mut Sizes(&mut contest));
    contest.hold_rounds(1);
}

struct Sizes<'a, 'r>(&'a mut Contest<'r>);

impl Sizes<'_, '_> {
    fn enter<S: Subject>(&mut self, bytes: Option<usize>) {
        match bytes {
            Some(bytes) => self.0.enter(S::NAME, move || Ok(vec![bytes as f64])),
            None => self.0.leave_out(S::NAME, "is in the kernel"),
        }
    }
}

impl VisitLocks for Sizes<'_, '_> {
    fn visit<S: Lock>(&mut self) {
        self.enter::<S>(S::BYTES);
    }
}

impl VisitReadWrites for Sizes<'_, '_> {
    fn visit<S: ReadWrite>(&mut self) {
        self.enter::<S>(S::bytes());
    }
}

impl VisitHandOvers for Sizes<'_, '_> {
    fn visit<S: HandOver>(&mut self) {
        self.enter::<S>(S::bytes());
    }
}
