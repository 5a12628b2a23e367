//! Copy or map: messages of 64 B to 64 MiB from one process to another in several ways. The sender makes each message, number
//! by number, and the receiver has it as a whole and adds its numbers up: with shared memory both do so in place. They go as fast
//! as they can, with as much under way as the way has room for by default; shared memory and the file have room for 64 KiB,
//! or for two messages.

pub mod chart;
mod crossover;
mod ways;

use std::cell::OnceCell;
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

/// A `W` that each process has from its first round on, when it is told how long messages are; it may not be there to be had.
struct Carried<W> {
    name: String,
    way: OnceCell<io::Result<W>>,
}

impl<W: Way> Carried<W> {
    fn way(&self, get: fn(&str, usize) -> io::Result<W>, length: usize) -> Result<&W, String> {
        self.way.get_or_init(|| get(&self.name, length)).as_ref().map_err(|error| error.to_string())
    }
}

impl<W: Way> Subject for Carried<W> {
    const NAME: &'static str = W::NAME;

    fn create(name: &str) -> Self {
        Carried { name: name.into(), way: OnceCell::new() }
    }

    fn open(name: &str) -> Self {
        Self::create(name)
    }
}

trait VisitWays {
    fn visit<W: Way>(&mut self);
}

/// Goes through the ways, ours first.
fn ways(visitor: &mut impl VisitWays) {
    visitor.visit::<Ring<InPlace>>();
    visitor.visit::<Ring<Copied>>();
    visitor.visit::<Pipe>();
    visitor.visit::<Socket>();
    visitor.visit::<PosixQueue>();
    visitor.visit::<SysvQueue>();
    visitor.visit::<Ring<InFile>>();
}

/// A size of messages.
struct Size {
    /// After the scenario's name and a colon.
    name: &'static str,
    bytes: usize,
    /// It is enough to try these to see that everything works.
    is_tried: bool,
}

impl Size {
    const fn new(name: &'static str, bytes: usize) -> Size {
        Size { name, bytes, is_tried: false }
    }

    const fn tried(self) -> Size {
        Size { is_tried: true, ..self }
    }
}

static SIZES: [Size; 8] = [
    Size::new("64 B", 64).tried(),
    Size::new("512 B", 512),
    Size::new("4 KiB", 4 << 10),
    Size::new("32 KiB", 32 << 10).tried(),
    Size::new("256 KiB", 256 << 10),
    Size::new("2 MiB", 2 << 20).tried(),
    Size::new("16 MiB", 16 << 20),
    Size::new("64 MiB", 64 << 20),
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
        ways(&mut Enter { contest: &mut contest, bytes: size.bytes });
        contest.hold();
    }
    let remarks = crossover::in_words(&run.tables);
    if let Some(table) = run.tables.last_mut() {
        table.remarks.extend(remarks);
    }
}

struct Enter<'a, 'r> {
    contest: &'a mut Contest<'r>,
    bytes: usize,
}

impl VisitWays for Enter<'_, '_> {
    fn visit<W: Way>(&mut self) {
        let (effort, bytes) = (self.contest.effort(), self.bytes);
        let length = bytes / size_of::<u64>();
        let mut team = None;
        let mut messages = Rounds::default();
        self.contest.enter(W::NAME, move || {
            let team = team.get_or_insert_with(|| Team::<Carried<W>>::new(&[SEND, RECEIVE], roles));
            team.subject.way(W::create, length)?;
            let nanos = messages.sample(effort, 2, |messages| {
                // They are done when all messages have come.
                let (_, answers) = team.crew.play(2, &[messages, length as u64], Duration::ZERO)?;
                let ([started, ..], [ended, damaged, ..]) = (answers[0], answers[1]);
                if damaged > 0 {
                    return Err(format!("{damaged} of {messages} messages were damaged"));
                }
                Ok(ended - started)
            })?;
            Ok(vec![nanos / 1e3, bytes as f64 / nanos * 1e3])
        });
    }
}

const SEND: &str = "send";
const RECEIVE: &str = "receive";

fn roles() -> Vec<Role> {
    struct List(Vec<Role>);
    impl VisitWays for List {
        fn visit<W: Way>(&mut self) {
            self.0.push(Role::new(SEND, send::<W>));
            self.0.push(Role::new(RECEIVE, receive::<W>));
        }
    }
    let mut list = List(Vec::new());
    ways(&mut list);
    list.0
}

fn send<W: Way>(subject: &Carried<W>, seat: &Seat<'_>) -> Answer {
    let way = subject.way(W::open, seat.parameter(1) as usize).unwrap();
    let started = now();
    for message in 0..seat.parameter(0) {
        way.send(|numbers| fill(numbers, message)).unwrap();
    }
    [started, 0, 0, 0]
}

fn receive<W: Way>(subject: &Carried<W>, seat: &Seat<'_>) -> Answer {
    let length = seat.parameter(1) as usize;
    let way = subject.way(W::open, length).unwrap();
    let mut damaged = 0;
    for message in 0..seat.parameter(0) {
        let sum = way.receive(sum).unwrap();
        damaged += u64::from(sum != expected(length, message));
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
