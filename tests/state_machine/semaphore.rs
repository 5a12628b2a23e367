//! `Semaphore`: one of each kind, waited for alone or together.

use std::time::Duration;

use pshared::backend::Backend;
use pshared::generic::{Semaphore, Waitable};
use pshared::{Error, Result};

use super::{Alone, BRIEF, Company, LONG, Together, state_machine, state_machine_on_futexes};
use crate::support::plans::{Expected, Subject};

/// Each waited for alone.
type SemaphoresAlone<B> = Semaphores<B, Alone>;
/// Waited for together as well.
type SemaphoresTogether<B> = Semaphores<B, Together>;

state_machine!(one_of_each_kind, SemaphoresAlone, cases = 48);
state_machine_on_futexes!(any_of_one_of_each_kind, SemaphoresTogether, cases = 48);

/// Without a maximum to speak of, with one, binary.
type Kinds<B> = [Semaphore<B>; 3];

const MAX: [u32; 3] = [u32::MAX, 2, 1];
const BINARY: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Op {
    Wait(usize),
    WaitForLong(usize),
    Try(usize),
    WaitBriefly(usize),
    /// For any of the last two.
    WaitForAny,
    WaitForAnyBriefly,
    Post(usize),
    PostTwo(usize),
}
use Op::*;

impl Op {
    /// Which will do.
    fn wanted(self) -> std::ops::Range<usize> {
        match self {
            WaitForAny | WaitForAnyBriefly => 1..3,
            Wait(kind) | WaitForLong(kind) | Try(kind) | WaitBriefly(kind) | Post(kind) | PostTwo(kind) => {
                kind..kind + 1
            }
        }
    }
}

const fn each_with(kind: usize) -> [Op; 7] {
    [Wait(kind), Wait(kind), WaitForLong(kind), Try(kind), WaitBriefly(kind), Post(kind), PostTwo(kind)]
}

/// The last seven for those who wait for several.
const ALL: &[Op] = [
    each_with(0),
    each_with(1),
    each_with(2),
    [WaitForAny, WaitForAny, WaitForAnyBriefly, Post(1), Post(2), Post(2), Post(0)],
]
.as_flattened();

struct Semaphores<B: Backend, C: Company<B>> {
    values: [u32; 3],
    waiting: Vec<(usize, Op)>,
    company: std::marker::PhantomData<(B, C)>,
}

impl<B: Backend, C: Company<B>> Default for Semaphores<B, C> {
    fn default() -> Self {
        Semaphores { values: [1, 0, 0], waiting: Vec::new(), company: std::marker::PhantomData }
    }
}

impl<B: Backend, C: Company<B>> Semaphores<B, C> {
    /// The permit that a wait gets now.
    fn permit(&self, op: Op) -> Option<usize> {
        op.wanted().find(|kind| self.values[*kind] > 0)
    }

    fn post(&mut self, kind: usize, permits: u32) -> Expected {
        let after = self.values[kind] + permits;
        let fits = after <= MAX[kind];
        if fits || kind == BINARY {
            self.values[kind] = after.min(MAX[kind]);
        }
        Expected::Answer(if fits || kind == BINARY { "done".into() } else { "TooManyPermits".into() })
    }
}

fn got(kind: usize) -> String {
    format!("of {kind}")
}

fn posted(result: Result<()>) -> String {
    match result {
        Ok(()) => "done".into(),
        Err(Error::TooManyPermits { .. }) => "TooManyPermits".into(),
        Err(other) => format!("{other:?}"),
    }
}

fn wait_for_any<B: Backend, C: Company<B>>(kinds: &Kinds<B>, timeout: Duration) -> Result<usize> {
    let things = [&kinds[1] as &dyn Waitable<B>, &kinds[2]];
    C::wait_for_any(&things, timeout).map(|at| at + 1)
}

impl<B: Backend, C: Company<B>> Subject for Semaphores<B, C> {
    type Shared = Kinds<B>;
    type Op = Op;
    type Hands<'a> = ();
    const OPS: &'static [Op] = if C::TOGETHER { ALL } else { ALL.split_at(3 * 7).0 };

    fn new_shared() -> Kinds<B> {
        let [counting, limited] = [Semaphore::counting(1), Semaphore::counting_with_max(0, MAX[1])];
        [counting.unwrap(), limited.unwrap(), Semaphore::binary(false)]
    }

    fn act(kinds: &Kinds<B>, (): &mut (), op: Op) -> String {
        let taken = match op {
            Wait(kind) => kinds[kind].wait().map(|()| kind),
            WaitForLong(kind) => kinds[kind].wait_timeout(LONG).map(|()| kind),
            Try(kind) => kinds[kind].try_wait().map(|()| kind),
            WaitBriefly(kind) => kinds[kind].wait_timeout(BRIEF).map(|()| kind),
            WaitForAny => wait_for_any::<B, C>(kinds, LONG),
            WaitForAnyBriefly => wait_for_any::<B, C>(kinds, BRIEF),
            Post(kind) => return posted(kinds[kind].post()),
            PostTwo(kind) => return posted(kinds[kind].post_many(2)),
        };
        taken.map_or_else(|why| format!("{why:?}"), got)
    }

    fn look(kinds: &Kinds<B>, _: &dyn Fn(u32) -> usize) -> String {
        format!("values {:?}", kinds.each_ref().map(Semaphore::value))
    }

    fn seen(&self) -> String {
        format!("values {:?}", self.values)
    }

    fn told(&mut self, actor: usize, op: Op) -> Expected {
        match (op, self.permit(op)) {
            (Post(kind), _) => self.post(kind, 1),
            (PostTwo(kind), _) => self.post(kind, 2),
            (_, Some(kind)) => {
                self.values[kind] -= 1;
                Expected::Answer(got(kind))
            }
            (Try(_), None) => Expected::Answer("WouldBlock".into()),
            (WaitBriefly(_) | WaitForAnyBriefly, None) => Expected::Answer("TimedOut".into()),
            (_, None) => {
                self.waiting.push((actor, op));
                Expected::Sleep
            }
        }
    }

    fn next(&self) -> Vec<(usize, String)> {
        self.waiting.iter().filter_map(|(actor, op)| Some((*actor, got(self.permit(*op)?)))).collect()
    }

    fn came_through(&mut self, actor: usize) {
        let at = self.waiting.iter().position(|(waiting, _)| *waiting == actor).unwrap();
        let (_, op) = self.waiting.remove(at);
        let kind = self.permit(op).unwrap();
        self.values[kind] -= 1;
    }

    fn let_go(&mut self, _: usize) {}

    /// What it took is gone with it.
    fn died(&mut self, actor: usize) {
        self.waiting.retain(|(waiting, _)| *waiting != actor);
    }
}
