//! A storm: processes that do everything this crate can, at random, while they are killed with SIGKILL, at random.
//!
//! ```text
//! cargo run --release --example kill_storm -- [--seconds S] [--processes P] [--backend B] [--seed N] [--kill-every MS]
//! ```
//!
//! The last line is `kills K operations N stuck 0 lost 0`. *Stuck* is a call that doesn't come back though what it waits
//! for is there; *lost* is whatever the books say can't be. Several times a second the workers stand still, or are all
//! killed at once; then the books must balance, and a process that wasn't there before must be able to use everything.
//!
//! # The books
//!
//! | what | a process | must hold | killed there, it leaves |
//! |---|---|---|---|
//! | `Mutex`, `ReentrantMutex`, `RwLock` for writing | signs, adds to one number, notes it at its desk, adds to another, takes its name out ([`ledger`]) | no name, both numbers what the desks say; nobody else alive holds it ([`desk`]); poison only if somebody was killed since the last time, and not while who signed lives | anything, with poison: who comes next makes the numbers what the desks say. At rest, poison or order |
//! | `RwLock` for reading, upgradable | looks twice | the same, and no change in between | nothing |
//! | `Condvar`, and the mutex of its mailbox | puts letters and notifies before it lets go of the mutex; waits for letters and takes them | letters are those put less those taken, unless poisoned | poison; who is told of it notifies everybody, as the victim may not have come to it. A notification that reached it reaches another |
//! | counting `Semaphore`s | announces, posts or takes, and notes that it did in one store ([`lane`]) | at rest, the value is what was posted less what was taken | one permit more or less, of the one call that it had announced |
//! | binary `Semaphore`, auto-reset `Event` | sets, waits | at most one permit; who waits beside it is stuck | set or not; at rest, nothing |
//! | manual-reset `Event` | sets, resets, waits | who waits while it is set is stuck | set or not |
//! | `Permits` | takes a number for each one it has | never more holders alive than permits, at one moment; at rest, all are there | nothing: its permit is there |
//! | `Barrier` | counts rounds, as their leader or not ([`rounds`]) | as many others for each leader as take part | a broken round, or one member of a completed one that isn't counted |
//! | `Once`, `OnceLock` | does it, in two stores | nobody else alive does it; done, both are there, and it is never done again; all see one value | half of it, which the next one does over |
//! | creating and opening cells | opens or creates a chapter, whoever comes first | it is whole | nothing, or a whole one |
//!
//! Kills come every few milliseconds, mostly to those who hold something, who sleep, or who were woken and haven't got to run:
//! every second worker runs later than others and on one processor, so that there are some of these. Now and then several
//! are killed at once.
//!
//! Nothing but a keeper that nobody kills makes sure that whoever waits gets what it waits for: where there is none, it
//! gives one, and never a second ([`keeper`]). So all waits are short, and what is not is stuck.

mod arena;
mod audit;
mod boss;
mod crew;
mod desk;
mod keeper;
mod lane;
mod ledger;
mod locks;
mod rounds;
mod signals;
mod worker;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::value_parser as number;
use clap::{Parser, ValueEnum};
use nix::sys::signal::{SigSet, Signal};
use pshared::backend::Backend;
use pshared::futex::Futex;
use pshared::generic::{Event, Semaphore};
use pshared::posix::Posix;
use pshared::pthread::Pthread;
use pshared::sysv::Sysv;

use boss::{Tally, Weather, storm};

/// Lets processes do everything that pshared can while they are killed at random, and says whether anything was lost, or
/// anybody stuck.
///
/// The exit status is 1 if so.
#[derive(Parser)]
#[command(
    name = "kill_storm",
    override_usage = "kill_storm [--seconds S] [--processes P] [--backend B] [--seed N] [--kill-every MS]"
)]
struct Cli {
    /// How long it takes, all backends together
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = number!(u64).range(1..))]
    seconds: u64,

    /// How many processes work at a time
    #[arg(long, value_name = "P", default_value_t = 8, value_parser = number!(u32).range(2..=arena::MAX_WORKERS as i64))]
    processes: u32,

    /// What the primitives are built on; of all, futexes get half the time
    #[arg(long, value_name = "B", value_enum, default_value_t = Choice::Futex)]
    backend: Choice,

    /// Repeats the choice of operations and victims; what comes of them is the system's doing
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// How many milliseconds pass between two kills, at least
    #[arg(long, value_name = "MS", default_value_t = 4, value_parser = number!(u64).range(1..))]
    kill_every: u64,

    #[command(flatten)]
    post: Option<crew::Post>,

    /// The backend of a process of the crew
    #[arg(long, hide = true)]
    on: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Choice {
    Futex,
    Pthread,
    Posix,
    Sysv,
    All,
}

/// A backend to make a storm on.
pub trait Storm: Backend + Sized {
    /// Waits for any of these; where the backend can't, that is a wait whose time is up.
    fn wait_any(_: &Semaphore<Self>, _: [&Event<Self>; 2], _: Duration) -> pshared::Result<usize> {
        Err(pshared::Error::TimedOut)
    }

    /// Removes what a killed process may have left in the system.
    fn sweep() {}
}

impl Storm for Futex {
    fn wait_any(semaphore: &Semaphore<Self>, [a, b]: [&Event<Self>; 2], time: Duration) -> pshared::Result<usize> {
        pshared::wait_any(&[semaphore, a, b], time)
    }
}

impl Storm for Pthread {}
impl Storm for Posix {}

impl Storm for Sysv {
    fn sweep() {
        // Younger ones may be somebody's who is about to use them.
        thread::sleep(Duration::from_secs(3));
        let _ = pshared::sysv::sweep();
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.post {
        Some(post) => cli.work(post).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        None => cli.run(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("kill_storm: {error}");
        ExitCode::FAILURE
    })
}

impl Cli {
    fn work(&self, post: &crew::Post) -> pshared::Result<()> {
        match self.on.as_deref() {
            Some(Pthread::NAME) => post.take_up::<Pthread>(self.seed),
            Some(Posix::NAME) => post.take_up::<Posix>(self.seed),
            Some(Sysv::NAME) => post.take_up::<Sysv>(self.seed),
            _ => post.take_up::<Futex>(self.seed),
        }
    }

    fn run(&self) -> Result<ExitCode, Box<dyn Error>> {
        static INTERRUPTED: AtomicBool = AtomicBool::new(false);
        note_interrupts(&INTERRUPTED)?;
        type AStorm = fn(&Weather<'_>) -> Result<Tally, Box<dyn Error>>;
        let storms: &[AStorm] = match self.backend {
            Choice::Futex => &[storm::<Futex>],
            Choice::Pthread => &[storm::<Pthread>],
            Choice::Posix => &[storm::<Posix>],
            Choice::Sysv => &[storm::<Sysv>],
            Choice::All => &[storm::<Futex>, storm::<Pthread>, storm::<Posix>, storm::<Sysv>],
        };
        let all = Duration::from_secs(self.seconds);
        let mut sum = Tally::default();
        for (number, storm) in storms.iter().enumerate() {
            let time = match storms.len() {
                1 => all,
                _ if number == 0 => all / 2,
                many => all / 2 / (many as u32 - 1),
            };
            let weather = Weather {
                workers: self.processes as usize,
                time,
                kill_every: Duration::from_millis(self.kill_every),
                seed: self.seed,
                interrupted: &INTERRUPTED,
            };
            let Tally { kills, operations, stuck, lost } = storm(&weather)?;
            sum.kills += kills;
            sum.operations += operations;
            sum.stuck += stuck;
            sum.lost += lost;
        }
        if matches!(self.backend, Choice::Sysv | Choice::All) {
            Sysv::sweep();
        }
        let Tally { kills, operations, stuck, lost } = sum;
        writeln!(io::stdout(), "kills {kills} operations {operations} stuck {stuck} lost {lost}")?;
        Ok(if stuck == 0 && lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Has Ctrl-C, and what asks for the same, noted in `interrupted` instead of ending the process.
fn note_interrupts(interrupted: &'static AtomicBool) -> nix::Result<()> {
    let mut signals = SigSet::empty();
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().for_each(|signal| signals.add(signal));
    signals.thread_block()?;
    thread::spawn(move || {
        while signals.wait().is_ok() {
            interrupted.store(true, Ordering::Relaxed);
        }
    });
    Ok(())
}
