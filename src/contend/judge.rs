//! Whether what happened could have happened one at a time: the search for an order of the operations in which the
//! model answers as they did and ends as they left it (after Wing & Gong, with the states seen kept).
//!
//! An operation comes before another in every order if it ended before that one began. One whose worker was killed may
//! come at any time after it began, and leaves what [`Subject::killed`] says.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::Subject;
use super::history::{Answer, History, Seen};
use super::plan::Plan;
use super::report::Problem;

/// What came of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Verdict {
    Good,
    /// Too many orders to try them all.
    Undecided,
    Bad(Problem),
}

/// How often the model is asked before the search is given up.
const PATIENCE: usize = 200_000;

/// How many of the possible states a report names.
const NAMED: usize = 4;

struct Search<'a, S: Subject> {
    subject: &'a S,
    history: &'a History,
    plan: &'a Plan<S::Op>,
    seen: Vec<Vec<Seen>>,
    found: S::Model,
    /// For how many operations of each worker are done: the states that were tried.
    tried: HashMap<Vec<usize>, Vec<S::Model>>,
    /// States at the end of an order that gives the answers.
    ends: Vec<S::Model>,
    asked: usize,
}

/// `found` is the final state.
pub(super) fn judge<S: Subject>(subject: &S, plan: &Plan<S::Op>, history: &History, found: S::Model) -> Verdict {
    let seen_by = |worker: usize| (0..plan.workers[worker].steps.len()).map(move |at| history.seen(worker, at));
    let began = |seen: &Seen| *seen != Seen::Nothing;
    let seen = (0..plan.workers.len()).map(|worker| seen_by(worker).take_while(began).collect()).collect();
    let mut search = Search { subject, history, plan, seen, found, tried: HashMap::new(), ends: Vec::new(), asked: 0 };
    if search.go_on(&mut vec![0; plan.workers.len()], subject.model()) {
        return Verdict::Good;
    }
    if search.asked > PATIENCE {
        return Verdict::Undecided;
    }
    Verdict::Bad(match search.ends.as_slice() {
        [] => Problem::WrongAnswers,
        ends => Problem::WrongState {
            found: format!("{:?}", search.found),
            possible: ends.iter().take(NAMED).map(|end| format!("{end:?}")).collect(),
        },
    })
}

impl<S: Subject> Search<'_, S> {
    /// Whether an order exists that begins with what is `done` and leads to `model`.
    fn go_on(&mut self, done: &mut Vec<usize>, model: S::Model) -> bool {
        let tried = self.tried.entry(done.clone()).or_default();
        if tried.contains(&model) {
            return false;
        }
        tried.push(model.clone());

        let next: Vec<(usize, Seen)> =
            (0..done.len()).filter_map(|worker| Some((worker, self.seen[worker].get(done[worker])?.clone()))).collect();
        if next.is_empty() {
            if model == self.found {
                return true;
            }
            if !self.ends.contains(&model) {
                self.ends.push(model);
            }
            return false;
        }
        // What began after something else of these had ended comes later.
        let first_end = next.iter().map(|(_, seen)| end_of(seen)).min().unwrap_or(u64::MAX);
        for (worker, seen) in next {
            if beginning_of(&seen) > first_end {
                continue;
            }
            let op = &self.plan.workers[worker].steps[done[worker]].op;
            self.asked += 1;
            self.history.now(); // so that it doesn't look like a hang
            if self.asked > PATIENCE {
                return false;
            }
            let models = match &seen {
                Seen::Done { answer, .. } => {
                    let mut after = model.clone();
                    let expected = Answer::of(&self.subject.apply(&mut after, op));
                    if expected == *answer { vec![after] } else { Vec::new() }
                }
                _ => self.subject.killed(&model, op),
            };
            for after in models {
                done[worker] += 1;
                let found = self.go_on(done, after);
                done[worker] -= 1;
                if found {
                    return true;
                }
            }
        }
        false
    }
}

fn beginning_of(seen: &Seen) -> u64 {
    match seen {
        Seen::Nothing => u64::MAX,
        Seen::Begun { began } | Seen::Done { began, .. } => *began,
    }
}

fn end_of(seen: &Seen) -> u64 {
    match seen {
        Seen::Done { ended, .. } => *ended,
        Seen::Nothing | Seen::Begun { .. } => u64::MAX,
    }
}
