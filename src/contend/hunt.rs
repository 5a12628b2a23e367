//! The plans of a contest, one after another; the first that fails is shrunk.
//!
//! Each plan has a seed of its own, from the contest's seed and the plan's number, so that a token can name it: those two,
//! and the steps in which it was shrunk. A plan may fail only now and then. So a smaller one is run several times, the
//! more the rarer the first one failed.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::Subject;
use super::contest::Options;
use super::history::History;
use super::plan::{Plan, plans};
use super::report::{Error, Failure, Problem, Report};
use super::token::{Move, Token};
use super::trial::{self, Trial};
use crate::Shm;
use crate::region::Anonymous;

/// How often a plan that is replayed is run, and for how long, until it fails.
const REPLAYS: u32 = 1000;
const REPLAY_FOR: Duration = Duration::from_secs(10);

/// How often, and for how long, a plan that failed is run to see how often it does.
const RUNS: u32 = 60;
const RUN_FOR: Duration = Duration::from_secs(1);

/// How often a smaller plan is run before it counts as one that doesn't fail.
const FEWEST: u32 = 12;
const MOST: u32 = 300;

/// How often it has to fail meanwhile, lest plans that fail ever more rarely take the place of the first; once is enough
/// where a failure takes long to find out.
const FAILURES: u32 = 3;
const LONG: Duration = Duration::from_millis(100);

/// A contest being run, in the zygote.
pub(super) struct Hunt<'a, S: Subject> {
    pub(super) subject: &'a S,
    pub(super) options: &'a Options,
    history: &'static History,
    /// Called after each run: somebody outside waits for signs of life.
    alive: &'a mut dyn FnMut(),
    /// Which contest of its test this is, and how to run the test again.
    contest: u32,
    command: &'a dyn Fn(&str) -> String,
}

impl<'a, S: Subject> Hunt<'a, S> {
    pub(super) fn new(
        subject: &'a S,
        options: &'a Options,
        alive: &'a mut dyn FnMut(),
        contest: u32,
        command: &'a dyn Fn(&str) -> String,
    ) -> Result<Self, Error> {
        let history = Shm::create_zeroed_in(&Anonymous::new()).map_err(|error| Error::system("mmap", error))?;
        // A zygote has one contest, and signal handlers need it to the end.
        let history: &'static Shm<History> = Box::leak(Box::new(history));
        Ok(Hunt { subject, options, history, alive, contest, command })
    }

    /// Runs plans until one fails or all are done.
    pub(super) fn run(&mut self, seed: u64) -> Result<Report, Error> {
        let started = Instant::now();
        let mut report = Report { seed, ..Report::default() };
        let strategy = plans(self.subject.ops(), self.options);
        for number in 0..self.options.plans {
            let mut tree = grow(&strategy, seed, number)?;
            let plan = tree.current();
            let trial = self.run_once(&plan)?;
            trial.count(&mut report);
            if trial.problem().is_some() {
                report.elapsed = started.elapsed();
                let token = Token { contest: self.contest, seed, plan: number, moves: Vec::new(), check: 0 };
                return Err(self.shrink(&mut tree, plan, trial, token, report)?.into_error());
            }
        }
        report.elapsed = started.elapsed();
        Ok(report)
    }

    /// Runs one plan until it fails, or often enough.
    pub(super) fn replay(&mut self, token: &Token) -> Result<Report, Error> {
        let started = Instant::now();
        let strategy = plans(self.subject.ops(), self.options);
        let mut tree = grow(&strategy, token.seed, token.plan)?;
        let first = tree.current();
        for step in &token.moves {
            match step {
                Move::Simpler => tree.simplify(),
                Move::Back => tree.complicate(),
            };
        }
        let plan = tree.current();
        if check(&plan) != token.check {
            return Err(
                token.refused("its plan was made by other options, or from other operations, than there are now")
            );
        }
        let mut report = Report { seed: token.seed, ..Report::default() };
        while report.plans < REPLAYS.into() && started.elapsed() < REPLAY_FOR {
            let trial = self.run_once(&plan)?;
            trial.count(&mut report);
            report.elapsed = started.elapsed();
            if trial.problem().is_some() {
                let runs = self.run_again(&plan)?;
                let found = Found { plan, trial, token: token.clone(), shrunk_from: first.operations(), runs, report };
                return Err(self.failure(found).into_error());
            }
        }
        Ok(report)
    }

    fn run_once(&mut self, plan: &Plan<S::Op>) -> Result<Trial, Error> {
        let trial = trial::run(self.subject, self.options, self.history, plan);
        (self.alive)();
        trial
    }

    /// How often a plan was run again, and how often it failed.
    fn run_again(&mut self, plan: &Plan<S::Op>) -> Result<(u32, u32), Error> {
        let started = Instant::now();
        let (mut runs, mut failures) = (0, 0);
        while runs < RUNS && failures < RUNS / 4 && (runs == 0 || started.elapsed() < RUN_FOR) {
            runs += 1;
            failures += u32::from(self.run_once(plan)?.problem().is_some());
        }
        Ok((runs, failures))
    }

    fn shrink(
        &mut self,
        tree: &mut impl ValueTree<Value = Plan<S::Op>>,
        plan: Plan<S::Op>,
        trial: Trial,
        mut token: Token,
        report: Report,
    ) -> Result<Failure, Error> {
        let started = Instant::now();
        let shrunk_from = plan.operations();
        let (runs, failures) = self.run_again(&plan)?;
        // So often that one that fails as rarely is hardly ever missed, and one that fails much more rarely is.
        let runs = (2 * FAILURES * (runs + 1) / (failures + 1)).clamp(FEWEST, MOST);

        let mut best = (plan, trial);
        let mut moves = Vec::new();
        // Trees offer the same plan several times.
        let mut known = HashMap::from([(check(&best.0), true)]);
        let mut fails = true;
        loop {
            let (step, moved) = match fails {
                true => (Move::Simpler, tree.simplify()),
                false => (Move::Back, tree.complicate()),
            };
            if !moved || started.elapsed() >= self.options.shrink_for {
                break;
            }
            moves.push(step);
            let plan = tree.current();
            let key = check(&plan);
            fails = match known.get(&key) {
                Some(fails) => *fails,
                None => {
                    let failed = self.fails_alike(&plan, best.1.problem(), runs, started)?;
                    let fails = failed.is_some();
                    known.insert(key, fails);
                    if let Some(trial) = failed {
                        best = (plan, trial);
                    }
                    fails
                }
            };
            if fails && key == check(&best.0) {
                token.moves.clone_from(&moves);
            }
        }
        let (plan, trial) = best;
        token.check = check(&plan);
        let runs = self.run_again(&plan)?;
        Ok(self.failure(Found { plan, trial, token, shrunk_from, runs, report }))
    }

    /// Runs a plan so often, until it has had the same problem often enough.
    fn fails_alike(
        &mut self,
        plan: &Plan<S::Op>,
        problem: Option<&Problem>,
        runs: u32,
        started: Instant,
    ) -> Result<Option<Trial>, Error> {
        let mut failures = 0;
        for run in 0..runs {
            let since = Instant::now();
            let trial = self.run_once(plan)?;
            if trial.problem().map(std::mem::discriminant) == problem.map(std::mem::discriminant) {
                failures += 1;
                if failures == FAILURES || since.elapsed() >= LONG {
                    return Ok(Some(trial));
                }
            }
            let is_hopeless = failures + (runs - run - 1) < FAILURES;
            if is_hopeless || started.elapsed() >= self.options.shrink_for {
                break;
            }
        }
        Ok(None)
    }

    fn failure(&self, found: Found<S::Op>) -> Failure {
        let Found { trial, token, shrunk_from, runs, report, .. } = found;
        let replay = token.to_string();
        let command = (self.command)(&replay);
        let problem = trial.problem().cloned().unwrap_or(Problem::WrongAnswers);
        Failure { problem, schedule: trial.schedule, replay, command, shrunk_from, runs, report }
    }
}

/// A plan that fails, and all that is known of it.
struct Found<Op> {
    #[expect(dead_code, reason = "its trial has it in words")]
    plan: Plan<Op>,
    trial: Trial,
    token: Token,
    shrunk_from: usize,
    runs: (u32, u32),
    report: Report,
}

impl Failure {
    fn into_error(self) -> Error {
        Error::Failed(Box::new(self))
    }
}

fn grow<V: Strategy>(strategy: &V, seed: u64, number: u64) -> Result<V::Tree, Error> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    let config = Config { failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let tree = strategy.new_tree(&mut TestRunner::new_with_rng(config, rng));
    tree.map_err(|reason| Error::NoOperations { message: reason.to_string() })
}

/// A number that tells plans apart.
fn check(plan: &impl Debug) -> u32 {
    let mut hasher = DefaultHasher::new();
    format!("{plan:?}").hash(&mut hasher);
    hasher.finish() as u32
}
