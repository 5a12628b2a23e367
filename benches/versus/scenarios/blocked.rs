//! What waiting costs.

use std::thread::sleep;
use std::time::Duration;

use crate::figure::Column;
use crate::run::{Contest, Effort, Run, Scenario};
use crate::subjects::{self, Lock, VisitLocks};
use crate::team::{Answer, Role, Seat, Team, WATCHDOG, cpu_time};

pub const MUTEX: Scenario =
    Scenario { name: "mutex-blocked", about: "processor time of one that is blocked for a second", roles, measure };

fn roles() -> Vec<Role> {
    let mut roles = Roles(Vec::new());
    subjects::locks(&mut roles);
    roles.0
}

fn measure(run: &mut Run) {
    let mut contest = run.contest(MUTEX.name, MUTEX.about, &[Column::lower("", "µs")]);
    subjects::locks(&mut Entries(&mut contest));
    let rounds = contest.effort().few_rounds();
    contest.hold_rounds(rounds);
}

struct Roles(Vec<Role>);

impl VisitLocks for Roles {
    fn visit<S: Lock>(&mut self) {
        self.0.push(Role::new::<S>("block", block));
    }
}

struct Entries<'a, 'r>(&'a mut Contest<'r>);

impl VisitLocks for Entries<'_, '_> {
    fn visit<S: Lock>(&mut self) {
        let time = Duration::from_millis(if self.0.effort() == Effort::Test { 5 } else { 1000 });
        self.0.enter(S::NAME, move || {
            let Team { mut crew, subject } = Team::<S>::new(&["block"], roles);
            subject.section(|_| {
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

/// The processor time that this takes.
fn block<S: Lock>(lock: &S, _: &Seat<'_>) -> Answer {
    let before = cpu_time();
    lock.section(|_| {});
    [cpu_time() - before, 0, 0, 0]
}
