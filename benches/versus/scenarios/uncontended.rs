//! A lock that nobody else wants.

use crate::figure::Column;
use crate::place::Made;
use crate::run::{Contest, Run, Scenario, Stopwatch};
use crate::subjects::{self, Lock, VisitLocks};

pub const MUTEX: Scenario = Scenario {
    name: "mutex-uncontended",
    about: "lock and unlock, nobody else is there",
    roles: Vec::new,
    measure: mutex,
};

fn mutex(run: &mut Run) {
    let mut contest = run.contest(MUTEX.name, MUTEX.about, &[Column::lower("", "ns")]);
    subjects::locks(&mut contest_of_mutexes(&mut contest));
    contest.hold();
}

struct Mutexes<'a, 'r>(&'a mut Contest<'r>);

fn contest_of_mutexes<'a, 'r>(contest: &'a mut Contest<'r>) -> Mutexes<'a, 'r> {
    Mutexes(contest)
}

impl VisitLocks for Mutexes<'_, '_> {
    fn visit<S: Lock>(&mut self) {
        let (effort, mut stopwatch) = (self.0.effort(), Stopwatch::default());
        let subject = Made::<S>::new();
        self.0.enter(S::NAME, move || Ok(vec![stopwatch.sample(effort, || subject.section(|_| {}))]));
    }
}
