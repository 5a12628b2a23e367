//! How long after the holder's death the next one has the lock.

use std::thread::sleep;
use std::time::Duration;

use crate::figure::Column;
use crate::run::{Contest, Effort, Run, Scenario};
use crate::subjects::{self, Lock, Reach, VisitLocks};
use crate::team::{Answer, Role, Seat, Team, now};

pub const MUTEX: Scenario = Scenario {
    name: "mutex-death",
    about: "from SIGKILL for the holder until a blocked process has the lock; never, if it doesn't within three seconds",
    roles,
    measure,
};

fn roles() -> Vec<Role> {
    let mut roles = Roles(Vec::new());
    subjects::locks(&mut roles);
    roles.0
}

fn measure(run: &mut Run) {
    let mut contest = run.contest(MUTEX.name, MUTEX.about, &[Column::lower("", "ms")]);
    subjects::locks(&mut Entries(&mut contest));
    contest.hold();
}

struct Roles(Vec<Role>);

impl VisitLocks for Roles {
    fn visit<S: Lock>(&mut self) {
        if S::REACH == Reach::Processes {
            self.0.push(Role::new::<S>("hold", hold));
            self.0.push(Role::new::<S>("wait", wait));
        }
    }
}

struct Entries<'a, 'r>(&'a mut Contest<'r>);

impl VisitLocks for Entries<'_, '_> {
    fn visit<S: Lock>(&mut self) {
        if S::REACH == Reach::Threads {
            return self.0.leave_out(S::NAME, "threads can't be killed");
        }
        let (effort, mut is_stuck) = (self.0.effort(), false);
        self.0.enter(S::NAME, move || {
            let millis = if is_stuck { f64::INFINITY } else { sample::<S>(effort) };
            is_stuck = millis.is_infinite(); // once is enough
            Ok(vec![millis])
        });
    }
}

fn hold<S: Lock>(lock: &S, seat: &Seat<'_>) -> Answer {
    lock.section(|_| {
        seat.mark(1);
        sleep(Duration::from_secs(3600)); // until it is killed
    });
    [0; 4]
}

/// When it got the lock.
fn wait<S: Lock>(lock: &S, seat: &Seat<'_>) -> Answer {
    seat.mark(1);
    [lock.section(|_| now()), 0, 0, 0]
}

fn sample<S: Lock>(effort: Effort) -> f64 {
    let (to_block, patience) = match effort {
        Effort::Test => (Duration::from_millis(2), Duration::from_millis(500)),
        Effort::Quick | Effort::Full => (Duration::from_millis(30), Duration::from_secs(3)),
    };
    let Team { mut crew, subject } = Team::<S>::new(&["hold", "wait"], roles);
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
