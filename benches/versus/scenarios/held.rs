//! What grows with the number of locks that a thread holds already.

use crate::figure::Column;
use crate::place::Made;
use crate::run::{Contest, Run, Scenario, Stopwatch};
use crate::subjects::{self, Lock, VisitLocks};

pub const MUTEX: Scenario = Scenario {
    name: "mutex-held",
    about: "lock and unlock, nobody else is there, while this thread holds so many other locks of the kind",
    roles: Vec::new,
    measure,
};

const HELD: [usize; 4] = [0, 1, 8, 64];

const COLUMNS: [Column; 4] = [
    Column::lower("0 held", "ns"),
    Column::lower("1 held", "ns"),
    Column::lower("8 held", "ns"),
    Column::lower("64 held", "ns"),
];

fn measure(run: &mut Run) {
    let mut contest = run.contest(MUTEX.name, MUTEX.about, &COLUMNS);
    subjects::locks(&mut Entries(&mut contest));
    contest.hold();
}

struct Entries<'a, 'r>(&'a mut Contest<'r>);

impl VisitLocks for Entries<'_, '_> {
    fn visit<S: Lock>(&mut self) {
        let (effort, mut locks) = (self.0.effort(), Vec::new());
        let mut watches: [Stopwatch; HELD.len()] = Default::default();
        self.0.enter(S::NAME, move || {
            locks.resize_with(1 + HELD[HELD.len() - 1], Made::<S>::new);
            let (lock, others) = locks.split_first().unwrap();
            let mut values = Vec::new();
            for (held, watch) in HELD.iter().zip(&mut watches) {
                let measure = &mut || values.push(watch.sample(effort, || lock.section(|_| {})));
                holding(&others[..*held], measure);
            }
            Ok(values)
        });
    }
}

/// Runs `f` with all of `locks` held.
fn holding<S: Lock>(locks: &[Made<S>], f: &mut dyn FnMut()) {
    match locks.split_first() {
        Some((first, rest)) => first.section(|_| holding(rest, f)),
        None => f(),
    }
}
