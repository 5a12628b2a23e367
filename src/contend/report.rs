//! What a contest comes to: [`Report`], or an [`Error`], which may be a [`Failure`] with its [`Schedule`].

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a contest did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// Plans that were run, each to its end; those that only served to shrink a failing one are not counted.
    pub plans: u64,
    /// Operations that began.
    pub operations: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// Those of them that were in an operation at that moment.
    pub kills_inside: u64,
    /// How often a worker was stalled in the middle of what it did.
    pub stalls: u64,
    /// The longest that an operation took which came to its end.
    pub longest_wait: Duration,
    /// That operation, as its `Debug` has it.
    pub longest_operation: String,
    /// Plans whose answers and final state nobody knows to be right or wrong: there were too many orders to try.
    pub undecided: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// What all plans were made from.
    pub seed: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} plans: {} operations, {} kills ({} inside an operation), {} stalls; longest wait {:?}",
            self.plans, self.operations, self.kills, self.kills_inside, self.stalls, self.longest_wait
        )?;
        if !self.longest_operation.is_empty() {
            write!(f, " in {}", self.longest_operation)?;
        }
        if self.undecided > 0 {
            write!(f, "; {} plans had too many orders to try them all", self.undecided)?;
        }
        write!(f, "; {:.1} s, seed {:#x}", self.elapsed.as_secs_f64(), self.seed)
    }
}

/// Why a contest has no [`Report`].
#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Error {
    /// A plan failed: what was tested is wrong, or its model is.
    #[error("{0}")]
    Failed(Box<Failure>),

    /// An option has a value with which nothing can be run.
    #[error("{option}({value}) can't be: {advice}")]
    BadOption {
        /// The method of [`Contest`](super::Contest), or the variable in the environment.
        option: String,
        /// What it was given.
        value: String,
        /// What to give it.
        advice: String,
    },

    /// What is to be replayed isn't what these plans were made from.
    #[error("{token:?} can't be replayed: {why}")]
    BadReplay {
        /// What was given.
        token: String,
        /// What is wrong with it.
        why: String,
    },

    /// The program, started again, didn't come to this contest.
    #[error(
        "{command}, which is this program again, ended with {status} and didn't come to this contest; call it before \
         anything that may fail, in the same order each time, and in a test of another name than its thread's \
         say which with test()"
    )]
    NotReached {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: String,
    },

    /// The program, started again, came to this contest and says nothing more.
    #[error("{command} is stuck outside of the plans: look at ops() and create(), which may not wait for anything")]
    Stuck {
        /// The program and its arguments.
        command: String,
    },

    /// The process that makes the plans has more threads than its own and the one that waits for it.
    #[error(
        "{threads} threads run where processes are to be forked, which may hold locks that the processes then miss: \
         run the contest before you start any"
    )]
    OtherThreads {
        /// How many there are.
        threads: usize,
    },

    /// What is shared couldn't be made.
    #[error("create() failed: {message}")]
    NotCreated {
        /// What it returned.
        message: String,
    },

    /// The strategy of operations rejected too much.
    #[error("ops() makes no operations: {message}")]
    NoOperations {
        /// What proptest says.
        message: String,
    },

    /// The system refused something that the contest itself needs.
    #[error("{call} failed: {message}; a contest needs a few processes, descriptors and pages of memory")]
    System {
        /// The call.
        call: String,
        /// What the system says.
        message: String,
    },
}

impl Error {
    pub(super) fn system(call: &str, why: impl fmt::Display) -> Error {
        Error::System { call: call.into(), message: why.to_string() }
    }

    pub(super) fn option(option: &str, value: impl fmt::Debug, advice: impl Into<String>) -> Error {
        Error::BadOption { option: option.into(), value: format!("{value:?}"), advice: advice.into() }
    }

    /// The failure, if that is what it is.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Error::Failed(failure) => Some(failure),
            _ => None,
        }
    }
}

/// A plan that failed, as small as it could be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// What went wrong.
    pub problem: Problem,
    /// The plan, with what came of each operation.
    pub schedule: Schedule,
    /// Where the schedule comes from: for `PSHARED_CONTEND_REPLAY` or [`replay`](super::Contest::replay).
    pub replay: String,
    /// The command that replays it.
    pub command: String,
    /// How many operations the plan had that failed first.
    pub shrunk_from: usize,
    /// How often the smallest plan was run at the end, and how often it failed.
    pub runs: (u32, u32),
    /// What was done until the first plan failed.
    pub report: Report,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (runs, failures) = self.runs;
        write!(f, "{}\n\n{}", self.problem, self.schedule)?;
        writeln!(
            f,
            "This is plan {}, shrunk from {} operations to {}; run {runs} times more, it failed {failures} times.",
            self.report.plans,
            self.shrunk_from,
            self.schedule.operations()
        )?;
        writeln!(f, "To run it again: {}", self.command)?;
        writeln!(f, "or, in the code: Contest::replay({:?})", self.replay)?;
        write!(f, "Until then: {}", self.report)
    }
}

/// What went wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Problem {
    /// Nobody began or ended anything for the whole deadline.
    Hang {
        /// How long.
        deadline: Duration,
        /// Who was in the middle of what.
        who: Vec<String>,
    },
    /// An operation panicked.
    Panic {
        /// The worker's number.
        worker: usize,
        /// The panic's message and place.
        message: String,
    },
    /// A process ended that nobody killed.
    Died {
        /// The worker's number.
        worker: usize,
        /// How it ended.
        how: String,
    },
    /// [`invariants`](super::Subject::invariants) panicked, or [`state`](super::Subject::state) did.
    Invariant {
        /// The panic's message and place.
        message: String,
    },
    /// In no order of the operations does the model answer as they did.
    WrongAnswers,
    /// Some orders give these answers, but none ends in what is there.
    WrongState {
        /// What [`state`](super::Subject::state) says.
        found: String,
        /// Some of the states that would have been right.
        possible: Vec<String>,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Hang { deadline, who } => {
                write!(f, "it hangs: for {deadline:?} nothing went on, with {}", who.join(", "))
            }
            Problem::Panic { worker, message } => write!(f, "worker {worker} panicked: {message}"),
            Problem::Died { worker, how } => write!(f, "worker {worker} ended by itself: {how}"),
            Problem::Invariant { message } => write!(f, "an invariant is violated: {message}"),
            Problem::WrongAnswers => f.write_str("wrong answers: no order of the operations gives all of them"),
            Problem::WrongState { found, possible } => {
                write!(f, "wrong final state {found}: the operations, in any order, end in {}", possible.join(" or "))
            }
        }
    }
}

/// A plan in words: for each worker what it does, one after another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    pub(super) threads: bool,
    pub(super) workers: Vec<Vec<String>>,
}

impl Schedule {
    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// How many operations they do together.
    pub fn operations(&self) -> usize {
        self.workers.iter().map(Vec::len).sum()
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.threads { "thread" } else { "process" };
        writeln!(f, "schedule, all started together:")?;
        for (number, lines) in self.workers.iter().enumerate() {
            writeln!(f, "  {what} {number}")?;
            lines.iter().enumerate().try_for_each(|(at, line)| writeln!(f, "    {}. {line}", at + 1))?;
        }
        Ok(())
    }
}
