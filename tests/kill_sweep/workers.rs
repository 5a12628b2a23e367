//! Rows side by side: each worker keeps itself, and so all that it starts, on one processor.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

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

/// How many rounds there were, for the watchdog.
static ROUNDS: AtomicUsize = AtomicUsize::new(0);

/// A round is over.
pub fn round_is_over() {
    ROUNDS.fetch_add(1, Ordering::Relaxed);
}

/// No round takes as long: what does hangs where only the system could tell.
const PATIENCE: Duration = Duration::from_secs(240);

/// Aborts, naming the rows that are under way, when nothing gets done any more.
fn watch(under_way: Arc<Mutex<BTreeSet<String>>>) {
    let mut before = 0;
    loop {
        thread::sleep(PATIENCE);
        let now = ROUNDS.load(Ordering::Relaxed);
        if now == before {
            eprintln!("no kill within {PATIENCE:?} in {:?}", under_way.lock().expect("nobody panics with it"));
            std::process::abort();
        }
        before = now;
    }
}

/// Runs all rows and prints what they come to; says whether all is well.
pub fn run_all(rows: Vec<Row>, depth: Depth, workers: Option<usize>) -> bool {
    let processors = schedule::processors();
    let workers = workers.unwrap_or(processors.len().clamp(1, 2) * 2);
    let (next, total) = (AtomicUsize::new(0), Mutex::new(Total::default()));
    let under_way = Arc::new(Mutex::new(BTreeSet::new()));
    thread::spawn({
        let under_way = Arc::clone(&under_way);
        move || watch(under_way)
    });
    let work = |number: usize| {
        let _pinned = Pinned::to(0, &[processors[number % processors.len()]]);
        while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
            under_way.lock().expect("nobody panics with it").insert(row.name.clone());
            let started = Instant::now();
            let tally = (row.run)(depth);
            under_way.lock().expect("nobody panics with it").remove(&row.name);
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
