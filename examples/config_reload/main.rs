//! Many processes read a configuration that one keeps reloading. Any of them may be killed at any moment: no reader ever
//! sees a half-written one, and nobody waits for the dead.
//!
//! ```text
//! cargo run --release --example config_reload -- [--readers N] [--reloads N] [--kill K]
//! ```
//!
//! - `config.rs` is what all processes share, and how it survives a death: start reading there.
//! - This file is the rest: a writer, a reader, and the process that you start, which sees to it that they work.

#[path = "../common/mod.rs"]
mod common;
mod config;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use clap::Parser;
use clap::value_parser as number;

use common::{Crew, Kills, Named, Post, progress_bar, random};
use config::{Config, Reader};

/// The writer's place among the workers; the readers follow.
const WRITER: usize = 0;

/// Lets many processes read a configuration while one reloads it, and says whether one of them ever saw it half-written.
///
/// The exit status is 1 if so.
#[derive(Parser)]
#[command(name = "config_reload", override_usage = "config_reload [--readers N] [--reloads N] [--kill K]")]
struct Cli {
    /// How many processes read
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = number!(u32).range(1..=config::MAX_READERS as i64))]
    readers: u32,

    /// How often the configuration is reloaded
    #[arg(long, value_name = "N", default_value_t = 5000)]
    reloads: u64,

    /// Kill the writer or a reader with SIGKILL, so many times, at random moments
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = number!(u32).range(..=1_000_000))]
    kill: u32,

    #[command(flatten)]
    post: Option<Post>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.post {
        Some(post) => work(post, &cli).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        None => run(&cli),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("config_reload: {error}");
        ExitCode::FAILURE
    })
}

/// Writes or reads, as the worker's number has it. It may be killed at any instruction.
fn work(post: &Post, cli: &Cli) -> pshared::Result<()> {
    let config = post.take_up::<Config>()?;
    match post.slot.checked_sub(WRITER + 1) {
        None => write(&config, cli.reloads),
        Some(reader) => read(&config, &config.readers[reader], cli.reloads),
    }
}

/// Reloads until the last version. One that takes over from a dead one goes on from the version that it finds.
fn write(config: &Config, last: u64) -> pshared::Result<()> {
    loop {
        let version = config.read()?.version;
        if version == last {
            return Ok(());
        }
        if version < config.released.load(Ordering::Relaxed) {
            config.reload()?;
        }
        thread::sleep(Duration::from_micros(50));
    }
}

/// Reads until the last version, and looks whether what it sees is whole and not older than before.
fn read(config: &Config, me: &Reader, last: u64) -> pshared::Result<()> {
    let mut version = 0;
    while version < last {
        let settings = config.read()?;
        if !settings.are_whole() || settings.version < version {
            me.torn.fetch_add(1, Ordering::Relaxed);
        }
        me.reads.fetch_add(1, Ordering::Relaxed);
        version = settings.version;
        drop(settings);
        // What a reader does with its settings, it does without the lock.
        thread::sleep(Duration::from_micros(50));
    }
    Ok(())
}

/// Has it all done; the exit code says whether no reader saw anything torn.
fn run(cli: &Cli) -> Result<ExitCode, Box<dyn Error>> {
    let kills = Kills::new(cli.kill, cli.reloads);
    let config = Named::create("config_reload", || Config::new(kills.released()))?;
    let killed = supervise(&config, kills, cli)?;

    let (reads, torn) = config.seen();
    let settings = config.read()?;
    if cli.kill > 0 {
        eprintln!("config_reload: in the middle of a reload: {}", settings.repairs());
    }
    writeln!(io::stdout(), "{reads} reads, {} reloads, {killed} kills, {torn} torn", settings.version)?;
    Ok(if torn == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sees to it that the workers get to the last version; returns how many it killed.
fn supervise(config: &Named<Config>, mut kills: Kills, cli: &Cli) -> Result<u32, Box<dyn Error>> {
    let mut crew = Crew::start(config.name(), cli.readers + 1)?;
    let bar = progress_bar(cli.reloads, "reloads");
    while crew.is_at_work() {
        thread::sleep(Duration::from_micros(200));
        let version = config.read()?.version;
        bar.set_position(version);
        // One in two is the writer, who has more to leave behind.
        let victims: &[usize] = if random(2) == 0 { &[WRITER] } else { &[] };
        if kills.are_due(version) && crew.kill_one(victims)? {
            kills.one_made();
            config.released.store(kills.released(), Ordering::Relaxed);
        }
        crew.replace_the_dead(version)?;
    }
    bar.finish_and_clear();
    Ok(crew.killed())
}
