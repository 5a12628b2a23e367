//! Plans: who does what in a plan, with which pauses, and who is killed when; made and shrunk by proptest.

use std::fmt::{self, Debug};
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;

use super::contest::Options;
use super::report::Schedule;
use crate::sys::step;

/// One plan: a list of steps for each worker.
#[derive(Clone, Debug)]
pub(super) struct Plan<Op> {
    pub(super) workers: Vec<Work<Op>>,
}

#[derive(Clone, Debug)]
pub(super) struct Work<Op> {
    pub(super) steps: Vec<Step<Op>>,
    pub(super) kill: Option<Kill>,
}

/// An operation, and what happens to the worker before and in it.
#[derive(Clone, Debug)]
pub(super) struct Step<Op> {
    pub(super) pause: Duration,
    pub(super) op: Op,
    pub(super) stall: Option<Stall>,
}

/// The worker stands still in the middle of its operation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stall {
    /// After so many instructions, until the others have ended so many operations, or can't.
    Stepped { instructions: u32, others: u32 },
    /// So long after it began, at full speed, for so long.
    Timed { after: Duration, length: Duration },
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stall::Stepped { instructions, others: 1 } => {
                write!(f, "stalled {instructions} instructions in until the others have ended an operation")
            }
            Stall::Stepped { instructions, others } => {
                write!(f, "stalled {instructions} instructions in until the others have ended {others} operations")
            }
            Stall::Timed { after, length } => write!(f, "stalled {after:?} in for {length:?}"),
        }
    }
}

/// SIGKILL, in the operation of that step. One that ended sooner doesn't save the worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kill {
    pub(super) step: usize,
    pub(super) when: When,
}

/// A moment in an operation.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    /// After so many instructions, each of which takes its time. The same moment in every run, as far as the others let it.
    Instructions(u32),
    /// So long after it began, at full speed.
    After(Duration),
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            When::Instructions(instructions) => write!(f, "{instructions} instructions in"),
            When::After(time) => write!(f, "{time:?} in"),
        }
    }
}

impl<Op> Plan<Op> {
    /// How many operations it has.
    pub(super) fn operations(&self) -> usize {
        self.workers.iter().map(|work| work.steps.len()).sum()
    }
}

impl<Op: Debug> Plan<Op> {
    /// The plan in words; `came_of_it` tells what to write beside a worker's operation.
    pub(super) fn schedule(&self, threads: bool, came_of_it: impl Fn(usize, usize) -> String) -> Schedule {
        let describe = |(number, work): (usize, &Work<Op>)| {
            let line = |(at, step): (usize, &Step<Op>)| {
                let mut line = format!("{:?}", step.op);
                if !step.pause.is_zero() {
                    line = format!("after {:?}: {line}", step.pause);
                }
                if let Some(stall) = step.stall {
                    line += &format!(", {stall}");
                }
                if let Some(kill) = work.kill.filter(|kill| kill.step == at) {
                    line += &format!(", killed {}", kill.when);
                }
                line + &came_of_it(number, at)
            };
            work.steps.iter().enumerate().map(line).collect()
        };
        Schedule { threads, workers: self.workers.iter().enumerate().map(describe).collect() }
    }
}

/// All plans that the options allow.
pub(super) fn plans<Op: Clone + Debug>(
    ops: impl Strategy<Value = Op>,
    options: &Options,
) -> impl Strategy<Value = Plan<Op>> {
    let timed = (nanoseconds(STALLED_WITHIN), nanoseconds(options.pauses));
    let timed = timed.prop_map(|(after, length)| Stall::Timed { after, length });
    let stepped = (instructions(), 1..=MOST_OTHERS);
    let stepped = stepped.prop_map(|(instructions, others)| Stall::Stepped { instructions, others });
    let stall = either(options, stepped, timed);
    let (pauses, stalls) = if options.pauses.is_zero() { (0.0, 0.0) } else { (PAUSES, STALLS) };
    let pause = sometimes(pauses, nanoseconds(options.pauses)).prop_map(Option::unwrap_or_default);
    let step = (pause, ops, sometimes(stalls, stall)).prop_map(|(pause, op, stall)| Step { pause, op, stall });

    let after = nanoseconds(options.kill_within).prop_map(When::After);
    let when = either(options, instructions().prop_map(When::Instructions), after);
    let kill = (0..*options.operations.end(), when);
    let kill = sometimes(options.kill_rate(), kill.prop_map(|(step, when)| Kill { step, when }));
    let steps = prop::collection::vec(step, options.operations.clone());
    let work = (steps, kill).prop_map(|(steps, kill)| {
        let kill = kill.map(|kill| Kill { step: kill.step % steps.len(), ..kill });
        Work { steps, kill }
    });
    prop::collection::vec(work, options.processes.clone()).prop_map(|workers| Plan { workers })
}

/// How often a worker pauses before an operation, and is stalled in one.
const PAUSES: f64 = 0.4;
const STALLS: f64 = 0.2;

/// How many operations of others a stalled worker lets by at most.
const MOST_OTHERS: u32 = 3;

/// Operations that take longer are stalled near their beginning.
const STALLED_WITHIN: Duration = Duration::from_micros(50);

fn sometimes<S: Strategy + 'static>(rate: f64, what: S) -> BoxedStrategy<Option<S::Value>>
where
    S::Value: Clone + 'static,
{
    match rate {
        rate if rate <= 0.0 => Just(None).boxed(),
        rate if rate >= 1.0 => what.prop_map(Some).boxed(),
        rate => prop::option::weighted(rate, what).boxed(),
    }
}

/// Where it is possible, half of them by steps.
fn either<T: fmt::Debug + 'static>(
    options: &Options,
    stepped: impl Strategy<Value = T> + 'static,
    timed: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    if step::POSSIBLE && options.stepping { prop_oneof![stepped, timed].boxed() } else { timed.boxed() }
}

/// A fifth of them within the first 40, half within the first 250: more where most operations are, some in longer ones.
fn instructions() -> impl Strategy<Value = u32> + 'static {
    (0..=FINE).prop_map(|part| (part * part * MOST_INSTRUCTIONS / (FINE * FINE)).max(1))
}

/// How finely what is chosen from a scale is told apart.
const FINE: u32 = 1000;

/// Each takes about ten microseconds.
const MOST_INSTRUCTIONS: u32 = 1000;

fn nanoseconds(most: Duration) -> impl Strategy<Value = Duration> + 'static {
    scale(most.as_nanos() as f64).prop_map(|nanos| Duration::from_nanos(nanos as u64))
}

/// From 1 to `most`, each order of magnitude as likely as another: operations may take nanoseconds or milliseconds.
fn scale(most: f64) -> impl Strategy<Value = f64> + 'static {
    let most = most.max(1.0);
    (0..=FINE).prop_map(move |part| most.powf(f64::from(part) / f64::from(FINE)))
}
