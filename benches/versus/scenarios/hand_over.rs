//! Ping-pong: two processes that let each other go on, there and back, on one core and on two.

use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::rounds::{Played, Rounds};
use crate::figure::Column;
use crate::run::{Contest, Run, Scenario};
use crate::subjects::Subject;
use crate::subjects::hand_over::{
    CacheLine, HandOver, Side, ThreeLocks, VisitHandOvers, VisitThreeLocks, condvars, mutexes, semaphores,
};
use crate::team::{Answer, Crew, Role, Seat, Team, WATCHDOG, now};

pub const SEMAPHORE: Scenario = Scenario {
    name: "hand-over-semaphore",
    about: "two processes let each other go on by a semaphore for each direction: the time from one to the other",
    roles,
    measure: |run| {
        hand_overs(run, &SEMAPHORE, |places| {
            semaphores(places);
            match places.cores {
                Cores::Two => VisitHandOvers::visit::<CacheLine>(places),
                Cores::One => places.contest.leave_out(CacheLine::NAME, "whoever spins on one core waits in vain"),
            }
            places.contest.leave_out("iceoryx2-bb-posix UnnamedSemaphore", "is a sem_t, which is in it");
        })
    },
};

pub const CONDVAR: Scenario = Scenario {
    name: "hand-over-condvar",
    about: "two processes let each other go on by a condition variable and a mutex around whose turn it is: the time from \
            one to the other",
    roles,
    measure: |run| hand_overs(run, &CONDVAR, |places| condvars(places)),
};

pub const MUTEX: Scenario = Scenario {
    name: "hand-over-mutex",
    about: "two processes let each other go on by three mutexes, of which the one whose turn it is holds two and lets one \
            go, that the other waits for: the time from one to the other",
    roles,
    measure: |run| {
        hand_overs(run, &MUTEX, |places| {
            mutexes(places);
            for (subject, why) in WRAPPERS {
                places.contest.leave_out(subject, why);
            }
        })
    },
};

const WRAPPERS: [(&str, &str); 5] = [
    ("iceoryx2-bb-posix Mutex", "is a pthread_mutex_t, which is in it"),
    ("posix-sync BorrowedMutex", "is a pthread_mutex_t, which is in it"),
    ("raw_sync Mutex", "is a pthread_mutex_t, which is in it"),
    ("sem_t as a lock", "anybody may give it back, so it needs no three: see hand-over-semaphore"),
    ("semop, SEM_UNDO", "anybody may give it back, so it needs no three: see hand-over-semaphore"),
];

/// Where the two processes may run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cores {
    /// Both on the same one.
    One,
    /// Each on its own.
    Two,
}

impl Cores {
    const ALL: [(Cores, &str); 2] = [(Cores::Two, "two cores"), (Cores::One, "one core")];

    /// Binds this process. Once it is bound, this changes nothing.
    fn bind(self, side: Side) {
        let this = Pid::from_raw(0);
        let cpus = usable();
        let cpu = match (self, side) {
            (Cores::Two, Side::Ping) => cpus[0],
            (Cores::Two, Side::Pong) | (Cores::One, _) => cpus[cpus.len() - 1],
        };
        let mut one = CpuSet::new();
        one.set(cpu).unwrap();
        sched_setaffinity(this, &one).unwrap();
    }
}

/// The processors that this process was given, in order.
fn usable() -> Vec<usize> {
    let all = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..CpuSet::count()).filter(|cpu| all.is_set(*cpu).unwrap()).collect()
}

fn hand_overs(run: &mut Run, scenario: &Scenario, visit: fn(&mut Enter<'_, '_>)) {
    for (cores, place) in Cores::ALL {
        let title = format!("{}: {place}", scenario.name);
        let mut contest = run.contest(&title, scenario.about, &[Column::lower("", "ns")]);
        if cores == Cores::Two && usable().len() < 2 {
            contest.leave_out("everybody", "there is only one core");
        } else {
            visit(&mut Enter { contest: &mut contest, cores });
        }
        contest.hold();
    }
}

struct Enter<'a, 'r> {
    contest: &'a mut Contest<'r>,
    cores: Cores,
}

impl Enter<'_, '_> {
    fn enter<S: Subject>(&mut self, ping: &'static str, pong: &'static str, play: fn(&mut Crew, &[u64]) -> Played) {
        let (effort, cores) = (self.contest.effort(), self.cores);
        let mut team = None;
        let mut rounds = Rounds::default();
        self.contest.enter(S::NAME, move || {
            let team = team.get_or_insert_with(|| Team::<S>::new(&[ping, pong], roles));
            let nanos = rounds.sample(effort, 10, |rounds| play(&mut team.crew, &[rounds, cores as u64]))?;
            Ok(vec![nanos / 2.0])
        });
    }
}

impl VisitHandOvers for Enter<'_, '_> {
    fn visit<S: HandOver>(&mut self) {
        self.enter::<S>(PING, PONG, |crew, parameters| {
            // They are done when they have done as often as they should.
            let (_, answers) = crew.play(2, parameters, Duration::ZERO)?;
            Ok(answers[0][0])
        });
    }
}

impl VisitThreeLocks for Enter<'_, '_> {
    fn visit<S: ThreeLocks>(&mut self) {
        self.enter::<S>(PING_LOCKS, PONG_LOCKS, |crew, parameters| {
            crew.next_round(parameters);
            crew.ask(0);
            crew.ask(1);
            crew.start();
            for member in [0, 1] {
                crew.await_mark(member, READY);
            }
            crew.end();
            let nanos = crew.answer(0, WATCHDOG).ok_or("hangs")?;
            crew.answer(1, WATCHDOG).ok_or("hangs")?;
            Ok(nanos[0])
        });
    }
}

const PING: &str = "ping";
const PONG: &str = "pong";
const PING_LOCKS: &str = "ping by locks";
const PONG_LOCKS: &str = "pong by locks";

/// What a member marks that holds what it should when the rounds begin.
const READY: u64 = 1;

fn roles() -> Vec<Role> {
    struct List(Vec<Role>);
    impl VisitHandOvers for List {
        fn visit<S: HandOver>(&mut self) {
            self.0.push(Role::new(PING, ping::<S>));
            self.0.push(Role::new(PONG, pong::<S>));
        }
    }
    impl VisitThreeLocks for List {
        fn visit<S: ThreeLocks>(&mut self) {
            self.0.push(Role::new(PING_LOCKS, ping_locks::<S>));
            self.0.push(Role::new(PONG_LOCKS, pong_locks::<S>));
        }
    }
    let mut list = List(Vec::new());
    semaphores(&mut list);
    VisitHandOvers::visit::<CacheLine>(&mut list);
    condvars(&mut list);
    mutexes(&mut list);
    list.0
}

/// How many rounds are asked for, and this process is where it should be for them.
fn begin(seat: &Seat<'_>, side: Side) -> u64 {
    let cores = if seat.parameter(1) == Cores::One as u64 { Cores::One } else { Cores::Two };
    cores.bind(side);
    seat.parameter(0)
}

fn ping<S: HandOver>(subject: &S, seat: &Seat<'_>) -> Answer {
    let rounds = begin(seat, Side::Ping);
    let started = now();
    for _ in 0..rounds {
        subject.give(Side::Pong);
        subject.wait(Side::Ping);
    }
    [now() - started, 0, 0, 0]
}

fn pong<S: HandOver>(subject: &S, seat: &Seat<'_>) -> Answer {
    for _ in 0..begin(seat, Side::Pong) {
        subject.wait(Side::Pong);
        subject.give(Side::Ping);
    }
    [0; 4]
}

/// Two mutexes that the one has whose turn it is. To hand over is to let the first one go; the other, which waits for it, has
/// the third one, and that is the one to wait for then.
struct Turn<'a, S: ThreeLocks> {
    subject: &'a S,
    first: S::Guard<'a>,
    second: S::Guard<'a>,
    third: usize,
}

impl<'a, S: ThreeLocks> Turn<'a, S> {
    fn hand_over_and_wait(self) -> Self {
        let Turn { subject, first, second, third } = self;
        drop(first);
        let third_guard = subject.lock(third);
        Turn { subject, first: second, second: third_guard, third: (third + 1) % 3 }
    }
}

fn ping_locks<S: ThreeLocks>(subject: &S, seat: &Seat<'_>) -> Answer {
    let rounds = begin(seat, Side::Ping);
    let mut turn = Turn { subject, first: subject.lock(0), second: subject.lock(1), third: 2 };
    seat.mark(READY);
    await_end(seat);
    let started = now();
    for _ in 0..rounds {
        turn = turn.hand_over_and_wait();
    }
    [now() - started, 0, 0, 0]
}

fn pong_locks<S: ThreeLocks>(subject: &S, seat: &Seat<'_>) -> Answer {
    let rounds = begin(seat, Side::Pong);
    let first = subject.lock(2);
    seat.mark(READY);
    await_end(seat);
    let mut turn = Turn { subject, first, second: subject.lock(0), third: 1 };
    for _ in 1..rounds {
        turn = turn.hand_over_and_wait();
    }
    drop(turn);
    [0; 4]
}

/// Waits until both are ready.
fn await_end(seat: &Seat<'_>) {
    while !seat.is_over() {
        std::thread::yield_now();
    }
}
