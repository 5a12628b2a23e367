//! `Event`: one of each kind, waited for alone or together.

use std::time::Duration;

use pshared::backend::WaitAny;
use pshared::generic::{Event, Waitable, wait_any};
use pshared::{Error, Result};

use super::{BRIEF, LONG, state_machine};
use crate::support::plans::{Expected, Subject};

state_machine!(one_of_each_kind, Events, cases = 64);

/// The number of the one that resets itself; the other one is manual.
const AUTO: usize = 0;

type Kinds<B> = [Event<B>; 2];

#[derive(Clone, Copy, Debug)]
enum Op {
    Wait(usize),
    WaitForLong(usize),
    Try(usize),
    WaitBriefly(usize),
    WaitForAny,
    WaitForAnyBriefly,
    Set(usize),
    Reset(usize),
    /// To reset the manual one and wait for it.
    WaitAnew,
}
use Op::*;

struct Events<B: WaitAny> {
    set: [bool; 2],
    waiting: Vec<(usize, Op)>,
    backend: std::marker::PhantomData<B>,
}

impl<B: WaitAny> Default for Events<B> {
    fn default() -> Self {
        Events { set: [true, false], waiting: Vec::new(), backend: std::marker::PhantomData }
    }
}

impl<B: WaitAny> Events<B> {
    /// The event by which a wait comes to its end now.
    fn passed_by(&self, op: Op) -> Option<usize> {
        let wanted = match op {
            Wait(kind) | WaitForLong(kind) | Try(kind) | WaitBriefly(kind) | Set(kind) | Reset(kind) => kind..kind + 1,
            WaitForAny | WaitForAnyBriefly => 0..2,
            WaitAnew => 1..2,
        };
        wanted.into_iter().find(|kind| self.set[*kind])
    }

    fn pass(&mut self, kind: usize) {
        self.set[kind] = kind != AUTO;
    }
}

fn passed(kind: usize) -> String {
    format!("passed {kind}")
}

fn wait_for_any<B: WaitAny>(kinds: &Kinds<B>, timeout: Duration) -> Result<usize> {
    wait_any(&[&kinds[0] as &dyn Waitable<B>, &kinds[1]], timeout)
}

impl<B: WaitAny> Subject for Events<B> {
    type Shared = Kinds<B>;
    type Op = Op;
    type Hands<'a> = ();
    const OPS: &'static [Op] = &[
        Wait(0),
        Wait(0),
        Wait(0),
        Wait(1),
        Wait(1),
        WaitForLong(0),
        WaitForLong(1),
        Try(0),
        Try(1),
        WaitBriefly(0),
        WaitBriefly(1),
        WaitForAny,
        WaitForAny,
        WaitForAnyBriefly,
        Set(0),
        Set(0),
        Set(1),
        Reset(0),
        Reset(1),
        WaitAnew,
        WaitAnew,
        WaitAnew,
    ];

    fn new_shared() -> Kinds<B> {
        [Event::auto(true), Event::manual(false)]
    }

    fn act(kinds: &Kinds<B>, (): &mut (), op: Op) -> String {
        let done = |result: Result<()>| result.map_or_else(|why| format!("{why:?}"), |()| "done".into());
        let outcome: Result<usize, Error> = match op {
            Wait(kind) => kinds[kind].wait().map(|()| kind),
            WaitForLong(kind) => kinds[kind].wait_timeout(LONG).map(|()| kind),
            Try(kind) => kinds[kind].try_wait().map(|()| kind),
            WaitBriefly(kind) => kinds[kind].wait_timeout(BRIEF).map(|()| kind),
            WaitAnew => kinds[1].reset().and_then(|()| kinds[1].wait()).map(|()| 1),
            WaitForAny => wait_for_any(kinds, LONG),
            WaitForAnyBriefly => wait_for_any(kinds, BRIEF),
            Set(kind) => return done(kinds[kind].set()),
            Reset(kind) => return done(kinds[kind].reset()),
        };
        outcome.map_or_else(|why| format!("{why:?}"), passed)
    }

    fn look(kinds: &Kinds<B>, _: &dyn Fn(u32) -> usize) -> String {
        format!("set {:?}", kinds.each_ref().map(Event::is_set))
    }

    fn seen(&self) -> String {
        format!("set {:?}", self.set)
    }

    fn told(&mut self, actor: usize, op: Op) -> Expected {
        let answer = match (op, self.passed_by(op)) {
            (Set(kind), _) => {
                self.set[kind] = true;
                "done".into()
            }
            (Reset(kind), _) => {
                self.set[kind] = false;
                "done".into()
            }
            (WaitAnew, _) => {
                self.set[1] = false;
                self.waiting.push((actor, op));
                return Expected::Sleep;
            }
            (_, Some(kind)) => {
                self.pass(kind);
                passed(kind)
            }
            (Try(_), None) => "WouldBlock".into(),
            (WaitBriefly(_) | WaitForAnyBriefly, None) => "TimedOut".into(),
            (_, None) => {
                self.waiting.push((actor, op));
                return Expected::Sleep;
            }
        };
        Expected::Answer(answer)
    }

    fn next(&self) -> Vec<(usize, String)> {
        self.waiting.iter().filter_map(|(actor, op)| Some((*actor, passed(self.passed_by(*op)?)))).collect()
    }

    fn came_through(&mut self, actor: usize) {
        let at = self.waiting.iter().position(|(waiting, _)| *waiting == actor).unwrap();
        let (_, op) = self.waiting.remove(at);
        self.pass(self.passed_by(op).unwrap());
    }

    fn let_go(&mut self, _: usize) {}

    fn died(&mut self, actor: usize) {
        self.waiting.retain(|(waiting, _)| *waiting != actor);
    }
}
