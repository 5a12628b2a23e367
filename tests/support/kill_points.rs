//! All the points of an operation at which a kill could leave something different, each found once and then gone to.
//!
//! The first victim is stepped to the end, and what a kill there would leave is compared after every instruction. Every
//! further victim runs to its point at full speed, by a breakpoint: where it stands is given by the instruction's address
//! and by how often the victim has come there. A victim that takes another way than the first one (whoever spins or waits
//! may) and doesn't come there is not the last one for that point: the next is stepped, by as many instructions.
//!
//! What a kill leaves is the bytes of shared memory, the thread's robust list, and what system calls have done. A thread
//! that is killed where none of it has changed since the point before leaves what it would have left there:
//! [`KillPoints::changes`] leaves those out, [`KillPoints::each`] doesn't.

use std::collections::HashMap;
use std::fmt;

use super::remains::{Images, Place};
use super::stepper::{Stepper, Stop};

/// How a victim has stopped, to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// At an instruction.
    There,
    /// To the end of what was to be stepped through.
    ToTheEnd,
    /// To a call in which it sleeps.
    ToSleep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Each,
    Changes,
}

struct Point {
    at: Place,
    /// Which time that it is there, from 1.
    visit: usize,
    /// How many instructions come before.
    steps: usize,
}

pub struct KillPoints {
    which: Which,
    images: Images,
    /// As many as are gone to.
    limit: usize,
    points: Vec<Point>,
    /// How many instructions the first victim went through.
    instructions: usize,
    /// How many victims have been sent.
    sent: usize,
    next: usize,
    strayed: bool,
    /// How many victims took another way.
    strays: usize,
}

impl KillPoints {
    /// Before every instruction, and at the end.
    pub fn each() -> KillPoints {
        KillPoints {
            which: Which::Each,
            images: Images::Several,
            limit: usize::MAX,
            points: Vec::new(),
            instructions: 0,
            sent: 0,
            next: 0,
            strayed: false,
            strays: 0,
        }
    }

    /// Before the first instruction, after every one that changes what a kill would leave, and at the end.
    pub fn changes() -> KillPoints {
        KillPoints { which: Which::Changes, ..KillPoints::each() }
    }

    /// Of victims that have everything at the same addresses, being forks of one process.
    pub fn of_one_image(self) -> KillPoints {
        KillPoints { images: Images::One, ..self }
    }

    /// Of more than so many only so many, spread evenly.
    pub fn at_most(self, limit: usize) -> KillPoints {
        KillPoints { limit, ..self }
    }

    /// Whether victims are needed still.
    pub fn are_left(&self) -> bool {
        self.sent == 0 || self.next < self.points.len()
    }

    /// Lets a victim, which stands at the beginning, run to where it is to be killed.
    pub fn send(&mut self, victim: &Stepper) -> Came {
        self.sent += 1;
        if self.sent == 1 {
            let came = self.look_for_points(victim);
            self.thin_out();
            return came;
        }
        let point = &self.points[self.next];
        let came = if self.strayed { step(victim, point.steps) } else { run_to(victim, point) };
        self.strayed = came != Came::There && !self.strayed;
        self.strays += usize::from(self.strayed);
        self.next += usize::from(!self.strayed);
        came
    }

    /// How many victims have come to a point of their own.
    pub fn kills(&self) -> usize {
        self.next + 1
    }

    /// How many instructions come before the point that the last victim was sent to, and which is the next.
    pub fn last(&self) -> (usize, String) {
        match self.points.get(self.next.wrapping_sub(usize::from(!self.strayed))) {
            Some(point) => (point.steps, point.at.to_string()),
            None => (self.instructions, "the end".into()),
        }
    }

    fn thin_out(&mut self) {
        let count = self.points.len();
        if count > self.limit {
            let last = (self.limit - 1).max(1);
            let kept: Vec<usize> = (0..self.limit).map(|number| number * (count - 1) / last).collect();
            let mut at = 0..;
            self.points.retain(|_| kept.contains(&at.next().unwrap()));
        }
    }

    fn look_for_points(&mut self, victim: &Stepper) -> Came {
        let mut visits: HashMap<u64, usize> = HashMap::new();
        let _beside = victim.beside();
        let mut left = victim.remains();
        let mut has_changed = true;
        loop {
            let address = victim.address();
            let visit = visits.entry(address).or_default();
            *visit += 1;
            if has_changed || self.which == Which::Each {
                self.points.push(Point {
                    at: left.place(address, self.images),
                    visit: *visit,
                    steps: self.instructions,
                });
            }
            let is_call = victim.is_at_syscall();
            match victim.step_or_sleep() {
                Stop::Stepped => {}
                Stop::Mark => return Came::ToTheEnd,
                Stop::Asleep => return Came::ToSleep,
                other => panic!("{other:?}"),
            }
            self.instructions += 1;
            // Stepped, it takes so long from the look at its clock that a short slice of sleep is over before it begins.
            if is_call && victim.has_timed_out() {
                return Came::ToSleep;
            }
            if is_call {
                left = victim.remains();
            }
            has_changed = left.look_again() || is_call;
        }
    }
}

impl fmt::Display for KillPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.which {
            Which::Each => write!(f, "killed at {} instructions", self.kills())?,
            Which::Changes => write!(f, "killed after {} changes in {} instructions", self.kills(), self.instructions)?,
        }
        if self.strays == 0 { Ok(()) } else { write!(f, " ({} took another way)", self.strays) }
    }
}

/// Steps that many instructions, or to the end.
fn step(victim: &Stepper, count: usize) -> Came {
    for _ in 0..count {
        match victim.step_or_sleep() {
            Stop::Stepped => {}
            Stop::Mark => return Came::ToTheEnd,
            Stop::Asleep => return Came::ToSleep,
            other => panic!("{other:?}"),
        }
    }
    Came::There
}

fn run_to(victim: &Stepper, point: &Point) -> Came {
    if point.steps == 0 {
        return Came::There;
    }
    match victim.run_to(&point.at, point.visit) {
        Stop::Stepped => Came::There,
        Stop::Mark => Came::ToTheEnd,
        Stop::Asleep => Came::ToSleep,
        other => panic!("{other:?}"),
    }
}
