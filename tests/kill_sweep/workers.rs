//! Rows side by side: each worker keeps itself, and so all that it starts, on one processor.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::support::schedule::{self, Pinned};
use crate::sweep::{Depth, Tally};
use crate::table::{Kind, Row};

/// What all rows came to.
#[derive(Default)]
struct Total {
    kills: usize,
    rows: usize,
    stuck: usize,
    problems: usize,
}

/// Runs all rows and prints what they come to; says whether all is well.
pub fn run_all(rows: Vec<Row>, depth: Depth, workers: Option<usize>) -> bool {
    let processors = schedule::processors();
    let workers = workers.unwrap_or(processors.len().clamp(1, 2) * 2);
    let (next, total) = (AtomicUsize::new(0), Mutex::new(Total::default()));
    let work = |number: usize| {
        let _pinned = Pinned::to(0, &[processors[number % processors.len()]]);
        while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
            let started = Instant::now();
            let tally = (row.run)(depth);
            report(row, &tally, started, &mut total.lock().expect("nobody panics with it"));
        }
    };
    thread::scope(|scope| (0..workers).for_each(|number| _ = scope.spawn(move || work(number))));
    let total = total.into_inner().expect("nobody panics with it");
    println!("killed at {} instructions in {} rows: {} stuck", total.kills, total.rows, total.stuck);
    total.problems == 0
}

fn report(row: &Row, tally: &Tally, started: Instant, total: &mut Total) {
    println!("{}: killed at {} instructions, {} stuck", row.name, tally.kills, tally.stuck);
    if std::env::var_os("KILL_SWEEP_TIMES").is_some() {
        println!("    {} ms", started.elapsed().as_millis());
    }
    match row.kind {
        Kind::Claim => {
            tally.problems.iter().for_each(|problem| println!("    {problem}"));
            total.kills += tally.kills;
            total.rows += 1;
            total.stuck += tally.stuck;
            total.problems += tally.problems.len();
        }
        Kind::Control if tally.stuck == 0 => {
            println!("    a lock that hangs wasn't found to: the sweep proves nothing");
            total.problems += 1;
        }
        Kind::Control => {}
    }
}
