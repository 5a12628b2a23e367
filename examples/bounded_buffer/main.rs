//! Lines of files through a ring in shared memory, from many processes to many, any of which may be killed at any moment:
//! every line arrives exactly once.
//!
//! ```text
//! cargo run --release --example bounded_buffer -- [--producers N] [--consumers N] [--kill K] FILE…
//! ```
//!
//! - `buffer.rs` is what all processes share, and how it survives a death: start reading there.
//! - `workers.rs` is a producer and a consumer.
//! - This file is the process that you start. It sees to it that the workers do the work, and checks what came of it.

mod buffer;
#[path = "../common/mod.rs"]
mod common;
mod workers;

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser;
use clap::value_parser as number;

use buffer::{Buffer, Tally};
use common::{Crew, Kills, Named, Post, progress_bar, random};

/// Sends all lines of all FILEs through a ring in shared memory, and says whether every line arrived exactly once.
///
/// The exit status is 1 if not, or if a file can't be read. Each producer reads the files for itself: no pipes.
#[derive(Parser)]
#[command(name = "bounded_buffer", override_usage = "bounded_buffer [--producers N] [--consumers N] [--kill K] FILE…")]
struct Cli {
    /// How many processes put lines in
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = number!(u32).range(1..=buffer::MAX_WORKERS as i64))]
    producers: u32,

    /// How many processes take lines out
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = number!(u32).range(1..=buffer::MAX_WORKERS as i64))]
    consumers: u32,

    /// Kill this many of them with SIGKILL, at random moments
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = number!(u32).range(..=1_000_000))]
    kill: u32,

    /// The files to send
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    #[command(flatten)]
    post: Option<Post>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.post {
        Some(post) => workers::work(post, &cli).map(|()| ExitCode::SUCCESS),
        None => run(&cli),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("bounded_buffer: {error}");
        ExitCode::FAILURE
    })
}

/// Sends everything; the exit code says whether it arrived.
fn run(cli: &Cli) -> Result<ExitCode, Box<dyn Error>> {
    let expected = expected(cli)?;
    let kills = Kills::new(cli.kill, expected.items);
    let buffer = Named::create("bounded_buffer", || Buffer::new(expected.items, kills.released()))?;
    let killed = supervise(&buffer, kills, expected.items, cli)?;

    if cli.kill > 0 {
        let (inside, taken_over) = buffer.deaths()?;
        eprintln!(
            "bounded_buffer: workers killed: {killed}, inside the lock: {inside}, lines taken over: {taken_over}"
        );
    }
    let Tally { lines, checksum, .. } = buffer.tally()?;
    if buffer.tally()? == expected {
        writeln!(io::stdout(), "{lines} lines, checksum {checksum:016x} equal")?;
        return Ok(ExitCode::SUCCESS);
    }
    let (all, sum) = (expected.lines, expected.checksum);
    writeln!(io::stdout(), "{lines} lines of {all}, checksum {checksum:016x} NOT EQUAL to {sum:016x}")?;
    Ok(ExitCode::FAILURE)
}

/// What has to arrive, straight from the files.
fn expected(cli: &Cli) -> Result<Tally, Box<dyn Error>> {
    for path in &cli.files {
        let kind = path.metadata().map_err(|error| format!("{}: {error}", path.display()))?;
        if !kind.is_file() {
            return Err(format!("{}: not a regular file, but every producer has to read it", path.display()).into());
        }
    }
    let mut tally = Tally::default();
    workers::each_line(&cli.files, |number, text| {
        tally.add(number, text);
        Ok(())
    })?;
    Ok(tally)
}

/// Sees to it that the workers get everything through; returns how many it killed.
fn supervise(buffer: &Named<Buffer>, mut kills: Kills, all: u64, cli: &Cli) -> Result<u32, Box<dyn Error>> {
    let mut crew = Crew::start(buffer.name(), cli.producers + cli.consumers)?;
    let bar = progress_bar(all, "lines");
    while crew.is_at_work() {
        thread::sleep(Duration::from_micros(200));
        let done = buffer.tally()?.items;
        bar.set_position(done);
        if kills.are_due(done) && crew.kill_one(&victims(buffer, cli)?)? {
            kills.one_made();
            buffer.release(kills.released())?;
        }
        crew.replace_the_dead(done)?;
    }
    bar.finish_and_clear();
    Ok(crew.killed())
}

/// Whom to kill next, by their places among the workers: half the time the consumers that have a line in their hand, for it
/// is they who leave something to do again. Nobody means anybody.
fn victims(buffer: &Buffer, cli: &Cli) -> pshared::Result<Vec<usize>> {
    if random(2) == 0 {
        return Ok(Vec::new());
    }
    Ok(buffer.busy()?.into_iter().map(|consumer| consumer + cli.producers as usize).collect())
}
