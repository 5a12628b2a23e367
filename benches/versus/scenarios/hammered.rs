//! Two processes that do nothing but lock and unlock the same lock.

use crate::figure::Column;
use crate::run::{Contest, Effort, Run, Sample, Scenario};
use crate::subjects::{self, Lock, VisitLocks};
use crate::team::{Answer, Crew, Role, Seat, Team, cpu_time};

pub const MUTEX: Scenario = Scenario {
    name: "mutex-hammered",
    about: "two processes do nothing but lock and unlock: what both got together, what the lesser got of it, and processor time",
    roles,
    measure,
};

const COLUMNS: [Column; 3] =
    [Column::higher("both", "M/s"), Column::higher("lesser", "%"), Column::lower("CPU", "ns per section")];

fn roles() -> Vec<Role> {
    let mut roles = Roles(Vec::new());
    subjects::locks(&mut roles);
    roles.0
}

fn measure(run: &mut Run) {
    let mut contest = run.contest(MUTEX.name, MUTEX.about, &COLUMNS);
    subjects::locks(&mut Entries(&mut contest));
    contest.hold();
}

struct Roles(Vec<Role>);

impl VisitLocks for Roles {
    fn visit<S: Lock>(&mut self) {
        self.0.push(Role::new::<S>("hammer", hammer));
    }
}

struct Entries<'a, 'r>(&'a mut Contest<'r>);

impl VisitLocks for Entries<'_, '_> {
    fn visit<S: Lock>(&mut self) {
        let (effort, mut team) = (self.0.effort(), None);
        self.0.enter(S::NAME, move || {
            let Team { subject, crew } = team.get_or_insert_with(|| Team::<S>::new(&["hammer"; 2], roles));
            sample::<S>(effort, subject, crew)
        });
    }
}

/// How many sections it got, and the processor time of it.
fn hammer<S: Lock>(lock: &S, seat: &Seat<'_>) -> Answer {
    let (before, mut sections) = (cpu_time(), 0);
    while !seat.is_over() {
        lock.section(|number| *number += 1);
        sections += 1;
    }
    [sections, cpu_time() - before, 0, 0]
}

fn sample<S: Lock>(effort: Effort, lock: &S, crew: &mut Crew) -> Sample {
    lock.section(|number| *number = 0);
    let (took, answers) = crew.play(2, &[], effort.sample() * 2)?;
    let sum = |at: usize| answers.iter().map(|answer| answer[at]).sum::<u64>() as f64;
    let (sections, least) = (sum(0), answers.iter().map(|answer| answer[0]).min().unwrap());
    if lock.section(|number| *number) as f64 != sections {
        return Err("let two in at once".into());
    }
    Ok(vec![sections / took.as_secs_f64() / 1e6, least as f64 / sections * 100.0, sum(1) / sections])
}
