//! Property tests of contention: random plans for real processes, some of which are killed, and a model to compare with.
//! (Feature `contend`.)
//!
//! You say what stands in shared memory, what processes do with it, and what a sequential program would do: a
//! [`Subject`]. A [`Contest`] makes plans of it, runs them, and prints a small one that fails.
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
//!
//! use proptest::prelude::*;
//! use pshared::contend::{Contest, Problem, Subject};
//!
//! /// A counter that looks first and counts then.
//! struct Counting;
//!
//! impl Subject for Counting {
//!     type Shared = AtomicU64; // stands in shared memory
//!     type Op = u64; // so much to add
//!     type Answer = u64; // what it was before
//!     type Model = u64;
//!
//!     fn create(&self) -> pshared::Result<AtomicU64> {
//!         Ok(AtomicU64::new(0))
//!     }
//!     fn ops(&self) -> impl Strategy<Value = u64> {
//!         1..10_u64
//!     }
//!     fn run(&self, count: &AtomicU64, more: &u64) -> u64 {
//!         let before = count.load(Relaxed);
//!         count.store(before + more, Relaxed); // somebody else may have counted meanwhile
//!         before
//!     }
//!     fn model(&self) -> u64 {
//!         0
//!     }
//!     fn apply(&self, count: &mut u64, more: &u64) -> u64 {
//!         *count += more;
//!         *count - more
//!     }
//!     fn state(&self, count: &AtomicU64) -> u64 {
//!         count.load(Relaxed)
//!     }
//! }
//!
//! # fn main() { // doctests have no #[test]
//! // In a #[test]: Contest::new(Counting).passes();
//! let error = Contest::new(Counting).plans(20_000).run().unwrap_err();
//! println!("{error}");
//! let failure = error.failure().unwrap();
//! assert!(matches!(failure.problem, Problem::WrongAnswers | Problem::WrongState { .. }));
//! # }
//! ```
//!
//! It prints, within a second or two:
//!
//! ```text
//! wrong answers: no order of the operations gives all of them
//!
//! schedule, all started together:
//!   process 0
//!     1. 1   → 0 (events 2 to 3)
//!   process 1
//!     1. 2, stalled 11 instructions in until the others have ended an operation   → 0 (events 1 to 4)
//! This is plan 13, shrunk from 17 operations to 2; run 15 times more, it failed 15 times.
//! To run it again: PSHARED_CONTEND_REPLAY=f0167f7a-e08704200dc27ac-c-s1b1s3-d5d3fd81 cargo test counting -- --exact
//! or, in the code: Contest::replay("f0167f7a-e08704200dc27ac-c-s1b1s3-d5d3fd81")
//! Until then: 13 plans: 142 operations, 7 kills (3 inside an operation), 19 stalls; longest wait 1.4 ms in 1; 0.1 s, …
//! ```
//!
//! `examples/contend` has this counter, a seqlock without a fence, and a lock word without an owner, and each of them repaired.
//!
//! # What a plan is
//!
//! Some processes (or [threads](Contest::threads)), with some operations each. They start together. Before an operation
//! there may be a pause; in the middle of it the process may be stalled, or killed by SIGKILL: some time after its beginning,
//! or (on x86-64) after so many instructions, which the process runs one by one while the others begin nothing. A stall of
//! that kind ends when the others have ended some operations, or after 5 ms. So a plan of that kind runs much the same each
//! time, and what is found in it can be found again; others are up to the scheduler.
//!
//! # What is checked, after every plan
//!
//! - **No hang**: as long as the [deadline](Contest::deadline), nobody begins or ends an operation. The time that a process
//!   waits for a processor isn't counted (up to ten times the deadline).
//! - **No panic** in an operation, and no process that ends by itself.
//! - **[Invariants](Subject::invariants)**, in a process of their own, when all others have ended.
//! - **Answers and final state**: some order of the operations must exist in which the model gives the same answers and ends in
//!   the same [`state`](Subject::state). What had ended before something else began comes before it. Operations whose
//!   process was killed come at any time after they began, and leave one of the states that [`killed`](Subject::killed) says.
//!
//! The first plan that fails is shrunk: to fewer processes, operations, pauses, stalls and kills, and simpler operations. A race
//! doesn't show each time, so smaller plans are run several times, the more the rarer the first one failed.
//!
//! # To run one again
//!
//! The message of a failure has a token. `PSHARED_CONTEND_REPLAY=TOKEN` in the environment runs only that plan, up to a thousand
//! times, in the contest that it came from; [`Contest::replay`] keeps it in a test. A token stands for how its plan was made, so
//! it is void once [`ops`](Subject::ops) or the options change, and says so. `PSHARED_CONTEND_SEED` and
//! `PSHARED_CONTEND_PLANS` are [`seed`](Contest::seed) and [`plans`](Contest::plans) of all contests.
//!
//! # Where it runs
//!
//! The program is started again, with the one test that it is in (or, in a `main`, with the same arguments), and comes to the
//! contest once more; there, where nothing else runs, the workers are forked. So what stands before the contest in the
//! test runs twice, and must come to it each time, with no other threads started. Standard output of the second process is
//! closed, standard error isn't. Nothing of it outlives the test, however that ends.
//!
//! The memory is anonymous, for the workers only: nothing has a name that could be left behind.
//!
//! # Limits
//!
//! - 16 processes, 64 operations each. With more than a few overlapping operations the orders may be too many to try: after
//!   200 000 steps of the model a plan counts as [undecided](Report::undecided).
//! - A plan costs about a millisecond for its processes, and one to ten microseconds for each instruction that is stepped.
//! - Answers are compared as text, as their `Debug` writes it.
//! - Stalls are signals (SIGURG, SIGTRAP, with `SA_RESTART`): a system call that signal(7) names there returns `EINTR` in the
//!   middle of one. [`pauses`](Contest::pauses) of zero leave out all of them.
//! - A memory ordering that is too weak for another processor shows only on one where it matters, and if the compiler or the
//!   processor makes use of it in that run.

mod contest;
mod history;
mod hunt;
mod judge;
mod plan;
mod report;
mod token;
mod trial;
mod watch;
mod worker;
mod zygote;

use std::fmt::Debug;

use proptest::strategy::Strategy;

pub use contest::Contest;
pub use report::{Error, Failure, Problem, Report, Schedule};

use crate::ShmSafe;

/// What is contended for: a value in shared memory, what processes do with it, and what should come of that.
pub trait Subject: Sync {
    /// What stands in shared memory; a new one for each plan.
    type Shared: ShmSafe;
    /// What a process can do with it, one thing at a time.
    type Op: Clone + Debug + Sync;
    /// What an operation says when it is done. It is compared as the text that its `Debug` writes.
    type Answer: Debug;
    /// The sequential model: all that matters of `Shared`, in ordinary types.
    type Model: Clone + Debug + PartialEq;

    /// Makes the value.
    ///
    /// # Errors
    ///
    /// What making it returns; the contest ends with [`Error::NotCreated`].
    fn create(&self) -> crate::Result<Self::Shared>;

    /// The operations to choose from.
    fn ops(&self) -> impl Strategy<Value = Self::Op>;

    /// In a worker: does it. A panic is a failure of the plan.
    fn run(&self, shared: &Self::Shared, op: &Self::Op) -> Self::Answer;

    /// The model of what [`create`](Subject::create) makes.
    fn model(&self) -> Self::Model;

    /// Does the same with the model, and says what the right answer is.
    fn apply(&self, model: &mut Self::Model, op: &Self::Op) -> Self::Answer;

    /// When all workers have ended: the state of the value, as the model would have it. It may take locks and repair
    /// what the dead have left; a panic is a failure of the plan, and so is a hang.
    fn state(&self, shared: &Self::Shared) -> Self::Model;

    /// Before that: panics (`assert!`) if the value isn't as it must always be when nobody is at work.
    fn invariants(&self, _shared: &Self::Shared) {}

    /// The states that `op` may leave if its process is killed in it. As it stands here: it was done, or not begun.
    fn killed(&self, model: &Self::Model, op: &Self::Op) -> Vec<Self::Model> {
        let mut done = model.clone();
        self.apply(&mut done, op);
        vec![model.clone(), done]
    }
}
