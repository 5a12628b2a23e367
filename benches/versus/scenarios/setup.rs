//! What stands before the first lock: making one, finding one, and room for it.

use std::time::{Duration, Instant};

use crate::figure::Column;
use crate::place::Name;
use crate::run::{Contest, Effort, Run, Scenario};
use crate::subjects::{self, Lock, Reach, VisitLocks};

pub const CREATE: Scenario = Scenario {
    name: "mutex-create",
    about: "shared memory with a lock in it: to create it, and to open it in another place",
    roles: Vec::new,
    measure: create,
};

pub const BYTES: Scenario = Scenario {
    name: "mutex-bytes",
    about: "shared memory that a lock takes, without what it guards",
    roles: Vec::new,
    measure: bytes,
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

fn bytes(run: &mut Run) {
    let mut contest = run.contest(BYTES.name, BYTES.about, &[Column::lower("", "bytes")]);
    subjects::locks(&mut Sizes(&mut contest));
    contest.hold_rounds(1);
}

struct Sizes<'a, 'r>(&'a mut Contest<'r>);

impl VisitLocks for Sizes<'_, '_> {
    fn visit<S: Lock>(&mut self) {
        match S::BYTES {
            Some(bytes) => self.0.enter(S::NAME, move || Ok(vec![bytes as f64])),
            None => self.0.leave_out(S::NAME, "is in the kernel"),
        }
    }
}
