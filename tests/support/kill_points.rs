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
pub use super::stepper::Came;
use super::stepper::{Next, Stepper, Stop};

/// So many where it is cheap.
const TRIES: usize = 2;

/// Calls after which a kill leaves what it would have left before.
const LOOKS: [i64; 12] = [
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_lseek,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_kill,
    libc::SYS_clock_gettime,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Each,
    Changes,
    Calls,
}

/// Why something is different since the point before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Memory is, or there was a call that may have changed anything.
    Change,
    /// There was a call that only looks.
    Look,
    Nothing,
}

struct Point {
    at: Place,
    cause: Cause,
    /// Which time that it is there, from 1.
    visit: usize,
    /// How many instructions come before.
    steps: usize,
}

pub struct KillPoints {
    which: Which,
    images: Images,
    /// Of those where something changes so many are gone to at most; others if there are fewer than so many.
    most: usize,
    least: usize,
    /// So many further victims are sent to a point to which none comes.
    tries: usize,
    points: Vec<Point>,
    /// How many instructions the first victim went through.
    instructions: usize,
    /// How many victims have been sent.
    sent: usize,
    next: usize,
    /// Whether the last victim came to the end, where calls are counted.
    at_end: bool,
    strayed: bool,
    /// How often in a row.
    astray: usize,
    /// How many victims took another way.
    strays: usize,
}

impl KillPoints {
    /// Before every instruction, and at the end.
    pub fn each() -> KillPoints {
        KillPoints {
            which: Which::Each,
            images: Images::Several,
            most: usize::MAX,
            least: usize::MAX,
            tries: TRIES,
            points: Vec::new(),
            instructions: 0,
            sent: 0,
            next: 0,
            at_end: false,
            strayed: false,
            astray: 0,
            strays: 0,
        }
    }

    /// Before the first instruction, after every one that changes what a kill would leave, and at the end.
    pub fn changes() -> KillPoints {
        KillPoints { which: Which::Changes, ..KillPoints::each() }
    }

    /// Before and after every system call, and at the end.
    pub fn calls() -> KillPoints {
        KillPoints { which: Which::Calls, ..KillPoints::each() }
    }

    /// Of victims that have everything at the same addresses, being forks of one process.
    pub fn of_one_image(self) -> KillPoints {
        KillPoints { images: Images::One, ..self }
    }

    /// Only those where something changes, `most` of them at most, and others if that makes fewer than `least`; all spread
    /// evenly. Where a victim that takes another way takes long, too: it is hardly tried again.
    pub fn sampled(self, least: usize, most: usize) -> KillPoints {
        KillPoints { least, most, tries: 1, ..self }
    }

    /// Whether victims are needed still.
    pub fn are_left(&self) -> bool {
        self.sent == 0 || if self.which == Which::Calls { !self.at_end } else { self.next < self.points.len() }
    }

    /// Lets a victim, which stands at the beginning, run to where it is to be killed.
    pub fn send(&mut self, victim: &Stepper) -> Came {
        self.sent += 1;
        if self.which == Which::Calls {
            return self.send_to_call(victim);
        }
        if self.sent == 1 {
            let came = self.look_for_points(victim);
            self.thin_out();
            return came;
        }
        let point = &self.points[self.next];
        if self.images == Images::One {
            // What is cheap is rather tried again than stepped.
            let came = run_to(victim, point);
            self.strayed = came != Came::There && self.astray < self.tries;
            self.astray = if self.strayed { self.astray + 1 } else { 0 };
            self.strays += usize::from(came != Came::There);
            self.next += usize::from(!self.strayed);
            return came;
        }
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

    /// The last victim is the one that comes to the end first.
    fn send_to_call(&mut self, victim: &Stepper) -> Came {
        self.at_end = (0..self.next).any(|_| victim.to_syscall() == Stop::Mark);
        self.next += usize::from(!self.at_end);
        if self.at_end { Came::ToTheEnd } else { Came::There }
    }

    /// How many instructions come before the point that the last victim was sent to, and which is the next.
    pub fn last(&self) -> (usize, String) {
        if self.which == Which::Calls {
            return (self.next, "a stop before or after a system call".into());
        }
        match self.points.get(self.next.wrapping_sub(usize::from(!self.strayed))) {
            Some(point) => (point.steps, point.at.with_function()),
            None => (self.instructions, "the end".into()),
        }
    }

    fn thin_out(&mut self) {
        if self.points.len() <= self.least {
            return;
        }
        let with = |wanted: &[Cause]| {
            let fits = |at: &usize| wanted.contains(&self.points[*at].cause);
            (0..self.points.len()).filter(fits).collect::<Vec<_>>()
        };
        let mut kept = spread(&with(&[Cause::Change]), self.most);
        let room = self.least.saturating_sub(kept.len());
        kept.extend(spread(&with(&[Cause::Look, Cause::Nothing]), room));
        let mut at = 0..;
        self.points.retain(|_| at.next().is_some_and(|at| kept.contains(&at)));
    }

    fn look_for_points(&mut self, victim: &Stepper) -> Came {
        let mut visits: HashMap<u64, usize> = HashMap::new();
        let _beside = victim.beside();
        let mut left = victim.remains();
        let (mut has_changed, mut cause) = (true, Cause::Change);
        loop {
            let Next { address, is_call, number } = victim.next();
            let visit = visits.entry(address).or_default();
            *visit += 1;
            if has_changed || self.which == Which::Each {
                self.points.push(Point {
                    at: left.place(address, self.images),
                    cause,
                    visit: *visit,
                    steps: self.instructions,
                });
            }
            let only_looks = number.is_some_and(|number| LOOKS.contains(&number));
            match if is_call { victim.step_call_or_sleep() } else { victim.step() } {
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
            let is_different = left.look_again();
            has_changed = is_different || is_call;
            cause = match (is_different, is_call) {
                (true, _) => Cause::Change,
                (false, true) if !only_looks => Cause::Change,
                (false, true) => Cause::Look,
                (false, false) => Cause::Nothing,
            };
        }
    }
}

impl fmt::Display for KillPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.which {
            Which::Each => write!(f, "killed at {} instructions", self.kills())?,
            Which::Calls => write!(f, "killed at {} stops at system calls", self.kills())?,
            Which::Changes => write!(f, "killed after {} changes in {} instructions", self.kills(), self.instructions)?,
        }
        if self.strays == 0 { Ok(()) } else { write!(f, " ({} took another way)", self.strays) }
    }
}

/// So many of them at most, among them the first and the last.
fn spread(all: &[usize], limit: usize) -> Vec<usize> {
    if all.len() <= limit {
        return all.to_vec();
    }
    (0..limit).map(|number| all[number * (all.len() - 1) / (limit - 1).max(1)]).collect()
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
