//! Many workers, of whom only a few may work at a time. Killing any of them at any moment loses neither a job nor a slot.
//!
//! ```text
//! cargo run --release --example worker_pool -- [--workers N] [--jobs N] [--kill K]
//! ```
//!
//! - `pool.rs` is what all processes share, and how it survives a death: start reading there.
//! - This file is the rest: a worker, and the process that you start, which sees to it that the work gets done.

#[path = "../common/mod.rs"]
mod common;
mod pool;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser;
use clap::value_parser as number;

use common::{Crew, Kills, Named, Post, progress_bar};
use pool::{PERMITS, Pool, Turn};

/// Has jobs done by many processes, three of which work at a time, and says whether all were done once and all permits are
/// back.
///
/// The exit status is 1 if not.
#[derive(Parser)]
#[command(name = "worker_pool", override_usage = "worker_pool [--workers N] [--jobs N] [--kill K]")]
struct Cli {
    /// How many processes there are to work
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = number!(u32).range(1..=pool::MAX_WORKERS as i64))]
    workers: u32,

    /// How many jobs there are to do, about a millisecond each
    #[arg(long, value_name = "N", default_value_t = 500)]
    jobs: u64,

    /// Kill this many workers with SIGKILL, while they work, at random moments
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = number!(u32).range(..=1_000_000))]
    kill: u32,

    #[command(flatten)]
    post: Option<Post>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.post {
        Some(post) => work(post).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        None => run(&cli),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("worker_pool: {error}");
        ExitCode::FAILURE
    })
}

/// Does jobs until there are none left. It may be killed at any instruction.
fn work(post: &Post) -> pshared::Result<()> {
    let pool = post.take_up::<Pool>()?;
    loop {
        // Given back at the end of the round, and when this process is killed.
        let permit = pool.permits.acquire()?;
        match pool.change(|books| books.next_turn(post.slot))? {
            Turn::Work(job) => {
                let result = do_job(job);
                pool.change(|books| books.settle(post.slot, result))?;
            }
            Turn::Wait => {
                drop(permit);
                thread::sleep(Duration::from_millis(1));
            }
            Turn::Finish => return Ok(()),
        }
    }
}

/// Something that takes a while: adds up the digits of 100 000 numbers.
fn do_job(job: u64) -> u64 {
    (job * 100_000..(job + 1) * 100_000).map(sum_of_digits).sum()
}

/// What it must come to: all the numbers begin with the digits of the job's, then come five that take every value.
fn expected(job: u64) -> u64 {
    100_000 * sum_of_digits(job) + 5 * 10_000 * 45
}

fn sum_of_digits(number: u64) -> u64 {
    std::iter::successors(Some(number), |rest| Some(rest / 10)).take_while(|&rest| rest > 0).map(|rest| rest % 10).sum()
}

/// Has all jobs done; the exit code says whether they were, and whether no permit is missing.
fn run(cli: &Cli) -> Result<ExitCode, Box<dyn Error>> {
    let kills = Kills::new(cli.kill, cli.jobs);
    let pool = Named::create("worker_pool", || Pool::new(cli.jobs, kills.released()))?;
    let killed = supervise(&pool, kills, cli)?;

    let (done, sum, taken_over) = pool.change(|books| (books.done, books.sum, books.taken_over))?;
    if cli.kill > 0 {
        eprintln!("worker_pool: jobs taken over from the dead: {taken_over}");
    }
    let available = pool.permits.available();
    writeln!(io::stdout(), "{done} jobs done, {killed} kills, {available} of {PERMITS} permits available")?;
    let all_is_well = done == cli.jobs && sum == (0..cli.jobs).map(expected).sum::<u64>() && available == PERMITS;
    Ok(if all_is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sees to it that the workers do all jobs; returns how many it killed.
fn supervise(pool: &Named<Pool>, mut kills: Kills, cli: &Cli) -> Result<u32, Box<dyn Error>> {
    let mut crew = Crew::start(pool.name(), cli.workers)?;
    let bar = progress_bar(cli.jobs, "jobs");
    while crew.is_at_work() {
        thread::sleep(Duration::from_micros(200));
        let (done, busy) = pool.change(|books| (books.done, books.busy()))?;
        bar.set_position(done);
        if kills.are_due(done) && crew.kill_one(&busy)? {
            kills.one_made();
            pool.change(|books| books.released = kills.released())?;
        }
        crew.replace_the_dead(done)?;
    }
    bar.finish_and_clear();
    Ok(crew.killed())
}
