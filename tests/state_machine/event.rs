//! `Event`: one of each kind, waited for alone or together.

use std::time::Duration;

use pshared::backend::Backend;
use pshared::generic::{Event, Waitable};
use pshared::{Error, Result};

use super::{Alone, BRIEF, Company, LONG, Together, state_machine, state_machine_on_futexes};
use crate::support::plans::{Expected, Subject};

/// Each waited for alone.
type EventsAlone<B> = Events<B, Alone>;
/// Waited for together as well.
type EventsTogether<B> = Events<B, Together>;

state_machine!(one_of_each_kind, EventsAlone, cases = 64);
state_machine_on_futexes!(any_of_one_of_each_kind, EventsTogether, cases = 64);

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

/// The last three for those who wait for several.
const ALL: &[Op] = &[
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
    Set(0),
    Set(0),
    Set(1),
    Reset(0),
    Reset(1),
    WaitAnew,
    WaitAnew,
    WaitAnew,
    WaitForAny,
    WaitForAny,
    WaitForAnyBriefly,
];

struct Events<B: Backend, C: Company<B>> {
    set: [bool; 2],
    waiting: Vec<(usize, Op)>,
    company: std::marker::PhantomData<(B, C)>,
}

impl<B: Backend, C: Company<B>> Default for Events<B, C> {
    fn default() -> Self {
        Events { set: [true, false], waiting: Vec::new(), company: std::marker::PhantomData }
    }
}

impl<B: Backend, C: Company<B>> Events<B, C> {
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

fn wait_for_any<B: Backend, C: Company<B>>(kinds: &Kinds<B>, timeout: Duration) -> Result<usize> {
    C::wait_for_any(&[&kinds[0] as &dyn Waitable<B>, &kinds[1]], timeout)
}

impl<B: Backend, C: Company<B>> Subject for Events<B, C> {
    type Shared = Kinds<B>;
    type Op = Op;
    type Hands<'a> = ();
    const OPS: &'static [Op] = if C::TOGETHER { ALL } else { ALL.split_at(ALL.len() - 3).0 };

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
            WaitForAny => wait_for_any::<B, C>(kinds, LONG),
            WaitForAnyBriefly => wait_for_any::<B, C>(kinds, BRIEF),
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
