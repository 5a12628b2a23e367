//! Property tests of contention: random plans for real processes, some of which are killed, and a model to compare with.
//! (Feature `contend`.)
mod contest;
mod history;
mod hunt;
mod judge;
mod plan;
mod report;
mod token;
mod trial;
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
