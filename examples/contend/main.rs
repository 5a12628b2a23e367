//! Three structs with a bug that shows only now and then, and the harness that finds it: `pshared::contend`.
//!
//! ```text
//! cargo run --features contend --example contend -- counter|seqlock|lock-word [--repaired] [--plans N]
//! ```
//!
//! - `counter.rs`: looked at first, changed then, so that some counts are lost.
//! - `seqlock.rs`: without the fence between reading and looking again, so that readers see half of what is written.
//! - `lock_word.rs`: without an owner, so that a killed one leaves it locked for ever.

mod counter;
mod lock_word;
mod seqlock;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use pshared::contend::{Contest, Error, Report, Subject};

/// Looks for a schedule in which a struct goes wrong, and prints a small one.
///
/// The exit status is 1 if there is one.
#[derive(Parser)]
#[command(name = "contend")]
struct Cli {
    /// Which struct
    what: What,

    /// Without its bug
    #[arg(long)]
    repaired: bool,

    /// How many plans are tried at most
    #[arg(long, value_name = "N", default_value_t = 5000)]
    plans: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    Counter,
    Seqlock,
    LockWord,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match (cli.what, cli.repaired) {
        (What::Counter, false) => run(counter::buggy(), &cli),
        (What::Counter, true) => run(counter::repaired(), &cli),
        (What::Seqlock, false) => run(seqlock::buggy(), &cli),
        (What::Seqlock, true) => run(seqlock::repaired(), &cli),
        (What::LockWord, false) => run(lock_word::buggy(), &cli),
        (What::LockWord, true) => run(lock_word::repaired(), &cli),
    };
    match outcome {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("contend: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run<S: Subject>(contest: Contest<S>, cli: &Cli) -> Result<Report, Error> {
    contest.plans(cli.plans).run()
}
