//! `wc` with many processes, any of which may be killed at any moment without the totals being wrong.
//!
//! ```text
//! cargo run --release --example word_count -- [--processes N] [--kill K] FILE…
//! ```
//!
//! - `books.rs` is the struct that all processes share, and how it is repaired when one dies in the middle of a change:
//!   start reading there.
//! - `worker.rs` is a worker process: take a file, count it, enter the counts, take the next.
//! - `boss.rs` is the process that you start; `common/crew.rs` starts workers for it, kills some if asked, replaces the dead.
//! - `count.rs` counts one file, `report.rs` words the outcome.

mod books;
mod boss;
#[path = "../common/mod.rs"]
mod common;
mod count;
mod report;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use clap::Parser;

/// Counts lines, words and bytes of all FILEs together, as `LC_ALL=C wc` does, in several processes.
///
/// A file that can't be read is reported, the rest is counted, and the exit status is 1. Pipes and terminals are refused:
/// what a killed worker was reading is read again from its beginning.
#[derive(Parser)]
#[command(name = "word_count", override_usage = "word_count [--processes N] [--kill K] FILE…")]
struct Cli {
    /// How many worker processes count [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=books::MAX_WORKERS as i64))]
    processes: Option<u32>,

    /// Kill this many workers with SIGKILL, at random moments
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    kill: u32,

    /// What a word begins with: GNU wc before 9.5 takes printable characters only, later ones anything but white space
    #[arg(long, value_name = "RULE", value_enum, default_value_t)]
    words: count::Words,

    /// The files to count
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    #[command(flatten)]
    post: Option<common::Post>,
}

impl Cli {
    fn processes(&self) -> u32 {
        let cores = || thread::available_parallelism().map_or(1, |cores| cores.get());
        self.processes.unwrap_or_else(|| cores().min(books::MAX_WORKERS) as u32)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.post {
        Some(post) => worker::work(post, &cli).map(|()| ExitCode::SUCCESS),
        None => boss::run(&cli),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("word_count: {error}");
        ExitCode::FAILURE
    })
}
