//! The boss: it starts the others, kills them, looks whether they get on, and balances the books.

use std::error::Error;
use std::io::{self, Write};
use std::process::{self, Child};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use pshared::Shm;

use crate::arena::{Arena, Chapter, DESKS, INSPECTOR, KEEPER, phase};
use crate::audit::{Open, audit};
use crate::desk::{self, OPS, Op, hold};
use crate::{Storm, crew};

/// Nothing waits so long, also on a machine that has a lot else to do: what does is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// The storm blows so long between two quiet points.
const BETWEEN: Duration = Duration::from_millis(400);

/// So many processes in a row may end unasked before the boss gives up.
const MOST_UNASKED: u32 = 50;

/// What came of a storm.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    pub kills: u64,
    pub operations: u64,
    pub stuck: u64,
    pub lost: u64,
}

/// What somebody asked for.
pub struct Weather<'a> {
    pub workers: usize,
    pub time: Duration,
    pub kill_every: Duration,
    pub seed: u64,
    /// Set when it is to end before its time.
    pub interrupted: &'a AtomicBool,
}

struct Boss<'a, B: Storm> {
    arena: Shm<Arena<B>>,
    name: String,
    weather: &'a Weather<'a>,
    seats: Vec<Option<Child>>,
    lives: u32,
    unasked: u32,
    open: Open,
    rng: Rng,
    kills: u64,
    asleep: u64,
    woken: u64,
    stuck: u64,
    quiet_points: u64,
    longest_gathering: Duration,
}

/// A storm from beginning to end, in an arena of its own.
pub fn storm<B: Storm>(weather: &Weather<'_>) -> Result<Tally, Box<dyn Error>> {
    let since_the_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = format!("kill_storm-{}-{}", process::id(), since_the_epoch.as_nanos());
    let mut boss = Boss::<B> {
        arena: Shm::create(&name, Arena::new)?,
        name,
        weather,
        seats: (0..DESKS).map(|_| None).collect(),
        lives: 0,
        unasked: 0,
        open: Open::default(),
        rng: Rng::with_seed(weather.seed),
        kills: 0,
        asleep: 0,
        woken: 0,
        stuck: 0,
        quiet_points: 0,
        longest_gathering: Duration::ZERO,
    };
    boss.run()?;
    boss.report_waits()?;
    Ok(boss.tally())
}

impl<B: Storm> Boss<'_, B> {
    fn run(&mut self) -> Result<(), Box<dyn Error>> {
        let began = Instant::now();
        self.start(KEEPER)?;
        let mut reported = 0;
        while began.elapsed() < self.weather.time && !self.is_interrupted() {
            self.arena.phase.store(phase::STORM, Ordering::SeqCst);
            for desk in (0..self.weather.workers).filter(|desk| self.seats[*desk].is_none()).collect::<Vec<_>>() {
                self.start(desk)?;
            }
            let until = Instant::now() + BETWEEN.min(self.weather.time);
            while Instant::now() < until && !self.is_interrupted() {
                thread::sleep(self.weather.kill_every.min(BETWEEN));
                self.kill_some()?;
                self.look_after_everybody()?;
                if began.elapsed().as_secs() > reported {
                    reported = began.elapsed().as_secs();
                    self.report(reported)?;
                }
            }
            self.quiet_point()?;
        }
        Ok(())
    }

    fn is_interrupted(&self) -> bool {
        self.weather.interrupted.load(Ordering::Relaxed)
    }

    fn start(&mut self, desk: usize) -> io::Result<()> {
        self.lives += 1;
        self.seats[desk] = Some(crew::start(&self.name, B::NAME, desk, self.lives)?);
        Ok(())
    }

    /// Kills one, or several at once, and puts others in their places.
    fn kill_some(&mut self) -> io::Result<()> {
        let workers: Vec<usize> = (0..self.weather.workers).filter(|desk| self.seats[*desk].is_some()).collect();
        if workers.is_empty() {
            return Ok(());
        }
        let of = |pick: &dyn Fn(usize) -> bool| workers.iter().copied().filter(|desk| pick(*desk)).collect::<Vec<_>>();
        let desks = &self.arena.desks;
        let holds = |desk: usize, what| desks[desk].holds.load(Ordering::Relaxed) & what != 0;
        let mut victims = match self.rng.u8(..20) {
            // Those who hold something, who sleep for something, or were woken and haven't got to run have more to leave
            // behind than others.
            0..=1 => of(&|desk| holds(desk, u32::MAX)),
            2..=3 => of(&|desk| holds(desk, hold::ANY_ONCE)),
            4..=7 => of(&|desk| self.is_in_a_call(desk, 'S')),
            8..=15 => of(&|desk| self.is_in_a_call(desk, 'R')),
            _ => workers.clone(),
        };
        if victims.is_empty() {
            victims = workers;
        }
        self.rng.shuffle(&mut victims);
        let several = self.rng.u8(..16) == 0;
        victims.truncate(if several { self.rng.usize(1..=victims.len()) } else { 1 });
        self.kill(&victims)?;
        victims.into_iter().try_for_each(|desk| self.start(desk))
    }

    /// Whether it is in a call for a while, asleep or ready to run.
    fn is_in_a_call(&self, desk: usize, state: char) -> bool {
        let pid = self.seats[desk].as_ref().map(Child::id);
        self.arena.desks[desk].waits().is_some_and(|(_, time)| time > 0) && pid.and_then(desk::state) == Some(state)
    }

    /// Kills them at once, and waits for their ends.
    fn kill(&mut self, victims: &[usize]) -> io::Result<()> {
        self.asleep += victims.iter().filter(|desk| self.is_in_a_call(**desk, 'S')).count() as u64;
        self.woken += victims.iter().filter(|desk| self.is_in_a_call(**desk, 'R')).count() as u64;
        self.arena.killing.fetch_add(victims.len() as u64, Ordering::SeqCst);
        for desk in victims {
            if let Some(process) = &mut self.seats[*desk] {
                process.kill()?;
            }
        }
        for desk in victims {
            if let Some(mut process) = self.seats[*desk].take() {
                let status = process.wait()?;
                if !crew::was_killed(status) {
                    self.arena.lost(&format!("desk {desk}: ended before it was killed: {status}"));
                }
            }
            self.open.close(&self.arena.desks[*desk]);
        }
        self.arena.killed.fetch_add(victims.len() as u64, Ordering::SeqCst);
        self.kills += victims.len() as u64;
        Ok(())
    }

    /// Looks whether anybody is stuck, or has ended unasked.
    fn look_after_everybody(&mut self) -> Result<(), Box<dyn Error>> {
        for desk in 0..DESKS {
            let Some(process) = &mut self.seats[desk] else { continue };
            if desk != INSPECTOR
                && let Some(status) = process.try_wait()?
            {
                self.arena.lost(&format!("desk {desk}: ended unasked: {status}"));
                self.arena.killing.fetch_add(1, Ordering::SeqCst);
                self.arena.killed.fetch_add(1, Ordering::SeqCst);
                self.seats[desk] = None;
                self.open.close(&self.arena.desks[desk]);
                self.unasked += 1;
                if self.unasked > MOST_UNASKED {
                    return Err("processes of the storm end by themselves, one after another".into());
                }
                self.start(desk)?;
            } else if let Some((op, time)) = self.arena.desks[desk].waits()
                && u128::from(time) > PATIENCE.as_millis()
            {
                self.stuck += 1;
                eprintln!("kill_storm: stuck, on {}: desk {desk} waits for the {op} since {time} ms, when", B::NAME);
                self.describe_everybody();
                self.kill(&[desk])?;
                if desk != INSPECTOR {
                    self.start(desk)?;
                }
            }
        }
        Ok(())
    }

    fn describe_everybody(&self) {
        let seats = self.seats.iter().zip(&self.arena.desks).enumerate();
        for (number, (process, desk)) in
            seats.filter_map(|(number, (seat, desk))| Some((number, (seat.as_ref()?, desk))))
        {
            let state = desk::state(process.id()).unwrap_or('?');
            let holds = desk.holds.load(Ordering::Relaxed);
            let waits = desk.waits().map_or("nothing".into(), |(op, time)| format!("the {op} for {time} ms"));
            let parked = if desk.parked.load(Ordering::Relaxed) { ", stands still" } else { "" };
            eprintln!(
                "    desk {number}, process {} ({state}) waits for {waits}, holds {holds:#b}{parked}",
                process.id()
            );
        }
    }

    /// Has everybody stand still, or kills all workers at once, and balances the books.
    fn quiet_point(&mut self) -> Result<(), Box<dyn Error>> {
        self.quiet_points += 1;
        if self.quiet_points.is_multiple_of(3) {
            let all: Vec<usize> = (0..self.weather.workers).filter(|desk| self.seats[*desk].is_some()).collect();
            self.kill(&all)?;
        }
        let began = Instant::now();
        self.arena.phase.store(phase::GATHERING, Ordering::SeqCst);
        self.wait_for_those_at(0..self.weather.workers)?;
        self.longest_gathering = self.longest_gathering.max(began.elapsed());
        self.arena.phase.store(phase::QUIET, Ordering::SeqCst);
        self.wait_for_those_at(KEEPER..KEEPER + 1)?;

        audit(&self.arena, &mut self.open);
        let chapter = self.arena.chapter.fetch_add(1, Ordering::SeqCst);
        // Nobody may have come to open it.
        let _ = Shm::<Chapter<B>>::remove(&Chapter::<B>::name(&self.name, chapter));
        self.inspect()?;
        audit(&self.arena, &mut self.open);
        Ok(())
    }

    fn wait_for_those_at(&mut self, desks: std::ops::Range<usize>) -> Result<(), Box<dyn Error>> {
        let stands = |desk: &desk::Desk| desk.parked.load(Ordering::SeqCst);
        while desks.clone().any(|desk| self.seats[desk].is_some() && !stands(&self.arena.desks[desk])) {
            thread::sleep(Duration::from_micros(500));
            self.look_after_everybody()?;
        }
        Ok(())
    }

    /// Lets a process that wasn't there before use everything.
    fn inspect(&mut self) -> Result<(), Box<dyn Error>> {
        self.start(INSPECTOR)?;
        let stuck = self.stuck;
        loop {
            if let Some(process) = &mut self.seats[INSPECTOR]
                && let Some(status) = process.try_wait()?
            {
                self.seats[INSPECTOR] = None;
                self.open.close(&self.arena.desks[INSPECTOR]);
                if !status.success() {
                    self.arena.lost(&format!("a fresh process can't use everything: {status}"));
                }
                return Ok(());
            }
            self.look_after_everybody()?;
            if self.stuck > stuck && self.seats[INSPECTOR].is_none() {
                return Ok(());
            }
            thread::sleep(Duration::from_micros(500));
        }
    }

    fn tally(&self) -> Tally {
        Tally {
            kills: self.kills,
            operations: self.arena.desks.iter().map(|desk| desk.calls.load(Ordering::Relaxed)).sum(),
            stuck: self.stuck,
            lost: self.arena.lost.load(Ordering::SeqCst),
        }
    }

    /// The longest wait, by what was waited for, in milliseconds.
    fn longest_waits(&self) -> [u32; OPS] {
        let all = self.arena.desks.iter().map(|desk| desk.longest());
        all.fold([0; OPS], |all, one| std::array::from_fn(|op| all[op].max(one[op])))
    }

    fn report(&self, seconds: u64) -> io::Result<()> {
        let Tally { kills, operations, stuck, lost } = self.tally();
        let deaths = self.arena.owner_deaths.load(Ordering::Relaxed);
        let longest = self.longest_waits().into_iter().max().unwrap_or_default();
        writeln!(
            io::stdout(),
            "{}, {seconds} s: {operations} operations, {kills} kills ({} asleep, {} just woken), {deaths} owners' deaths seen, \
             {} quiet points, longest wait {longest} ms, stuck {stuck}, lost {lost}",
            B::NAME,
            self.asleep,
            self.woken,
            self.quiet_points,
        )
    }

    fn report_waits(&self) -> io::Result<()> {
        let waits = self.longest_waits();
        let each = Op::NAMES.iter().zip(waits).map(|(name, wait)| format!("{name} {wait}"));
        let gathering = self.longest_gathering.as_millis();
        let each = each.collect::<Vec<_>>().join(", ");
        writeln!(io::stdout(), "{}, longest waits in ms: {each}; until all stood still {gathering}", B::NAME)
    }
}

impl<B: Storm> Drop for Boss<'_, B> {
    fn drop(&mut self) {
        for process in self.seats.iter_mut().flatten() {
            // Both fail only for one that is gone, which is what is wanted.
            let _ = process.kill();
            let _ = process.wait();
        }
        crew::remove::<B>(&self.name);
    }
}
