//! How long after the holder's death the next one has the lock.

use std::thread::sleep;
use std::time::Duration;

use crate::figure::{Column, is_ours};
use crate::run::{Contest, Effort, Run, Scenario};
use crate::subjects::read_write::{ReadWrite, VisitReadWrites, read_writes};
use crate::subjects::{self, Lock, Reach, Subject, VisitLocks};
use crate::team::{Answer, Role, Seat, Team, WATCHDOG, now};

pub const MUTEX: Scenario = Scenario {
    name: "mutex-death",
    about: "from SIGKILL for the holder until a blocked process has the lock; never, if it doesn't within three seconds",
    roles,
    measure: |run| measure(run, &MUTEX, |entries| subjects::locks(entries)),
};

pub const RWLOCK: Scenario = Scenario {
    name: "rwlock-death",
    about: "from SIGKILL for the writer until a blocked reader has the lock; never, if it doesn't within three seconds",
    roles: Vec::new, // those of MUTEX
    measure: |run| measure(run, &RWLOCK, |entries| read_writes(entries)),
};

fn measure(run: &mut Run, scenario: &Scenario, visit: fn(&mut Entries<'_, '_>)) {
    let mut contest = run.contest(scenario.name, scenario.about, &[Column::lower("", "ms")]);
    visit(&mut Entries(&mut contest));
    contest.hold();
}

fn roles() -> Vec<Role> {
    let mut roles = Roles(Vec::new());
    subjects::locks(&mut roles);
    read_writes(&mut roles);
    roles.0
}

struct Roles(Vec<Role>);

impl VisitLocks for Roles {
    fn visit<S: Lock>(&mut self) {
        if S::REACH == Reach::Processes {
            self.0.push(Role::new::<S>(HOLD, |lock, seat| lock.section(|_| hold(seat))));
            self.0.push(Role::new::<S>(WAIT, |lock, seat| wait(seat, || lock.section(|_| now()))));
        }
    }
}

impl VisitReadWrites for Roles {
    fn visit<S: ReadWrite>(&mut self) {
        if S::REACH == Reach::Processes {
            self.0.push(Role::new::<S>(WRITE, |lock, seat| lock.writing(|_| hold(seat))));
            self.0.push(Role::new::<S>(READ, |lock, seat| wait(seat, || lock.reading(|_| now()))));
        }
    }
}

const HOLD: &str = "hold";
const WAIT: &str = "wait";
const WRITE: &str = "hold as a writer";
const READ: &str = "wait as a reader";

struct Entries<'a, 'r>(&'a mut Contest<'r>);

impl Entries<'_, '_> {
    fn enter<S: Subject>(&mut self, roles: [&'static str; 2]) {
        if S::REACH == Reach::Threads {
            return self.0.leave_out(S::NAME, "threads can't be killed");
        }
        let (effort, mut is_stuck) = (self.0.effort(), false);
        self.0.enter(S::NAME, move || {
            let millis = if is_stuck { f64::INFINITY } else { sample::<S>(effort, roles) };
            is_stuck = millis.is_infinite(); // once is enough
            if is_stuck && is_ours(S::NAME) {
                return Err("nobody gets it after its holder's death".into());
            }
            Ok(vec![millis])
        });
    }
}

impl VisitLocks for Entries<'_, '_> {
    fn visit<S: Lock>(&mut self) {
        self.enter::<S>([HOLD, WAIT]);
    }
}

impl VisitReadWrites for Entries<'_, '_> {
    fn visit<S: ReadWrite>(&mut self) {
        self.enter::<S>([WRITE, READ]);
    }
}

/// What is done with the lock held.
fn hold(seat: &Seat<'_>) -> Answer {
    seat.mark(1);
    sleep(Duration::from_secs(3600)); // until it is killed
    [0; 4]
}

/// When it got the lock, which `lock` says.
fn wait(seat: &Seat<'_>, lock: impl FnOnce() -> u64) -> Answer {
    seat.mark(1);
    [lock(), 0, 0, 0]
}

fn sample<S: Subject>(effort: Effort, team: [&str; 2]) -> f64 {
    let (to_block, patience) = match effort {
        Effort::Test => (Duration::from_millis(2), Duration::from_millis(500)),
        Effort::Quick | Effort::Full => (Duration::from_millis(30), Duration::from_secs(3)),
    };
    // A busy machine is no reason to say of ours that it hangs.
    let patience = if is_ours(S::NAME) { WATCHDOG } else { patience };
    let Team { mut crew, subject } = Team::<S>::new(&team, roles);
    crew.next_round(&[]);
    crew.start();
    crew.ask(0);
    crew.await_mark(0, 1);
    crew.ask(1);
    crew.await_mark(1, 1);
    sleep(to_block);
    let killed = crew.kill(0);
    let answer = crew.answer(1, patience);
    drop((crew, subject));
    answer.map_or(f64::INFINITY, |[had, ..]| (had - killed) as f64 / 1e6)
}
