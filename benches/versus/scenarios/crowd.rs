//! More and more processes at one lock, with more or less to do inside and outside.

use std::hint::black_box;

use crate::figure::Column;
use crate::run::{Contest, Effort, Run, Sample, Scenario};
use crate::subjects::{self, Lock, VisitLocks};
use crate::team::{Answer, Crew, Role, SEATS, Seat, Team};

pub const MUTEX: Scenario = Scenario {
    name: "mutex-crowd",
    about: "1 to 16 processes, with work inside and outside of the lock: sections per second, and what the least and the most got",
    roles,
    measure,
};

/// Steps of work inside and outside, of somewhat more than a nanosecond each.
const WORK: [(u64, u64); 4] = [(10, 10), (10, 1000), (1000, 10), (1000, 1000)];

const THROUGHPUT: [Column; 5] = [
    Column::higher("1 process", "M/s"),
    Column::higher("2", "M/s"),
    Column::higher("4", "M/s"),
    Column::higher("8", "M/s"),
    Column::higher("16", "M/s"),
];

/// As many as the columns say.
const PROCESSES: [usize; 5] = [1, 2, 4, 8, SEATS];

const SHARES: [Column; 8] = [
    Column::higher("least of 2", "%"),
    Column::lower("most", "%"),
    Column::higher("least of 4", "%"),
    Column::lower("most", "%"),
    Column::higher("least of 8", "%"),
    Column::lower("most", "%"),
    Column::higher("least of 16", "%"),
    Column::lower("most", "%"),
];

fn roles() -> Vec<Role> {
    let mut roles = Roles(Vec::new());
    subjects::locks(&mut roles);
    roles.0
}

fn measure(run: &mut Run) {
    let titles = WORK.map(|(inside, outside)| format!("{}, {inside} inside, {outside} outside", MUTEX.name));
    let about = "sections per second of all together";
    let mut contest = run.contest(&titles[0], about, &THROUGHPUT);
    for (at, title) in titles.iter().enumerate() {
        if at > 0 {
            contest.further(title, about, &THROUGHPUT);
        }
        let about = "what the least and the most of them got; 100 % is an equal share";
        contest.further(&format!("{title}, shares"), about, &SHARES);
    }
    subjects::locks(&mut Entries(&mut contest));
    let rounds = contest.effort().few_rounds();
    contest.hold_rounds(rounds);
}

struct Roles(Vec<Role>);

impl VisitLocks for Roles {
    fn visit<S: Lock>(&mut self) {
        self.0.push(Role::new::<S>("crowd", take_part));
    }
}

struct Entries<'a, 'r>(&'a mut Contest<'r>);

impl VisitLocks for Entries<'_, '_> {
    fn visit<S: Lock>(&mut self) {
        let (effort, mut team) = (self.0.effort(), None);
        self.0.enter(S::NAME, move || {
            let Team { subject, crew } = team.get_or_insert_with(|| Team::<S>::new(&["crowd"; SEATS], roles));
            let mut values = Vec::new();
            for work in WORK {
                values.append(&mut sample::<S>(effort, work, subject, crew)?);
            }
            Ok(values)
        });
    }
}

/// How many sections it got.
fn take_part<S: Lock>(lock: &S, seat: &Seat<'_>) -> Answer {
    let (inside, outside) = (seat.parameter(0), seat.parameter(1));
    let mut sections = 0;
    while !seat.is_over() {
        lock.section(|number| {
            *number += 1;
            work(inside);
        });
        work(outside);
        sections += 1;
    }
    [sections, 0, 0, 0]
}

/// So many steps, each of which needs the one before.
#[inline(always)]
fn work(steps: u64) {
    let mut state = 1_u64;
    for _ in 0..steps {
        state = black_box(state.wrapping_mul(0x5851_f42d_4c95_7f2d) + 1);
    }
}

/// The numbers of a table of throughput and of the one of shares.
fn sample<S: Lock>(effort: Effort, (inside, outside): (u64, u64), lock: &S, crew: &mut Crew) -> Sample {
    let (mut throughput, mut shares) = (Vec::new(), Vec::new());
    for processes in PROCESSES {
        lock.section(|number| *number = 0);
        // The more there are, the longer until the scheduler has been through them.
        let time = effort.sample() * processes.div_ceil(4) as u32;
        let (took, answers) = crew.play(processes, &[inside, outside], time)?;
        let sections: u64 = answers.iter().map(|answer| answer[0]).sum();
        if lock.section(|number| *number) != sections {
            return Err("let two in at once".into());
        }
        throughput.push(sections as f64 / took.as_secs_f64() / 1e6);
        let share = |got: u64| got as f64 / sections as f64 * processes as f64 * 100.0;
        if processes > 1 {
            let got = answers.iter().map(|answer| answer[0]);
            shares.extend([share(got.clone().min().unwrap()), share(got.max().unwrap())]);
        }
    }
    throughput.append(&mut shares);
    Ok(throughput)
}
