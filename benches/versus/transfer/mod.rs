//! Copy or map: messages of 64 B to 64 MiB from one process to another in several ways. The sender makes each message, number
//! by number, and the receiver has it as a whole and adds its numbers up: with shared memory both do so in place. They go as fast
//! as they can, with as much under way as the way has room for by default; shared memory and the file have room for 64 KiB,
//! or for two messages.

pub mod chart;
mod crossover;
mod ways;

use std::io;
use std::time::Duration;

use crate::figure::Column;
use crate::run::{Contest, Effort, Run, Scenario};
use crate::scenarios::rounds::Rounds;
use crate::subjects::Subject;
use crate::team::{Answer, Role, Seat, Team, now};
use ways::Way;
use ways::queues::{PosixQueue, SysvQueue};
use ways::ring::{Copied, InFile, InPlace, Ring};
use ways::streams::{Pipe, Socket};

pub const TRANSFER: Scenario = Scenario {
    name: "transfer",
    about: "one process makes messages of 64 B to 64 MiB, another one gets each as a whole and adds up its numbers: copied or \
            in shared memory",
    roles,
    measure: transfer,
};

/// Messages of `LENGTH` numbers by a `W`, which may not be there to be had.
struct Carried<W, const LENGTH: usize>(io::Result<W>);

impl<W: Way, const LENGTH: usize> Subject for Carried<W, LENGTH> {
    const NAME: &'static str = W::NAME;

    fn create(name: &str) -> Self {
        Carried(W::create(name, LENGTH))
    }

    fn open(name: &str) -> Self {
        Carried(W::open(name, LENGTH))
    }
}

trait VisitWays {
    fn visit<W: Way, const LENGTH: usize>(&mut self);
}

/// Goes through the ways for messages of `LENGTH` numbers, ours first.
fn ways<const LENGTH: usize>(visitor: &mut impl VisitWays) {
    visitor.visit::<Ring<InPlace>, LENGTH>();
    visitor.visit::<Ring<Copied>, LENGTH>();
    visitor.visit::<Pipe, LENGTH>();
    visitor.visit::<Socket, LENGTH>();
    visitor.visit::<PosixQueue, LENGTH>();
    visitor.visit::<SysvQueue, LENGTH>();
    visitor.visit::<Ring<InFile>, LENGTH>();
}

/// A size of messages.
struct Size {
    /// After the scenario's name and a colon.
    name: &'static str,
    bytes: usize,
    /// It is enough to try these to see that everything works.
    is_tried: bool,
    enter: fn(&mut Enter<'_, '_>),
    list: fn(&mut List),
}

macro_rules! size {
    ($name:literal, $bytes:expr, $is_tried:literal) => {
        Size {
            name: $name,
            bytes: $bytes,
            is_tried: $is_tried,
            enter: |enter| ways::<{ $bytes / 8 }>(enter),
            list: |list| ways::<{ $bytes / 8 }>(list),
        }
    };
}

static SIZES: [Size; 8] = [
    size!("64 B", 64, true),
    size!("512 B", 512, false),
    size!("4 KiB", 4 << 10, false),
    size!("32 KiB", 32 << 10, true),
    size!("256 KiB", 256 << 10, false),
    size!("2 MiB", 2 << 20, true),
    size!("16 MiB", 16 << 20, false),
    size!("64 MiB", 64 << 20, false),
];

fn title(size: &Size) -> String {
    format!("{}: {}", TRANSFER.name, size.name)
}

fn transfer(run: &mut Run) {
    let columns = [Column::lower("a message", "µs"), Column::higher("", "MB/s")];
    let all = run.effort != Effort::Test;
    for size in SIZES.iter().filter(|size| all || size.is_tried) {
        let about = format!("messages of {} from one process to another", size.name);
        let mut contest = run.contest(&title(size), &about, &columns);
        (size.enter)(&mut Enter(&mut contest));
        contest.hold();
    }
    let remarks = crossover::in_words(&run.tables);
    if let Some(table) = run.tables.last_mut() {
        table.remarks.extend(remarks);
    }
}

struct Enter<'a, 'r>(&'a mut Contest<'r>);

impl VisitWays for Enter<'_, '_> {
    fn visit<W: Way, const LENGTH: usize>(&mut self) {
        let effort = self.0.effort();
        let mut team = None;
        let mut messages = Rounds::default();
        self.0.enter(W::NAME, move || {
            let roles_here = [SEND, RECEIVE].map(|role| of_length(role, LENGTH));
            let team = team
                .get_or_insert_with(|| Team::<Carried<W, LENGTH>>::new(&roles_here.each_ref().map(|r| &**r), roles));
            team.subject.0.as_ref().map_err(|error| error.to_string())?;
            let nanos = messages.sample(effort, 2, |messages| {
                // They are done when all messages have come.
                let (_, answers) = team.crew.play(2, &[messages], Duration::ZERO)?;
                let ([started, ..], [ended, damaged, ..]) = (answers[0], answers[1]);
                if damaged > 0 {
                    Err(format!("{damaged} of {messages} messages were damaged"))
                } else {
                    Ok(ended - started)
                }
            })?;
            Ok(vec![nanos / 1e3, (LENGTH * size_of::<u64>()) as f64 / nanos * 1e3])
        });
    }
}

const SEND: &str = "send";
const RECEIVE: &str = "receive";

fn of_length(role: &str, length: usize) -> String {
    format!("{role} {length}")
}

struct List(Vec<Role>);

impl VisitWays for List {
    fn visit<W: Way, const LENGTH: usize>(&mut self) {
        self.0.push(Role::new(&of_length(SEND, LENGTH), send::<W, LENGTH>));
        self.0.push(Role::new(&of_length(RECEIVE, LENGTH), receive::<W, LENGTH>));
    }
}

fn roles() -> Vec<Role> {
    let mut list = List(Vec::new());
    SIZES.iter().for_each(|size| (size.list)(&mut list));
    list.0
}

fn send<W: Way, const LENGTH: usize>(subject: &Carried<W, LENGTH>, seat: &Seat<'_>) -> Answer {
    let way = subject.0.as_ref().unwrap();
    let started = now();
    for message in 0..seat.parameter(0) {
        way.send(|numbers| fill(numbers, message)).unwrap();
    }
    [started, 0, 0, 0]
}

fn receive<W: Way, const LENGTH: usize>(subject: &Carried<W, LENGTH>, seat: &Seat<'_>) -> Answer {
    let way = subject.0.as_ref().unwrap();
    let mut damaged = 0;
    for message in 0..seat.parameter(0) {
        let sum = way.receive(sum).unwrap();
        damaged += u64::from(sum != expected(LENGTH, message));
    }
    [now(), damaged, 0, 0]
}

/// Makes a message of its number and those that follow.
#[inline(always)]
fn fill(numbers: &mut [u64], message: u64) {
    for (at, number) in numbers.iter_mut().enumerate() {
        *number = message.wrapping_add(at as u64);
    }
}

#[inline(always)]
fn sum(numbers: &[u64]) -> u64 {
    numbers.iter().fold(0, |sum, number| sum.wrapping_add(*number))
}

/// The sum of a message that was made by [`fill`].
fn expected(length: usize, message: u64) -> u64 {
    let length = length as u64;
    length.wrapping_mul(message).wrapping_add(length * (length - 1) / 2)
}
