//! A worker: random operations, one after another, until it is killed.

use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use pshared::{Cause, Error, Result, Shm};

use std::sync::atomic::Ordering;

use crate::Storm;
use crate::arena::{Arena, Chapter, phase};
use crate::desk::{Desk, Op};
use crate::ledger::{self, Known, Steps};

/// A process of the storm: a worker, and what the keeper and the inspector have in common with it.
pub struct Worker<'a, B: Storm> {
    pub arena: &'a Arena<B>,
    pub name: &'a str,
    /// The number of its desk.
    pub at: usize,
    pub desk: &'a Desk,
    pub life: u64,
    pub rng: Rng,
    pub chapter: Option<(u32, Shm<Chapter<B>>)>,
}

/// How long a call is ready to wait.
#[derive(Clone, Copy)]
pub enum How {
    Forever,
    Never,
    For(Duration),
    Until(Instant),
}

/// A ledger, the lock around it, and who must not be there at the same time.
#[derive(Clone, Copy)]
pub struct Kind {
    pub ledger: usize,
    pub name: &'static str,
    pub hold: u32,
    pub excludes: u32,
}

impl<'a, B: Storm> Worker<'a, B> {
    pub fn new(arena: &'a Arena<B>, name: &'a str, at: usize, life: u32, seed: u64) -> Self {
        let life = u64::from(life) << 32 | u64::from(std::process::id());
        let desk = &arena.desks[at];
        desk.life.store(life, Ordering::SeqCst);
        let rng = Rng::with_seed(seed ^ life >> 32 ^ (at as u64) << 48);
        Worker { arena, name, at, desk, life, rng, chapter: None }
    }

    /// Operations until the end, which somebody else has to bring about.
    pub fn work(&mut self) -> ! {
        loop {
            self.stand_still_if_told();
            let outcome = match self.rng.u8(..20) {
                0..=2 => self.mutex(),
                3..=4 => self.reentrant(),
                5..=6 => self.read(),
                7..=8 => self.write(),
                9..=10 => self.upgradable(),
                11..=12 => self.mail(),
                13..=14 => self.semaphore(),
                15 => self.binary_or_event(),
                16 => self.permit(),
                17 => self.meet(),
                18 => self.chapter(),
                _ => self.several(),
            };
            if let Err(error) = outcome {
                self.arena.lost(&format!("an error that nothing explains: {error}"));
            }
        }
    }

    fn stand_still_if_told(&self) {
        if self.arena.phase() != phase::STORM {
            self.stand_still_until(|phase| phase == phase::STORM);
        }
    }

    pub fn stand_still_until(&self, is_over: impl Fn(u32) -> bool) {
        self.desk.parked.store(true, Ordering::SeqCst);
        while !is_over(self.arena.phase()) {
            thread::sleep(Duration::from_micros(300));
        }
        self.desk.parked.store(false, Ordering::SeqCst);
    }

    pub fn how(&mut self) -> How {
        let brief = Duration::from_micros(self.rng.u64(..3000));
        match self.rng.u8(..10) {
            0..=5 => How::Forever,
            6 => How::Never,
            7..=8 => How::For(brief),
            _ => How::Until(Instant::now() + brief),
        }
    }

    /// Stays where it is for a moment, mostly a short one.
    pub fn linger(&mut self) {
        match self.rng.u8(..20) {
            0..=11 => {}
            12..=15 => thread::yield_now(),
            16..=18 => (0..self.rng.u32(..2000)).for_each(|_| std::hint::spin_loop()),
            _ => thread::sleep(Duration::from_micros(self.rng.u64(..300))),
        }
    }

    /// Takes as long as what is done only once may take: there would be no time to kill who does it.
    pub fn take_time(&mut self) {
        if self.rng.bool() {
            thread::sleep(Duration::from_micros(self.rng.u64(..3000)));
        }
    }

    /// What is done with a ledger by whoever has its lock: looks at what is there, puts it right after a death, adds to it.
    pub fn keep_books(&mut self, book: &mut dyn Steps, kind: Kind, told: Option<Cause>, clear: &dyn Fn()) {
        self.desk.hold(kind.hold);
        self.look(book, kind, told);
        if told.is_some() {
            self.repair(book, kind);
            clear();
        }
        let before = book.read();
        book.sign(self.life);
        book.set_one(before.one + 1);
        self.desk.add(kind.ledger);
        self.linger();
        let now = book.read();
        if now.owner != self.life || now.one != before.one + 1 || now.other != before.other {
            self.arena.lost(&format!("{}: changed by another in the middle: {before:?}, {now:?}", kind.name));
        }
        book.set_other(before.other + 1);
        book.sign(0);
        self.desk.release(kind.hold);
    }

    /// Complains about what whoever has just got the lock shouldn't find.
    pub fn look(&self, book: &dyn Steps, kind: Kind, told: Option<Cause>) {
        self.arena.nobody_holds(kind.excludes, self.at, kind.name);
        let found = book.read();
        let known = Known { added: self.arena.added(kind.ledger), killing: self.arena.killing.load(Ordering::SeqCst) };
        if let Some(what) = ledger::wrong(found, told, known) {
            self.arena.lost(&format!("{}: {what}", kind.name));
        }
        let is_alive = |owner| self.arena.desks.iter().any(|desk| desk.is_alive(owner));
        if told.is_some() && is_alive(found.owner) {
            self.arena.lost(&format!(
                "{}: process {} is inside and lives, but is said to have died",
                kind.name, found.owner as u32
            ));
        }
    }

    pub fn repair(&self, book: &mut dyn Steps, kind: Kind) {
        self.arena.owner_deaths.fetch_add(1, Ordering::Relaxed);
        ledger::repair(book, self.arena.added(kind.ledger), self.arena.killed.load(Ordering::SeqCst));
    }

    /// The chapter that is open now.
    pub fn open_chapter(&mut self) -> Result<Shm<Chapter<B>>> {
        let number = self.arena.chapter.load(Ordering::SeqCst);
        if let Some((open, chapter)) = &self.chapter
            && *open == number
        {
            return Ok(chapter.clone());
        }
        self.chapter = None;
        let name = Chapter::<B>::name(self.name, number);
        let chapter = self.desk.call(Op::Chapter, || Shm::open_or_create(&name, || Ok(Chapter::new())))?;
        self.chapter = Some((number, chapter.clone()));
        Ok(chapter)
    }
}

/// What a call that may give up came to.
pub fn unless_impatient<R>(outcome: Result<R>, how: How) -> Result<Option<R>> {
    match (outcome, how) {
        (Ok(result), _) => Ok(Some(result)),
        (Err(Error::WouldBlock), How::Never) => Ok(None),
        (Err(Error::TimedOut), How::For(_) | How::Until(_)) => Ok(None),
        (Err(error), _) => Err(error),
    }
}
