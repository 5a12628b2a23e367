//! What waiting costs.

use std::thread::sleep;
use std::time::Duration;

use crate::figure::Column;
use crate::run::{Contest, Effort, Run, Scenario};
use crate::subjects::hand_over::{HandOver, Side, VisitHandOvers, condvars, semaphores};
use crate::subjects::read_write::{ReadWrite, VisitReadWrites, read_writes};
use crate::subjects::{self, Lock, Subject, VisitLocks};
use crate::team::{Answer, Role, Seat, Team, WATCHDOG, cpu_time};

pub const MUTEX: Scenario = Scenario {
    name: "mutex-blocked",
    about: "processor time of one that is blocked for a second",
    roles,
    measure: |run| measure(run, &MUTEX, |entries| subjects::locks(entries)),
};

pub const RWLOCK: Scenario = Scenario {
    name: "rwlock-blocked",
    about: "processor time of a reader that is blocked by a writer for a second",
    roles: Vec::new, // those of MUTEX
    measure: |run| measure(run, &RWLOCK, |entries| read_writes(entries)),
};

pub const SEMAPHORE: Scenario = Scenario {
    name: "semaphore-blocked",
    about: "processor time of one that waits for a permit for a second",
    roles: Vec::new,
    measure: |run| measure(run, &SEMAPHORE, |entries| semaphores(entries)),
};

pub const CONDVAR: Scenario = Scenario {
    name: "condvar-blocked",
    about: "processor time of one that waits to be notified for a second",
    roles: Vec::new,
    measure: |run| measure(run, &CONDVAR, |entries| condvars(entries)),
};

fn measure(run: &mut Run, scenario: &Scenario, visit: fn(&mut Entries<'_, '_>)) {
    let mut contest = run.contest(scenario.name, scenario.about, &[Column::lower("", "µs")]);
    visit(&mut Entries(&mut contest));
    let rounds = if contest.effort() == Effort::Full { 3 } else { 1 };
    contest.hold_rounds(rounds);
}

const BLOCK: &str = "block";
const BLOCK_READER: &str = "block as a reader";
const BLOCK_TURN: &str = "block until it is its turn";

fn roles() -> Vec<Role> {
    let mut roles = Roles(Vec::new());
    subjects::locks(&mut roles);
    read_writes(&mut roles);
    semaphores(&mut roles);
    condvars(&mut roles);
    roles.0
}

struct Roles(Vec<Role>);

impl Roles {
    /// What is answered is the processor time that `block` takes.
    fn add<S: Subject>(&mut self, name: &str, block: fn(&S)) {
        self.0.push(Role::new::<S>(name, move |subject: &S, _: &Seat<'_>| -> Answer {
            let before = cpu_time();
            block(subject);
            [cpu_time() - before, 0, 0, 0]
        }));
    }
}

impl VisitLocks for Roles {
    fn visit<S: Lock>(&mut self) {
        self.add::<S>(BLOCK, |lock| lock.section(|_| {}));
    }
}

impl VisitReadWrites for Roles {
    fn visit<S: ReadWrite>(&mut self) {
        self.add::<S>(BLOCK_READER, |lock| lock.reading(|_| {}));
    }
}

impl VisitHandOvers for Roles {
    fn visit<S: HandOver>(&mut self) {
        self.add::<S>(BLOCK_TURN, |subject| subject.wait(Side::Pong));
    }
}

struct Entries<'a, 'r>(&'a mut Contest<'r>);

impl Entries<'_, '_> {
    /// `keep` calls what it is given where the subject blocks others, and then lets them go on.
    fn enter<S: Subject>(&mut self, role: &'static str, keep: fn(&S, &mut dyn FnMut())) {
        let time = Duration::from_millis(if self.0.effort() == Effort::Test { 5 } else { 1000 });
        self.0.enter(S::NAME, move || {
            let Team { mut crew, subject } = Team::<S>::new(&[role], roles);
            keep(&subject, &mut || {
                crew.next_round(&[]);
                crew.start();
                crew.ask(0);
                sleep(time);
            });
            let [used, ..] = crew.answer(0, WATCHDOG).ok_or("isn't woken")?;
            Ok(vec![used as f64 / 1e3])
        });
    }
}

impl VisitLocks for Entries<'_, '_> {
    fn visit<S: Lock>(&mut self) {
        self.enter::<S>(BLOCK, |lock, pass| lock.section(|_| pass()));
    }
}

impl VisitReadWrites for Entries<'_, '_> {
    fn visit<S: ReadWrite>(&mut self) {
        self.enter::<S>(BLOCK_READER, |lock, pass| lock.writing(|_| pass()));
    }
}

impl VisitHandOvers for Entries<'_, '_> {
    fn visit<S: HandOver>(&mut self) {
        self.enter::<S>(BLOCK_TURN, |subject, pass| {
            pass();
            subject.give(Side::Pong);
        });
    }
}
