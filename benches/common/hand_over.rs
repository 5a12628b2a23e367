//! Ping-pong: two processes that let each other run, there and back.

use criterion::Criterion;

use super::compare::{Game, InPairs};
use super::pair::Role;
use super::report::Table;
use super::{Shared, pair};

/// Two directions in which one process lets the other go on.
pub trait HandOver: Shared {
    /// Lets the other process go on.
    fn give(&self, to: Side);

    /// Waits until the other process has let `side` go on.
    fn wait(&self, side: Side);
}

/// One of the two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Side {
    Ping,
    Pong,
}

impl Side {
    pub fn pick<T>(self, [ping, pong]: &[T; 2]) -> &T {
        match self {
            Side::Ping => ping,
            Side::Pong => pong,
        }
    }
}

/// What the second process does with an `S`.
pub fn roles<S: HandOver>() -> [Role; 2] {
    [
        Role::new("answer", |subject: &S, rounds| {
            for _ in 0..rounds {
                subject.wait(Side::Pong);
                subject.give(Side::Ping);
            }
            rounds
        }),
        Role::waiter("wait", |subject: &S| subject.wait(Side::Pong)),
    ]
}

/// There and back.
fn game<S: HandOver>() -> Game<S> {
    let ours = |subject: &S, rounds| {
        for _ in 0..rounds {
            subject.give(Side::Pong);
            subject.wait(Side::Ping);
        }
        rounds
    };
    Game { role: "answer", prepare: |_, _| {}, ours }
}

/// Subjects beside `R`, one after the other.
pub struct HandOvers<'a, R: Shared> {
    pairs: InPairs<'a, R>,
    table: Table,
}

impl<'a, R: HandOver> HandOvers<'a, R> {
    /// `head` is the table's, with ns and × `R`'s.
    pub fn new(criterion: &'a mut Criterion, name: &str, head: &'static str) -> HandOvers<'a, R> {
        HandOvers { pairs: InPairs::new(criterion, name, game::<R>()), table: Table::new(head) }
    }

    pub fn measure<S: HandOver>(mut self) -> Self {
        if let Some(samples) = self.pairs.measure(&game::<S>(), |_, _, _| 1.0) {
            let (nanos, ratio) = (samples.nanos() / 2.0, samples.ratio());
            self.table.row(&[S::NAME.into(), format!("{nanos:.0}"), format!("{ratio:.2}")]);
        }
        self
    }

    pub fn finish(self) -> Table {
        self.pairs.finish();
        self.table
    }
}

/// The name, and the CPU time of a process that waits for a second.
pub fn blocked<S: HandOver>() -> (&'static str, std::time::Duration) {
    let time = pair::blocked::<S>("wait", |subject, run| {
        run();
        subject.give(Side::Pong);
    });
    (S::NAME, time)
}
