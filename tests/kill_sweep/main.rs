//! The kill sweep: every operation of every backend, killed at every instruction or at each that changes what a kill leaves.
//!
//! After each kill those who survive must come through, a lock is poisoned exactly if the victim had it, permits add up, no
//! notification is lost, and a process that comes afterwards can use the thing twice. A line for each row, and a last one
//! for all; the exit code is 1 if anything of that doesn't hold.
//!
//! Where a claim doesn't hold, the row is followed by the schedule: after how many instructions, in which function, and at
//! which place in which file, of which `addr2line -fie FILE OFFSET` tells the line.
//!
//! `cargo test --test kill_sweep -- --full` kills at every instruction of everything, `--row WORDS` only where the row's name
//! has the words, `--backend NAME` only there.

mod acts;
mod barrier;
mod cells;
mod condvar;
mod control;
mod mutex;
mod once;
mod permits;
mod problem;
mod reentrant_mutex;
mod rwlock;
mod rwlock_beside;
mod scene;
mod semaphore;
#[path = "../support/mod.rs"]
mod support;
mod sweep;
mod table;
mod workers;
mod zygote;

use std::process::ExitCode;

use clap::Parser;

use sweep::Depth;
use table::Row;

/// Kills processes at every instruction, and asks what they leave.
#[derive(Parser)]
struct Options {
    /// Every instruction of every operation: hours.
    #[arg(long)]
    full: bool,
    /// Only rows whose names contain this.
    #[arg(long, value_name = "WORDS")]
    row: Option<String>,
    /// Only rows of this backend.
    #[arg(long, value_parser = table::BACKENDS)]
    backend: Option<String>,
    /// So many rows at a time.
    #[arg(long, value_name = "NUMBER")]
    workers: Option<usize>,
    #[command(flatten)]
    of_every_test: OfEveryTest,
}

/// What `cargo test` passes on to all tests.
#[derive(clap::Args)]
struct OfEveryTest {
    /// Names the rows.
    #[arg(long)]
    list: bool,
    /// Only rows whose names contain one of these.
    filters: Vec<String>,
    /// The filters are whole names.
    #[arg(long)]
    exact: bool,
    #[arg(long, hide = true)]
    skip: Vec<String>,
    #[arg(long, hide = true)]
    ignored: bool,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, short, hide = true)]
    quiet: bool,
    #[arg(long, alias = "no-capture", hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    #[arg(long, hide = true)]
    test_threads: Option<String>,
    #[arg(long, hide = true)]
    format: Option<String>,
    #[arg(long, hide = true)]
    color: Option<String>,
    #[arg(short = 'Z', hide = true)]
    unstable: Option<String>,
}

impl Options {
    fn wants(&self, row: &Row) -> bool {
        let OfEveryTest { filters, exact, skip, ignored, .. } = &self.of_every_test;
        let fits = |filter: &String| if *exact { row.name == *filter } else { row.name.contains(filter) };
        !ignored
            && self.row.iter().all(|words| row.name.contains(words))
            && self.backend.iter().all(|backend| row.backend == backend)
            && (filters.is_empty() || filters.iter().any(fits))
            && !skip.iter().any(fits)
    }
}

fn main() -> ExitCode {
    if let Some(backend) = zygote::role() {
        table::serve(&backend);
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    let rows: Vec<Row> = table::all().into_iter().filter(|row| options.wants(row)).collect();
    if options.of_every_test.list {
        rows.iter().for_each(|row| println!("{}: test", row.name));
        return ExitCode::SUCCESS;
    }
    let depth = if options.full { Depth::Full } else { Depth::Short };
    if workers::run_all(rows, depth, options.workers) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
