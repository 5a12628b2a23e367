//! `Once`, and a `OnceLock` beside it whose value is made in the same way.

use pshared::backend::Backend;
use pshared::generic::{Once, OnceLock};
use pshared::{Cause, Error, Result, ShmSafe};

use super::{BRIEF, state_machine_on_futexes};
use crate::support::plans::{ACTORS, Expected, Subject};

// Who only waits may see it free between one that panics and the next that begins, on the other backends: no plan can tell.
state_machine_on_futexes!(one_of_each, Onces, cases = 256);

#[repr(C)]
#[derive(ShmSafe)]
struct Both<B: Backend> {
    once: Once<B>,
    lock: OnceLock<[usize; 2], B>,
}

/// Something to be done once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    TheOnce,
    TheLock,
}
use Thing::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    /// To call it; what it runs comes to its end in another step.
    Call(Thing),
    /// To call it and to run what it runs also after a panic.
    Force,
    Wait(Thing),
    WaitBriefly(Thing),
    Get,
    /// To end what the actor runs.
    Finish,
    Panic,
}
use Op::*;

/// What the actor is running, of which there may be one inside another.
type Running = Vec<Thing>;

#[derive(Default)]
struct Model {
    done: bool,
    doer: Option<usize>,
    died: bool,
    panicked: bool,
    waiting: Vec<(usize, Op)>,
}

struct Onces<B: Backend> {
    each: [Model; 2],
    running: [Running; ACTORS],
    backend: std::marker::PhantomData<B>,
}

impl<B: Backend> Default for Onces<B> {
    fn default() -> Self {
        Onces { each: Default::default(), running: Default::default(), backend: std::marker::PhantomData }
    }
}

impl Model {
    /// The answer to an op that somebody waits with or has just come with; `None` if it has to wait.
    fn answer(&self, actor: usize, op: Op) -> Option<String> {
        let answer = match op {
            _ if self.done => "done".into(),
            _ if self.doer == Some(actor) => "WouldDeadlock".into(),
            _ if self.doer.is_some() => return None,
            Wait(_) | WaitBriefly(_) if self.panicked => "InitPanicked".into(),
            Wait(_) | WaitBriefly(_) => return None,
            Call(TheOnce) if self.panicked => "InitPanicked".into(),
            Call(TheLock) => begun(None),
            _ => begun(self.cause()),
        };
        Some(answer)
    }

    fn cause(&self) -> Option<Cause> {
        if self.died { Some(Cause::OwnerDied) } else { self.panicked.then_some(Cause::Panicked) }
    }
}

fn begun(cause: Option<Cause>) -> String {
    format!("begun after {cause:?}")
}

fn ended<R>(result: Result<R>) -> String {
    match result {
        Ok(_) => "done".into(),
        Err(Error::WouldDeadlock) => "WouldDeadlock".into(),
        Err(Error::InitPanicked) => "InitPanicked".into(),
        Err(Error::TimedOut) => "TimedOut".into(),
        Err(other) => format!("{other:?}"),
    }
}

fn thing(op: Op) -> Thing {
    match op {
        Call(thing) | Wait(thing) | WaitBriefly(thing) => thing,
        _ => TheOnce,
    }
}

/// What is run: acts on until it is told to end, inside of itself if need be.
fn run<B: Backend>(both: &Both<B>, cause: Option<Cause>, ask: &mut dyn FnMut(&str) -> Op) {
    let mut said = begun(cause);
    loop {
        match ask(&said) {
            Finish => return,
            Panic => std::panic::resume_unwind(Box::new("on purpose")),
            op => said = do_it(both, op, ask),
        }
    }
}

fn do_it<B: Backend>(both: &Both<B>, op: Op, ask: &mut dyn FnMut(&str) -> Op) -> String {
    let call = || match op {
        // Neither tells of the death before it.
        Call(TheOnce) => ended(both.once.call_once(|| run(both, None, ask))),
        Force => ended(both.once.call_once_force(|state| run(both, state.cause(), ask))),
        Call(TheLock) => ended(both.lock.get_or_init(|| {
            run(both, None, ask);
            [std::process::id() as usize; 2]
        })),
        Wait(TheOnce) => ended(both.once.wait()),
        Wait(TheLock) => ended(both.lock.wait()),
        WaitBriefly(TheOnce) => ended(both.once.wait_timeout(BRIEF)),
        WaitBriefly(TheLock) => ended(both.lock.wait_timeout(BRIEF)),
        Get => both.lock.get().map_or("none".into(), |[a, b]| if a == b { "done".into() } else { format!("{a} {b}") }),
        Finish | Panic => unreachable!("nothing runs"),
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).unwrap_or_else(|_| "panicked".into())
}

impl<B: Backend> Onces<B> {
    fn of(&mut self, thing: Thing) -> &mut Model {
        &mut self.each[usize::from(thing == TheLock)]
    }

    fn begins(&mut self, actor: usize, op: Op, answer: &str) {
        if answer.starts_with("begun") {
            self.of(thing(op)).doer = Some(actor);
            self.running[actor].push(thing(op));
        }
    }

    /// An answer as it is said: only `Force` is told of a death.
    fn said(op: Op, answer: String) -> String {
        if op != Force && answer.starts_with("begun") { begun(None) } else { answer }
    }
}

impl<B: Backend> Subject for Onces<B> {
    type Shared = Both<B>;
    type Op = Op;
    type Hands<'a> = ();
    const OPS: &'static [Op] = &[
        Call(TheOnce),
        Call(TheOnce),
        Call(TheLock),
        Call(TheLock),
        Force,
        Wait(TheOnce),
        Wait(TheLock),
        WaitBriefly(TheOnce),
        WaitBriefly(TheLock),
        Get,
        Finish,
        Panic,
    ];

    fn new_shared() -> Both<B> {
        Both { once: Once::new(), lock: OnceLock::new() }
    }

    fn act(both: &Both<B>, (): &mut (), op: Op) -> String {
        do_it(both, op, &mut |_| unreachable!("nothing that is run is ever told to end"))
    }

    fn act_and_ask(both: &Both<B>, (): &mut (), op: Op, ask: &mut dyn FnMut(&str) -> Op) -> String {
        do_it(both, op, ask)
    }

    fn look(both: &Both<B>, _: &dyn Fn(u32) -> usize) -> String {
        format!("{}, poisoned {}, {}", both.once.is_completed(), both.once.is_poisoned(), both.lock.get().is_some())
    }

    fn seen(&self) -> String {
        let [once, lock] = &self.each;
        format!("{}, poisoned {}, {}", once.done, once.panicked && !once.done, lock.done)
    }

    fn told(&mut self, actor: usize, op: Op) -> Expected {
        match op {
            Get => Expected::Answer(if self.of(TheLock).done { "done".into() } else { "none".into() }),
            Finish | Panic => {
                let Some(thing) = self.running[actor].pop() else { return Expected::Nothing };
                let model = self.of(thing);
                model.doer = None;
                model.done = op == Finish;
                model.panicked |= op == Panic && thing == TheOnce;
                Expected::Answer(if op == Finish { "done".into() } else { "panicked".into() })
            }
            _ => match self.of(thing(op)).answer(actor, op) {
                Some(answer) => {
                    self.begins(actor, op, &answer);
                    Expected::Answer(Self::said(op, answer))
                }
                None if matches!(op, WaitBriefly(_)) => Expected::Answer("TimedOut".into()),
                None => {
                    self.of(thing(op)).waiting.push((actor, op));
                    Expected::Sleep
                }
            },
        }
    }

    fn next(&self) -> Vec<(usize, String)> {
        let of_one = |model: &'_ Model| {
            let answers = model
                .waiting
                .iter()
                .filter_map(|(actor, op)| Some((*actor, Self::said(*op, model.answer(*actor, *op)?))));
            answers.collect::<Vec<_>>()
        };
        self.each.iter().flat_map(of_one).collect()
    }

    fn came_through(&mut self, actor: usize) {
        for thing in [TheOnce, TheLock] {
            let model = self.of(thing);
            if let Some(at) = model.waiting.iter().position(|(waiting, _)| *waiting == actor) {
                let (_, op) = model.waiting.remove(at);
                let answer = model.answer(actor, op).unwrap();
                self.begins(actor, op, &answer);
            }
        }
    }

    fn may_let_go(&self, actor: usize) -> bool {
        self.running[actor].is_empty()
    }

    fn let_go(&mut self, _: usize) {}

    fn died(&mut self, actor: usize) {
        self.running[actor].clear();
        for model in &mut self.each {
            model.waiting.retain(|(waiting, _)| *waiting != actor);
            if model.doer == Some(actor) {
                model.doer = None;
                model.died = true;
            }
        }
    }
}
