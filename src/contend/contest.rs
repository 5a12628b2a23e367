//! The options of a contest.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::report::{Error, Report};
use super::{Subject, zygote};

/// The most processes, or threads, of a plan.
pub(super) const MOST_PROCESSES: usize = 16;

/// The most operations of one of them.
pub(super) const MOST_OPERATIONS: usize = 64;

/// A [`Subject`] and how it is to be tested; [`run`](Contest::run) does it.
///
/// Without any options: 200 plans for 2 to 4 processes with 1 to 6 operations each, a quarter of the processes killed.
#[derive(Clone, Debug)]
#[must_use = "nothing is tested before run() or passes()"]
pub struct Contest<S> {
    pub(super) subject: S,
    pub(super) options: Options,
}

/// What to run, and how.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) plans: u64,
    pub(super) processes: RangeInclusive<usize>,
    pub(super) operations: RangeInclusive<usize>,
    /// `None`: as often as it is possible and usual.
    pub(super) kill_rate: Option<f64>,
    pub(super) kill_within: Duration,
    pub(super) pauses: Duration,
    pub(super) deadline: Duration,
    pub(super) shrink_for: Duration,
    pub(super) stepping: bool,
    pub(super) one_core: bool,
    pub(super) threads: bool,
    pub(super) seed: Option<u64>,
    pub(super) replay: Option<String>,
    pub(super) test: Option<String>,
}

/// How many processes are killed where nobody says.
const KILL_RATE: f64 = 0.25;

impl Options {
    /// How many of the workers are killed.
    pub(super) fn kill_rate(&self) -> f64 {
        self.kill_rate.unwrap_or(if self.threads { 0.0 } else { KILL_RATE })
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let in_range = |option: &str, range: &RangeInclusive<usize>, most: usize| {
            let is_good = 1 <= *range.start() && range.start() <= range.end() && *range.end() <= most;
            let advice = || format!("give it a range within 1..={most} that isn't empty");
            if is_good { Ok(()) } else { Err(Error::option(option, range, advice())) }
        };
        in_range("processes", &self.processes, MOST_PROCESSES)?;
        in_range("operations", &self.operations, MOST_OPERATIONS)?;
        if self.plans == 0 {
            return Err(Error::option("plans", self.plans, "run one at least"));
        }
        if let Some(rate) = self.kill_rate {
            if !(0.0..=1.0).contains(&rate) {
                return Err(Error::option("kill_rate", rate, "it is a share of the processes, from 0.0 to 1.0"));
            }
            if self.threads && rate > 0.0 {
                return Err(Error::option(
                    "kill_rate",
                    rate,
                    "threads can't be killed: leave out threads(), or kill nobody",
                ));
            }
        }
        if self.kill_within > LONGEST {
            return Err(Error::option("kill_within", self.kill_within, format!("a kill comes within {LONGEST:?}")));
        }
        if self.deadline < SHORTEST || self.deadline > DAY {
            return Err(Error::option(
                "deadline",
                self.deadline,
                format!("give it a time from {SHORTEST:?} to {DAY:?}"),
            ));
        }
        if self.pauses > LONGEST || self.pauses * 4 > self.deadline {
            let most = LONGEST.min(self.deadline / 4);
            return Err(Error::option(
                "pauses",
                self.pauses,
                format!("a pause must not look like a hang: allow {most:?} at most, or a longer deadline"),
            ));
        }
        Ok(())
    }
}

const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(86_400);

impl<S: Subject> Contest<S> {
    /// A contest with the usual options.
    pub fn new(subject: S) -> Self {
        let options = Options {
            plans: 200,
            processes: 2..=4,
            operations: 1..=6,
            kill_rate: None,
            kill_within: Duration::from_micros(200),
            pauses: Duration::from_micros(200),
            deadline: Duration::from_secs(5),
            shrink_for: Duration::from_secs(10),
            stepping: true,
            one_core: false,
            threads: false,
            seed: None,
            replay: None,
            test: None,
        };
        Contest { subject, options }
    }

    /// How many plans to run; 200. A plan with three processes takes about a millisecond.
    pub fn plans(mut self, plans: u64) -> Self {
        self.options.plans = plans;
        self
    }

    /// How many processes take part in a plan, at least and at most; `2..=4`, and 16 at most.
    pub fn processes(mut self, processes: RangeInclusive<usize>) -> Self {
        self.options.processes = processes;
        self
    }

    /// How many operations each of them does, at least and at most; `1..=6`, and 64 at most. Checking them against the
    /// model takes exponentially longer the more of them overlap.
    pub fn operations(mut self, operations: RangeInclusive<usize>) -> Self {
        self.options.operations = operations;
        self
    }

    /// Which share of the processes is killed, from 0.0 to 1.0; 0.25, and 0.0 for threads.
    pub fn kill_rate(mut self, share: f64) -> Self {
        self.options.kill_rate = Some(share);
        self
    }

    /// The longest time between the beginning of an operation and the kill; 200 µs. Each order of magnitude up to there is
    /// as likely as another. Where operations sleep for long, a longer time kills more of the sleepers.
    pub fn kill_within(mut self, longest: Duration) -> Self {
        self.options.kill_within = longest;
        self
    }

    /// The longest pause before an operation, and the longest stall in the middle of one, each of which some have; 200 µs.
    /// Zero: none.
    ///
    /// A stall is a signal, SIGURG, whose handler sleeps: the worker stands still where it is. System calls go on
    /// afterwards where signal(7) says so of `SA_RESTART`; the others return `EINTR`.
    pub fn pauses(mut self, longest: Duration) -> Self {
        self.options.pauses = longest;
        self
    }

    /// How long all may do nothing before it counts as a hang; 5 s. Longer than anything that an operation may wait for.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.options.deadline = deadline;
        self
    }

    /// How long to look for a smaller plan that fails too; 10 s.
    pub fn shrink_for(mut self, time: Duration) -> Self {
        self.options.shrink_for = time;
        self
    }

    /// Leaves out the kills and stalls after so many instructions, and has only those after some time.
    ///
    /// On x86-64 half of them are of the first kind, which find more and can be repeated, at one to ten microseconds for each
    /// instruction until then, of which there are 1000 at most. They come by SIGTRAP: leave them out for operations that block all signals, as libc does
    /// while it starts a thread or a process.
    pub fn without_stepping(mut self) -> Self {
        self.options.stepping = false;
        self
    }

    /// Keeps all workers on one processor: they take turns instead of running at once.
    pub fn one_core(mut self) -> Self {
        self.options.one_core = true;
        self
    }

    /// Threads of one process instead of processes. Nobody is killed then.
    pub fn threads(mut self) -> Self {
        self.options.threads = true;
        self
    }

    /// What to make the plans from; otherwise a random number, or `PSHARED_CONTEND_SEED`. The same seed and options make the
    /// same plans, which may run differently.
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.seed = Some(seed);
        self
    }

    /// Runs only the plan that a [`Failure`](super::Failure) names, up to a thousand times or for ten seconds, until it fails
    /// again. `PSHARED_CONTEND_REPLAY` does the same for the contest that the failure came from.
    pub fn replay(mut self, token: &str) -> Self {
        self.options.replay = Some(token.into());
        self
    }

    /// The test that calls this, as `cargo test NAME -- --exact` has it. Otherwise it is the name of the thread, as
    /// `cargo test` gives it, or, on the main thread, the whole program with its arguments.
    pub fn test(mut self, name: &str) -> Self {
        self.options.test = Some(name.into());
        self
    }

    /// Runs the plans.
    ///
    /// The program is started again, with standard output closed, and comes to this call there too, where it forks the
    /// workers; the call returns in the first process only.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`]: a plan failed. [`Error::BadOption`], [`Error::BadReplay`]: nothing was run. All others: it couldn't
    /// be run to its end.
    pub fn run(self) -> Result<Report, Error> {
        self.options.check()?;
        zygote::run(&self)
    }

    /// [`run`](Contest::run) in a test: prints the report.
    ///
    /// # Panics
    ///
    /// With the failing schedule, or whatever else is the error.
    #[track_caller]
    pub fn passes(self) -> Report {
        match self.run() {
            Ok(report) => {
                println!("{report}");
                report
            }
            Err(error) => panic!("{error}"),
        }
    }
}
