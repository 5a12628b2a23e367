//! `Permits`: fewer than there are actors, each with any number of them.

use pshared::backend::Backend;
use pshared::generic::{Permit, Permits};

use super::{BRIEF, LONG, state_machine};
use crate::support::plans::{ACTORS, Expected, Subject};

state_machine!(two_permits, Model, cases = 64);

const PERMITS: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Op {
    Acquire,
    AcquireForLong,
    Try,
    AcquireBriefly,
    GiveBackTheNewest,
    GiveBackTheOldest,
    Forget,
}
use Op::*;

struct Model<B: Backend> {
    guards: [usize; ACTORS],
    forgotten: [usize; ACTORS],
    waiting: Vec<usize>,
    backend: std::marker::PhantomData<B>,
}

impl<B: Backend> Default for Model<B> {
    fn default() -> Self {
        let none = [0; ACTORS];
        Model { guards: none, forgotten: none, waiting: Vec::new(), backend: std::marker::PhantomData }
    }
}

impl<B: Backend> Model<B> {
    fn of(&self, actor: usize) -> usize {
        self.guards[actor] + self.forgotten[actor]
    }

    fn available(&self) -> usize {
        PERMITS - (0..ACTORS).map(|actor| self.of(actor)).sum::<usize>()
    }
}

impl<B: Backend> Subject for Model<B> {
    type Shared = Permits<B, PERMITS>;
    type Op = Op;
    type Hands<'a> = Vec<Permit<'a, B, PERMITS>>;
    const OPS: &'static [Op] = &[
        Acquire,
        Acquire,
        Acquire,
        AcquireForLong,
        Try,
        AcquireBriefly,
        GiveBackTheNewest,
        GiveBackTheNewest,
        GiveBackTheOldest,
        GiveBackTheOldest,
        Forget,
    ];

    fn new_shared() -> Self::Shared {
        Permits::new()
    }

    fn act<'a>(permits: &'a Self::Shared, hands: &mut Self::Hands<'a>, op: Op) -> String {
        let result = match op {
            Acquire => permits.acquire(),
            AcquireForLong => permits.acquire_timeout(LONG),
            Try => permits.try_acquire(),
            AcquireBriefly => permits.acquire_timeout(BRIEF),
            _ => {
                match op {
                    GiveBackTheNewest => drop(hands.pop()),
                    GiveBackTheOldest => drop(hands.remove(0)),
                    _ => hands.pop().unwrap().forget(),
                }
                return "done".into();
            }
        };
        match result {
            Ok(permit) => {
                hands.push(permit);
                "got it".into()
            }
            Err(why) => format!("{why:?}"),
        }
    }

    fn look(permits: &Self::Shared, _: &dyn Fn(u32) -> usize) -> String {
        format!("{} available", permits.available())
    }

    fn seen(&self) -> String {
        format!("{} available", self.available())
    }

    fn told(&mut self, actor: usize, op: Op) -> Expected {
        let answer = match op {
            Acquire | AcquireForLong | Try | AcquireBriefly => match op {
                _ if self.available() > 0 => {
                    self.guards[actor] += 1;
                    "got it"
                }
                Try => "WouldBlock",
                _ if self.of(actor) == PERMITS => "WouldDeadlock",
                AcquireBriefly => "TimedOut",
                _ => {
                    self.waiting.push(actor);
                    return Expected::Sleep;
                }
            },
            _ if self.guards[actor] == 0 => return Expected::Nothing,
            _ => {
                self.guards[actor] -= 1;
                self.forgotten[actor] += usize::from(matches!(op, Forget));
                "done"
            }
        };
        Expected::Answer(answer.into())
    }

    fn next(&self) -> Vec<(usize, String)> {
        let waiting = if self.available() > 0 { &self.waiting[..] } else { &[] };
        waiting.iter().map(|actor| (*actor, "got it".into())).collect()
    }

    fn came_through(&mut self, actor: usize) {
        self.waiting.retain(|waiting| *waiting != actor);
        self.guards[actor] += 1;
    }

    fn let_go(&mut self, actor: usize) {
        self.guards[actor] = 0;
    }

    fn died(&mut self, actor: usize) {
        self.waiting.retain(|waiting| *waiting != actor);
        (self.guards[actor], self.forgotten[actor]) = (0, 0);
    }
}
