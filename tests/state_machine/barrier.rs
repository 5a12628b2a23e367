//! `Barrier`: one for fewer than there are actors, one for all of them.

use pshared::backend::Backend;
use pshared::generic::Barrier;
use pshared::{BarrierWaitResult, Error, Result};

use super::{BRIEF, LONG, state_machine};
use crate::support::plans::{ACTORS, Expected, Subject};

state_machine!(for_two_and_for_three, Barriers, cases = 96);

#[derive(Clone, Copy, Debug)]
enum How {
    Wait,
    WaitForLong,
    /// Breaks it, unless all the others are there.
    WaitBriefly,
    Reset,
}
use How::*;

#[derive(Clone, Copy, Debug)]
struct Op {
    how: How,
    barrier: usize,
}

const fn each_with(barrier: usize) -> [Op; 8] {
    let mut ops = [Op { how: Wait, barrier }; 8];
    ops[5].how = WaitForLong;
    ops[6].how = WaitBriefly;
    ops[7].how = Reset;
    ops
}

struct Model {
    participants: usize,
    broken: bool,
    waiting: Vec<usize>,
    /// Whose round is over, and how that was.
    over: Vec<(usize, String)>,
}

impl Model {
    fn new(participants: usize) -> Model {
        Model { participants, broken: false, waiting: Vec::new(), over: Vec::new() }
    }

    /// The round is over for those who wait.
    fn end(&mut self, outcome: Result<BarrierLeader>) {
        let outcome = said(outcome);
        self.over.extend(self.waiting.drain(..).map(|actor| (actor, outcome.clone())));
    }

    fn told(&mut self, actor: usize, how: How) -> Expected {
        let outcome = match how {
            Reset => {
                self.end(Err(Error::BarrierBroken));
                self.broken = false;
                return Expected::Answer("done".into());
            }
            _ if self.broken => Err(Error::BarrierBroken),
            _ if self.waiting.len() + 1 == self.participants => {
                self.end(Ok(false));
                Ok(true)
            }
            WaitBriefly => {
                self.broken = true;
                self.end(Err(Error::BarrierBroken));
                Err(Error::TimedOut)
            }
            Wait | WaitForLong => {
                self.waiting.push(actor);
                return Expected::Sleep;
            }
        };
        Expected::Answer(said(outcome))
    }

    fn died(&mut self, actor: usize) {
        if self.waiting.contains(&actor) {
            self.broken = true;
            self.waiting.retain(|waiting| *waiting != actor);
            self.end(Err(Error::BarrierBroken));
        }
    }
}

/// Whether somebody is the leader: who comes last is.
type BarrierLeader = bool;

fn said(outcome: Result<BarrierLeader>) -> String {
    match outcome {
        Ok(true) => "leads".into(),
        Ok(false) => "follows".into(),
        Err(why) => format!("{why:?}"),
    }
}

struct Barriers<B: Backend> {
    each: [Model; 2],
    backend: std::marker::PhantomData<B>,
}

impl<B: Backend> Default for Barriers<B> {
    fn default() -> Self {
        Barriers { each: [2, 3].map(Model::new), backend: std::marker::PhantomData }
    }
}

impl<B: Backend> Subject for Barriers<B> {
    type Shared = [Barrier<B, ACTORS>; 2];
    type Op = Op;
    type Hands<'a> = ();
    const OPS: &'static [Op] = [each_with(0), each_with(1)].as_flattened();

    fn new_shared() -> Self::Shared {
        [2, 3].map(|participants| Barrier::new(participants).unwrap())
    }

    fn act(barriers: &Self::Shared, (): &mut (), Op { how, barrier }: Op) -> String {
        let barrier = &barriers[barrier];
        let outcome = match how {
            Wait => barrier.wait(),
            WaitForLong => barrier.wait_timeout(LONG),
            WaitBriefly => barrier.wait_timeout(BRIEF),
            Reset => return barrier.reset().map_or_else(|why| format!("{why:?}"), |()| "done".into()),
        };
        said(outcome.as_ref().map(BarrierWaitResult::is_leader).map_err(Error::clone))
    }

    fn look(barriers: &Self::Shared, _: &dyn Fn(u32) -> usize) -> String {
        format!("{:?}", barriers.each_ref().map(|barrier| (barrier.is_broken(), barrier.waiting())))
    }

    fn seen(&self) -> String {
        format!("{:?}", self.each.each_ref().map(|model| (model.broken, model.waiting.len())))
    }

    fn told(&mut self, actor: usize, Op { how, barrier }: Op) -> Expected {
        self.each[barrier].told(actor, how)
    }

    fn next(&self) -> Vec<(usize, String)> {
        self.each.iter().flat_map(|model| model.over.iter().cloned()).collect()
    }

    fn came_through(&mut self, actor: usize) {
        self.each.iter_mut().for_each(|model| model.over.retain(|(of, _)| *of != actor));
    }

    fn let_go(&mut self, _: usize) {}

    fn died(&mut self, actor: usize) {
        self.each.iter_mut().for_each(|model| model.died(actor));
    }
}
