//! State machines: random plans for a few real processes, each answer compared with what a sequential model expects.
//!
//! A plan is a list of steps, each for one actor: a process that does one thing at a time, as it is told over its socket.
//! The next step is taken only when everybody whom the last one concerned has answered or sleeps, so a plan has one
//! schedule, and a failing one shrinks. What a plan asks of an actor that can't do it now is passed over. Where several
//! actors wait for the same thing, the model says who may get it, and the run goes on with who did.
//!
//! Every actor can create, open and remove the one name, detach, and be killed at any time, asleep or not; what else it
//! can do is a [`Subject`]'s.

use std::cell::Cell;
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, recv};
use nix::unistd::{alarm, gettid};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use pshared::backend::Backend;
use pshared::{Error, Shm, ShmSafe};

use super::child::{self, Child, Peer};
use super::claims::tells_of_deaths;
use super::state::is_asleep_in_a_lock;
use super::watchdog::{PATIENCE, watch};

/// How many processes act in a plan.
pub const ACTORS: usize = 3;

/// The longest plan.
const STEPS: usize = 160;

/// Time enough for those that wait to find out that somebody died, where they have to by themselves.
const NOTICED: Duration = Duration::from_millis(150);

/// How long a step may last; longer is a hang.
const LONGEST: Duration = Duration::from_secs(40);

/// A type of this crate and, as a value of this type, the sequential model of one cell with it.
///
/// Actors are numbered from 0 below [`ACTORS`]; a killed one's number goes to the process that replaces it.
pub trait Subject: Default {
    /// What stands in the cell.
    type Shared: ShmSafe;
    /// What an actor can be told to do, once it has the cell open.
    type Op: Copy + Debug + Send + Sync + 'static;
    /// What an actor keeps from one step to the next, such as guards; dropped when it detaches.
    type Hands<'a>: Default;
    /// Everything that an actor can be told to do; what stands here twice is done twice as often.
    const OPS: &'static [Self::Op];

    fn new_shared() -> Self::Shared;

    /// In the actor's process: does it, and says how it went, in one line.
    fn act<'a>(shared: &'a Self::Shared, hands: &mut Self::Hands<'a>, op: Self::Op) -> String;

    /// The same for what goes on from one step to the next inside of a call, as in a closure that it runs: `ask` says a
    /// line, as if the step were over, and hears what the next step is.
    fn act_and_ask<'a>(
        shared: &'a Self::Shared,
        hands: &mut Self::Hands<'a>,
        op: Self::Op,
        _ask: &mut dyn FnMut(&str) -> Self::Op,
    ) -> String {
        Self::act(shared, hands, op)
    }

    /// In the test's process, between two steps: what can be seen from outside without changing anything. `actor` tells
    /// the number of the actor whose process it is given.
    fn look(shared: &Self::Shared, actor: &dyn Fn(u32) -> usize) -> String;

    /// The model's turn: what telling `actor` to do `op` must come to. Nobody waits who could go on.
    fn told(&mut self, actor: usize, op: Self::Op) -> Expected;

    /// Who of those that wait may come to the end of it now, and with which answer: the next to answer is one of them.
    /// Asked again after each such answer.
    fn next(&self) -> Vec<(usize, String)>;

    /// `actor`, one of [`next`](Subject::next), has answered as it said there.
    fn came_through(&mut self, actor: usize);

    /// Whether `actor`, which doesn't wait, can detach now.
    fn may_let_go(&self, _actor: usize) -> bool {
        true
    }

    /// `actor`, of which that is true, drops what is in its hands.
    fn let_go(&mut self, actor: usize);

    /// `actor` is killed. It may wait, hold something, or have nothing to do with this cell at all.
    fn died(&mut self, actor: usize);

    /// What [`look`](Subject::look) must say.
    fn seen(&self) -> String;
}

/// What a step must come to.
pub enum Expected {
    /// An answer at once.
    Answer(String),
    /// Sleep, until the model says that it may go on.
    Sleep,
    /// The actor can't do that now: the step is passed over.
    Nothing,
}

/// What is done in a step.
#[derive(Clone, Copy, Debug)]
enum Action<Op> {
    Create,
    Open,
    OpenOrCreate,
    Detach,
    Remove,
    /// SIGKILL. The next step for the actor starts another process for it.
    Kill,
    Do(Numbered<Op>),
}

/// What a subject's actor is told to do, and the number that it is told.
#[derive(Clone, Copy)]
struct Numbered<Op> {
    number: usize,
    op: Op,
}

impl<Op: Debug> Debug for Numbered<Op> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.op.fmt(f)
    }
}

#[derive(Clone, Copy, Debug)]
struct Step<Op> {
    actor: usize,
    action: Action<Op>,
}

fn plans<Op: Copy + Debug + Send + Sync + 'static>(ops: &'static [Op]) -> impl Strategy<Value = Vec<Step<Op>>> {
    let action = prop_oneof![
        60 => (0..ops.len()).prop_map(|number| Action::Do(Numbered { number, op: ops[number] })),
        6 => Just(Action::OpenOrCreate),
        2 => Just(Action::Open),
        1 => Just(Action::Create),
        1 => Just(Action::Detach),
        1 => Just(Action::Remove),
        3 => Just(Action::Kill),
    ];
    let step = (0..ACTORS, action).prop_map(|(actor, action)| Step { actor, action });
    prop::collection::vec(step, 1..STEPS)
}

/// Runs `cases` plans for a subject on `B`, a quarter of them where owners are watched (PROPTEST_CASES in the environment says otherwise) in the test `test`, whose children come here too.
pub fn check<S: Subject, B: Backend>(test: &'static str, cases: u32) {
    let (_crate, in_crate) = test.split_once("::").unwrap();
    if let Some((_, args, peer)) = child::role() {
        return act::<S>(&args[0], &peer);
    }
    let mut config = Config { failure_persistence: None, max_shrink_time: 120_000, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        // Where owners are watched every kill costs a wait, and one code serves three backends.
        config.cases = if tells_of_deaths::<B>() { cases } else { cases / 4 };
    }
    let total = Cell::new(Counts::default());
    let outcome = TestRunner::new(config).run(&plans(S::OPS), |plan| {
        let started = Instant::now();
        let mut run = Run::<S>::new(in_crate, tells_of_deaths::<B>());
        // A step at a time: a long plan on a busy machine is no hang.
        let follow = |step| {
            let _watchdog = watch(test);
            run.follow(step)
        };
        let followed = plan.into_iter().try_for_each(follow).and_then(|()| run.kill_all());
        run.counts.longest = started.elapsed();
        total.set(total.get().and(run.counts));
        followed.map_err(|problem| TestCaseError::fail(format!("{problem}, after\n{}", run.log)))
    });
    println!("{test}: {:?}", total.get());
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(other) => panic!("{other}"),
    }
}

// The actors.

/// An actor that has no cell open.
fn act<S: Subject>(name: &str, peer: &Peer) {
    peer.say(&gettid().to_string());
    loop {
        let opened = match hear(peer).as_str() {
            "Create" => Shm::create(name, || Ok(S::new_shared())),
            "Open" => Shm::open(name),
            "OpenOrCreate" => Shm::open_or_create(name, || Ok(S::new_shared())),
            "Remove" => {
                peer.say(&outcome(&Shm::<S::Shared>::remove(name)));
                continue;
            }
            other => panic!("nothing is open to {other}"),
        };
        peer.say(&outcome(&opened));
        if let Ok(shm) = opened {
            act_in::<S>(&shm, name, peer);
            drop(shm);
            peer.say("done");
        }
    }
}

/// An actor that has one open.
fn act_in<S: Subject>(shared: &S::Shared, name: &str, peer: &Peer) {
    let mut hands = S::Hands::default();
    while let Some(op) = hear_what_to_do::<S>(name, peer) {
        let mut ask = |said: &str| {
            peer.say(said);
            hear_what_to_do::<S>(name, peer).expect("told to detach with something going on")
        };
        let said = S::act_and_ask(shared, &mut hands, op, &mut ask);
        peer.say(&said);
    }
}

/// `None`: to detach.
fn hear_what_to_do<S: Subject>(name: &str, peer: &Peer) -> Option<S::Op> {
    loop {
        match hear(peer).as_str() {
            "Detach" => return None,
            "Remove" => peer.say(&outcome(&Shm::<S::Shared>::remove(name))),
            number => return Some(S::OPS[number.parse::<usize>().unwrap()]),
        }
    }
}

fn hear(peer: &Peer) -> String {
    let line = peer.hear();
    alarm::set(PATIENCE.as_secs() as u32); // the watchdog, wound up again
    line
}

fn outcome<T>(result: &Result<T, Error>) -> String {
    match result {
        Ok(_) => "done".into(),
        Err(Error::AlreadyExists { .. }) => "it exists".into(),
        Err(Error::NotFound { .. }) => "there is none".into(),
        Err(other) => format!("{other:?}"),
    }
}

// The test.

struct Actor {
    child: Child,
    tid: u32,
    /// The number of the cell that it has open.
    cell: Option<usize>,
    waits: bool,
}

impl Actor {
    fn is_asleep(&self) -> bool {
        is_asleep_in_a_lock(self.tid)
    }
}

/// A cell that had the name once: one that is removed lives on for those who have it open.
struct Made<S: Subject> {
    shm: Shm<S::Shared>,
    model: S,
}

/// A plan being followed.
struct Run<S: Subject> {
    test: &'static str,
    name: String,
    actors: [Option<Actor>; ACTORS],
    cells: Vec<Made<S>>,
    /// The number of the cell that has the name.
    named: Option<usize>,
    counts: Counts,
    log: String,
    /// Whether who waits for one that dies is woken, or finds out by itself.
    tells_of_deaths: bool,
}

/// How much has happened.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    plans: usize,
    steps: usize,
    sleeps: usize,
    kills: usize,
    kills_asleep: usize,
    /// The plan that took longest.
    longest: Duration,
}

impl Counts {
    fn and(self, plan: Counts) -> Counts {
        Counts {
            plans: self.plans + 1,
            steps: self.steps + plan.steps,
            sleeps: self.sleeps + plan.sleeps,
            kills: self.kills + plan.kills,
            kills_asleep: self.kills_asleep + plan.kills_asleep,
            longest: self.longest.max(plan.longest),
        }
    }
}

/// What went wrong.
type Problem = String;

impl<S: Subject> Run<S> {
    fn new(test: &'static str, tells_of_deaths: bool) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("pshared-plan-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let actors = [const { None }; ACTORS];
        let (counts, log) = (Counts::default(), String::new());
        Run { test, name, actors, cells: Vec::new(), named: None, counts, log, tells_of_deaths }
    }

    fn follow(&mut self, Step { actor: number, action }: Step<S::Op>) -> Result<(), Problem> {
        match action {
            Action::Kill => return self.kill(number),
            _ if self.actors[number].as_ref().is_some_and(|actor| actor.waits) => return Ok(()),
            _ => {}
        }
        match (self.actors[number].as_ref().and_then(|actor| actor.cell), action) {
            (None, Action::Create | Action::Open | Action::OpenOrCreate) => self.open(number, action)?,
            (Some(cell), Action::Detach) if self.cells[cell].model.may_let_go(number) => {
                self.cells[cell].model.let_go(number);
                self.ask(number, action, "Detach", "done")?;
                self.actor(number).cell = None;
            }
            (_, Action::Remove) => {
                let answer = if self.named.take().is_some() { "done" } else { "there is none" };
                self.ask(number, action, "Remove", answer)?;
            }
            (Some(cell), Action::Do(told)) => match self.cells[cell].model.told(number, told.op) {
                Expected::Answer(answer) => self.ask(number, action, &told.number.to_string(), &answer)?,
                Expected::Sleep => {
                    self.tell(number, action, &told.number.to_string());
                    self.actor(number).waits = true;
                    self.counts.sleeps += 1;
                }
                Expected::Nothing => return Ok(()),
            },
            _ => return Ok(()),
        }
        self.settle()
    }

    fn open(&mut self, number: usize, action: Action<S::Op>) -> Result<(), Problem> {
        let (answer, cell) = match (action, self.named) {
            (Action::Create, Some(_)) => ("it exists", None),
            (Action::Open, None) => ("there is none", None),
            (_, Some(there)) => ("done", Some(there)),
            (_, None) => ("done", Some(self.cells.len())),
        };
        self.ask(number, action, &format!("{action:?}"), answer)?;
        if cell == Some(self.cells.len()) {
            let shm = Shm::open(&self.name).map_err(|error| error.to_string())?;
            self.cells.push(Made { shm, model: S::default() });
            self.named = cell;
        }
        self.actor(number).cell = cell;
        Ok(())
    }

    fn kill(&mut self, number: usize) -> Result<(), Problem> {
        let Some(actor) = self.actors[number].take() else { return Ok(()) };
        let asleep = if actor.waits { ", asleep" } else { "" };
        self.counts.kills += 1;
        self.counts.kills_asleep += usize::from(actor.waits);
        self.note(format_args!("{number}: Kill{asleep}\n"));
        actor.child.kill();
        self.cells.iter_mut().for_each(|cell| cell.model.died(number));
        if !self.tells_of_deaths && self.actors.iter().flatten().any(|actor| actor.waits) {
            // Until they find out, whoever comes may be before them.
            thread::sleep(NOTICED);
        }
        self.settle()
    }

    fn kill_all(&mut self) -> Result<(), Problem> {
        (0..ACTORS).try_for_each(|number| self.kill(number))
    }

    /// Waits until nobody has anything left to do, and compares.
    fn settle(&mut self) -> Result<(), Problem> {
        self.counts.steps += 1;
        for cell in 0..self.cells.len() {
            loop {
                let next = self.cells[cell].model.next();
                if next.is_empty() {
                    break;
                }
                // Elsewhere a wake-up may be lost with whoever was killed before, and costs others a slice of sleep.
                if self.tells_of_deaths && self.are_stranded(&next) {
                    return Err(format!("nobody has woken any of {next:?}"));
                }
                let number = self.wait_for(&format!("any of {next:?} to go on"), |run| {
                    next.iter().map(|(number, _)| *number).find(|number| run.has_answered(*number))
                })?;
                let (_, expected) = next.into_iter().find(|(of, _)| *of == number).unwrap();
                self.hear(number, &expected)?;
                self.actor(number).waits = false;
                self.cells[cell].model.came_through(number);
            }
        }
        for number in 0..ACTORS {
            if self.actors[number].as_ref().is_some_and(|actor| actor.waits) {
                self.wait_for(&format!("{number} to sleep"), |run| {
                    (run.has_answered(number) || run.actor(number).is_asleep()).then_some(())
                })?;
                if self.has_answered(number) {
                    let answer = self.actor(number).child.peer.hear();
                    return Err(format!("{number} was to wait on, and says {answer:?}"));
                }
            }
        }
        self.look()
    }

    /// Whether none of those that may go on is awake. Whoever woke one of them has come to an end, so one is awake by
    /// now, or another sleeper that was woken in its place and is about to pass that on. Sleepers look up once in a while
    /// by themselves, so in the end they would find out even so.
    fn are_stranded(&self, next: &[(usize, String)]) -> bool {
        let is_asleep =
            |number: usize| self.actors[number].as_ref().is_none_or(|actor| !actor.waits || actor.is_asleep());
        let next_sleep = || next.iter().all(|(number, _)| is_asleep(*number));
        next_sleep() && (0..ACTORS).all(is_asleep) && next_sleep()
    }

    fn look(&mut self) -> Result<(), Problem> {
        let of_process = |pid| {
            let is = |actor: &Option<Actor>| actor.as_ref().is_some_and(|actor| actor.child.id() == pid);
            self.actors.iter().position(is).unwrap_or(usize::MAX)
        };
        for (number, cell) in self.cells.iter().enumerate() {
            let (seen, expected) = (S::look(&cell.shm, &of_process), cell.model.seen());
            if seen != expected {
                return Err(format!("cell {number} looks like {seen}, not {expected}"));
            }
        }
        Ok(())
    }

    /// The actor, whose process is started if there is none.
    fn actor(&mut self, number: usize) -> &mut Actor {
        self.actors[number].get_or_insert_with(|| {
            let child = child::spawn(self.test, "actor", &[&self.name]);
            Actor { tid: child.peer.hear().parse().unwrap(), child, cell: None, waits: false }
        })
    }

    fn ask(&mut self, number: usize, action: Action<S::Op>, line: &str, expected: &str) -> Result<(), Problem> {
        self.tell(number, action, line);
        self.wait_for(&format!("{number} to answer"), |run| run.has_answered(number).then_some(()))?;
        self.hear(number, expected)
    }

    fn tell(&mut self, number: usize, action: Action<S::Op>, line: &str) {
        self.note(format_args!("{number}: {action:?}\n"));
        self.actor(number).child.peer.say(line);
    }

    fn hear(&mut self, number: usize, expected: &str) -> Result<(), Problem> {
        let answer = self.actor(number).child.peer.hear();
        self.note(format_args!("   {number} says {answer:?}\n"));
        if answer == expected { Ok(()) } else { Err(format!("{number} says {answer:?}, not {expected:?}")) }
    }

    /// Whether a line, or the end, has come from the actor.
    fn has_answered(&mut self, number: usize) -> bool {
        use std::os::fd::AsRawFd;
        let socket = self.actor(number).child.peer.socket().as_raw_fd();
        recv(socket, &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT).is_ok()
    }

    fn wait_for<R>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<R>) -> Result<R, Problem> {
        let started = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            if started.elapsed() > LONGEST {
                return Err(format!("waited in vain for {what}"));
            }
            thread::sleep(Duration::from_micros(20));
        }
    }

    fn note(&mut self, line: std::fmt::Arguments<'_>) {
        self.log.write_fmt(line).unwrap();
    }
}

impl<S: Subject> Drop for Run<S> {
    fn drop(&mut self) {
        self.actors = [const { None }; ACTORS];
        // It may be removed already.
        let _ = Shm::<S::Shared>::remove(&self.name);
    }
}
