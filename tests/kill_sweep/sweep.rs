//! A row of the sweep: one operation in one setting, killed at each of its points.
//!
//! | setting | before the victim begins | meanwhile | after its death |
//! |---|---|---|---|
//! | alone | | | |
//! | sleepers | one or two sleep | | |
//! | waiter | a holder has what it wants, another sleeps | it goes to sleep, or gives up | the holder gives it back |
//! | woken | a holder has what it wants | it sleeps; another sleeps; the holder gives it back; from there on | |
//! | barged | the same | and a third one takes what it was woken for | the third gives it back |
//!
//! After each death the operation's own claims are asked.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pshared::backend::Backend;

use crate::acts::{Act, Answer};
use crate::problem::{Problem, claim};
use crate::scene::{Scene, Stage};
use crate::support::claims::tells_of_deaths;
use crate::support::kill_points::{Came, KillPoints};
use crate::support::stepper::{Stepper, Stop};
use crate::workers::round_is_over;
use crate::zygote::{Actor, Noticed, Zygote, come_through, wait_for};

/// Where others are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    Alone,
    OneSleeper,
    TwoSleepers,
    Waiter,
    Woken,
    Barged,
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Setting::Alone => "alone",
            Setting::OneSleeper => "one sleeper",
            Setting::TwoSleepers => "two sleepers",
            Setting::Waiter => "being the waiter",
            Setting::Woken => "being the woken waiter",
            Setting::Barged => "being the woken waiter, a third barges in",
        })
    }
}

impl Setting {
    fn sleepers(self) -> usize {
        match self {
            Setting::Alone => 0,
            Setting::OneSleeper | Setting::Waiter | Setting::Woken | Setting::Barged => 1,
            Setting::TwoSleepers => 2,
        }
    }

    fn is_woken(self) -> bool {
        matches!(self, Setting::Woken | Setting::Barged)
    }

    fn has_holder(self) -> bool {
        self.is_woken() || self == Setting::Waiter
    }
}

/// How many points an operation has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Few instructions: all of them, on futexes.
    Fast,
    /// Many: those that change what a kill leaves.
    Slow,
    /// Very many, and hardly any that others could see the effect of: before and after each system call.
    Long,
}

/// How thoroughly all of it is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Short,
    /// Every instruction of everything.
    Full,
}

/// What is seen while the victim stands where it will be killed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// It owns the data, by the lock's word.
    pub owned: bool,
    /// The lock says that it is poisoned.
    pub poisoned: bool,
    /// What the primitive counts.
    pub number: u32,
}

/// What every row of an operation must have seen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Spans {
    /// Victims that owned the data, and victims that didn't.
    Ownership,
    Nothing,
}

/// Whether a scene can be used again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scenes {
    Lasting,
    /// Something in it is done once.
    ForOneRound,
}

/// What a victim does, and what the others do.
pub struct Operation<B: Backend> {
    pub name: &'static str,
    /// What somebody does who is killed before the victim comes.
    pub corpse: &'static [Act],
    /// What somebody does who comes after that one.
    pub bury: &'static [Act],
    /// What the victim does before.
    pub before: &'static [Act],
    /// What it does when all sleep.
    pub then: &'static [Act],
    /// What it is killed in.
    pub act: Act,
    /// What the holder does, for the victim to wait, and to let it go.
    pub hold: &'static [Act],
    pub release: &'static [Act],
    /// What the third one does, who takes what the victim was woken for, and to give it back.
    pub barge: &'static [Act],
    pub unbarge: &'static [Act],
    /// What the one and the other sleeper sleep in.
    pub sleepers: [Act; 2],
    pub settings: &'static [Setting],
    pub path: Path,
    pub spans: Spans,
    pub scenes: Scenes,
    /// What is done when all sleep, before the victim begins.
    pub ready: fn(&Scene<B>, sleepers: u32),
    /// What is looked at before the kill.
    pub look: fn(&Scene<B>, victim: u32) -> Seen,
    /// What must hold after it; leaves the scene as it was.
    pub judge: fn(&Round<'_, B>) -> Result<(), Problem>,
}

impl<B: Backend> Clone for Operation<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Operation<B> {}

/// After a death.
pub struct Round<'a, B: Backend> {
    pub stage: &'a Stage<B>,
    zygote: &'a Zygote,
    pub sleepers: Vec<&'a Actor>,
    /// Which of them slept when the victim stood where it was killed.
    pub slept: Vec<bool>,
    pub setting: Setting,
    /// What was seen before the victim began.
    pub before: Seen,
    pub seen: Seen,
    pub noticed: Noticed,
    /// Who nobody waits for, and who waits for nobody.
    pub others: [&'a Actor; 2],
}

impl<B: Backend> Round<'_, B> {
    pub fn scene(&self) -> &Scene<B> {
        &self.stage.scene
    }

    /// What all sleepers say, once they come through.
    pub fn all_come_through(&self) -> Result<Vec<Answer>, Problem> {
        come_through(&self.sleepers, self.noticed)
    }

    /// What so many of them say who come through without help.
    pub fn so_many_come_through(&self, count: usize) -> Result<(), Problem> {
        wait_for(&self.sleepers, count, self.noticed)
    }

    /// A process that has done nothing yet.
    pub fn fresh(&self) -> Actor {
        self.zygote.fork()
    }

    /// What a process says that does something now, which has to come to an end.
    pub fn ends(&self, actor: &Actor, act: Act) -> Result<Answer, Problem> {
        actor.begins(act);
        let who = |problem| match problem {
            Problem::Stuck(_) => Problem::Stuck(format!("who came afterwards, in {act:?}")),
            other => other,
        };
        come_through(&[actor], self.noticed).map(|said| said[0]).map_err(who)
    }

    /// What a process says that was asleep in something, which has to come to a certain end.
    pub fn answers(&self, actor: &Actor, act: Act, answer: Answer) -> Result<(), Problem> {
        let said = come_through(&[actor], self.noticed)?[0];
        claim(said == answer, || format!("{act:?} of who came afterwards: {said:?} instead of {answer:?}"))
    }

    /// The same, which has to come to a certain end.
    pub fn must(&self, actor: &Actor, act: Act, answer: Answer) -> Result<(), Problem> {
        let said = self.ends(actor, act)?;
        claim(said == answer, || format!("{act:?} of who came afterwards: {said:?} instead of {answer:?}"))
    }
}

/// What a row came to.
#[derive(Default)]
pub struct Tally {
    pub kills: usize,
    pub stuck: usize,
    /// Claims that didn't hold, with their schedules.
    pub problems: Vec<String>,
}

/// More problems than that say nothing new.
const ENOUGH: usize = 6;

/// So many points are enough where each may take a slice of sleep.
const LEAST: usize = 16;

/// So many, where others see something else after each.
const MOST: usize = 24;

/// So many victims are killed at the end before the others.
const REHEARSALS: usize = 5;

/// The processes of a row.
struct Cast<B: Backend> {
    // Dropped in this order: its actors end with the zygote, and then nobody uses the stage.
    actors: Vec<Actor>,
    zygote: Zygote,
    stage: Stage<B>,
}

const HOLDER: usize = 0;
const THIRD: usize = 1;
const SLEEPERS: usize = 2;

impl<B: Backend> Cast<B> {
    fn new() -> Self {
        Cast::with(Zygote::start(B::NAME))
    }

    fn with(zygote: Zygote) -> Self {
        let stage = Stage::new();
        zygote.open(&stage);
        let actors = (0..SLEEPERS + 2).map(|_| zygote.fork()).collect();
        Cast { actors, zygote, stage }
    }

    /// The same with another scene and other actors.
    fn renewed(self) -> Self {
        let Cast { actors, zygote, stage } = self;
        actors.into_iter().for_each(Actor::kill);
        let cast = Cast::with(zygote);
        drop(stage);
        cast
    }
}

pub fn run<B: Backend>(operation: &Operation<B>, setting: Setting, depth: Depth) -> Tally {
    let mut cast = Cast::<B>::new();
    let mut tally = Tally::default();
    let mut points = points::<B>(operation.path, depth);
    let (mut owned, mut missed) = ([false; 2], 0);
    // The first few who wait spin for long before they learn that it is in vain.
    let rehearsals = if operation.scenes == Scenes::Lasting { REHEARSALS } else { 0 };
    let mut rehearsed = 0;
    while points.are_left() && tally.problems.len() < ENOUGH {
        let rehearses = rehearsed < rehearsals;
        rehearsed += 1;
        let send = |victim: &Stepper| if rehearses { victim.run_to_end() } else { points.send(victim) };
        let round = AssertUnwindSafe(|| kill_one(&cast, operation, setting, send));
        let outcome = catch_unwind(round);
        round_is_over();
        let problem = match outcome {
            Ok(Ok(Some(seen))) => {
                owned[usize::from(seen.owned)] = true;
                if operation.scenes == Scenes::ForOneRound {
                    cast = cast.renewed();
                }
                continue;
            }
            Ok(Ok(None)) => {
                missed += 1;
                if operation.scenes == Scenes::ForOneRound {
                    cast = cast.renewed();
                }
                if missed < 300 {
                    continue;
                }
                tally.problems.push("the schedule is never met".into());
                break;
            }
            Ok(Err(problem)) => problem,
            Err(panic) => Problem::Broken(format!("panicked: {}", words(&*panic))),
        };
        tally.stuck += usize::from(matches!(problem, Problem::Stuck(_)));
        let (steps, place) = points.last();
        tally.problems.push(format!("killed after {steps} instructions, at {place}: {problem}"));
        cast = cast.renewed();
    }
    tally.kills = points.kills();
    if operation.spans == Spans::Ownership && owned != [true; 2] && tally.problems.is_empty() {
        tally.problems.push(format!("no victim that owned it, or none that didn't: {owned:?}"));
    }
    tally
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("something").to_owned()
}

fn points<B: Backend>(path: Path, depth: Depth) -> KillPoints {
    let points = match (depth, path, tells_of_deaths::<B>()) {
        (Depth::Full, Path::Fast | Path::Slow, _) | (_, Path::Fast, true) => KillPoints::each(),
        (Depth::Short, Path::Slow, true) => KillPoints::changes(),
        (Depth::Short, Path::Long, _) => KillPoints::calls(),
        (Depth::Full, Path::Long, _) => KillPoints::changes(),
        (Depth::Short, _, false) => KillPoints::each().sampled(LEAST, MOST),
    };
    points.of_one_image()
}

/// Kills one victim, and says what was seen before; `None` if the schedule wasn't met.
fn kill_one<B: Backend>(
    cast: &Cast<B>,
    operation: &Operation<B>,
    setting: Setting,
    send: impl FnOnce(&Stepper) -> Came,
) -> Result<Option<Seen>, Problem> {
    let Cast { actors, zygote, stage } = cast;
    let is_told = tells_of_deaths::<B>() && !operation.sleepers.iter().any(|act| act.naps());
    let noticed = if is_told { Noticed::ByState } else { Noticed::ByTime };
    let all = |actor: &Actor, acts: &[Act]| acts.iter().for_each(|act| _ = actor.does(*act));
    let sleepers: Vec<&Actor> = actors[SLEEPERS..SLEEPERS + setting.sleepers()].iter().collect();
    if !operation.corpse.is_empty() {
        let corpse = zygote.fork();
        all(&corpse, operation.corpse);
        corpse.kill();
        all(&actors[THIRD], operation.bury);
    }
    let victim = zygote.fork();
    all(&victim, operation.before);
    if setting.has_holder() {
        all(&actors[HOLDER], operation.hold);
    }
    let fall_asleep = || {
        sleepers.iter().zip(operation.sleepers).for_each(|(sleeper, act)| sleeper.sleeps_in(act));
        (operation.ready)(&stage.scene, sleepers.len() as u32);
    };
    let (mut met, mut barged) = (true, false);
    let before;
    let stepper = if setting.is_woken() {
        all(&victim, operation.then);
        let stepper = victim.step_through(operation.act);
        stepper.run_until_asleep();
        fall_asleep();
        before = (operation.look)(&stage.scene, victim.tid);
        all(&actors[HOLDER], operation.release);
        // Who looked up by itself just now does something else.
        met = matches!(stepper.stopped(), Stop::Exit { result: 0.. });
        if setting == Setting::Barged {
            let took = operation.barge.iter().map(|act| actors[THIRD].does(*act)).collect::<Vec<_>>();
            barged = took.iter().all(|answer| matches!(answer, Answer::Done | Answer::Poisoned));
            met &= barged;
        }
        stepper
    } else {
        fall_asleep();
        all(&victim, operation.then);
        let stepper = victim.step_through(operation.act);
        before = (operation.look)(&stage.scene, victim.tid);
        stepper
    };
    if met {
        send(&stepper);
    }
    let seen = (operation.look)(&stage.scene, victim.tid);
    let slept = sleepers.iter().map(|sleeper| sleeper.is_asleep()).collect();
    stepper.kill();
    drop(victim);
    match setting {
        Setting::Waiter => all(&actors[HOLDER], operation.release),
        Setting::Barged if barged => all(&actors[THIRD], operation.unbarge),
        _ => {}
    }
    let others = [&actors[HOLDER], &actors[THIRD]];
    let round = Round { stage, zygote, sleepers, slept, setting, before, seen, noticed, others };
    (operation.judge)(&round)?;
    Ok(met.then_some(seen))
}
