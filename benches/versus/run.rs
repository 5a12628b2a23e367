//! One run: its effort, its progress, and the tables that it filled.
//!
//! # How to add a scenario
//!
//! In a file of `scenarios/`, a `pub const NAME: Scenario` with two functions, and its name in `scenarios::all`:
//!
//! - `roles` lists what members of a team do, one [`Role`] per subject type (see `team.rs`); nothing, if no other process is
//!   needed.
//! - `measure` makes a [`Contest`] with its columns, enters every subject with a closure that takes *one* sample (a number
//!   for each column), and holds it: each round samples each subject once, in turn. A closure that returns `Err` is out, and
//!   the reason stands below the table.
//!
//! Both go through the same list of subjects, by a visitor (`subjects::Visit…`).

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::figure::{Column, is_ours};
use crate::table::Table;
use crate::team::Role;

/// What can be asked for by name.
pub struct Scenario {
    pub name: &'static str,
    /// What is measured, in one line.
    pub about: &'static str,
    pub roles: fn() -> Vec<Role>,
    pub measure: fn(&mut Run),
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Everything once, which measures nothing.
    Test,
    Quick,
    Full,
}

impl Effort {
    pub fn rounds(self) -> usize {
        match self {
            Effort::Test => 1,
            Effort::Quick => 5,
            Effort::Full => 9,
        }
    }

    /// For what takes long: a few rounds.
    pub fn few_rounds(self) -> usize {
        match self {
            Effort::Test => 1,
            Effort::Quick => 3,
            Effort::Full => 5,
        }
    }

    /// How long one sample should take.
    pub fn sample(self) -> Duration {
        Duration::from_millis(match self {
            Effort::Test => 1,
            Effort::Quick => 20,
            Effort::Full => 60,
        })
    }
}

/// A run of the scenarios that were asked for.
pub struct Run {
    pub effort: Effort,
    pub tables: Vec<Table>,
    progress: ProgressBar,
}

impl Run {
    pub fn new(effort: Effort) -> Run {
        let progress = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        progress.set_style(
            ProgressStyle::with_template("{elapsed_precise} {prefix}, round {pos} of {len}: {msg}").unwrap(),
        );
        Run { effort, tables: Vec::new(), progress }
    }

    /// A table to be filled. `about` is the line above it.
    pub fn contest(&mut self, title: &str, about: &str, columns: &[Column]) -> Contest<'_> {
        let table = Table::new(title, about, columns);
        Contest { run: self, tables: vec![table], entries: Vec::new() }
    }
}

/// One sample: a number for each column, or why the subject is out.
pub type Sample = Result<Vec<f64>, String>;

/// Subjects that are measured in turn.
pub struct Contest<'a> {
    run: &'a mut Run,
    /// The columns of one after the other are what a sample has a number for each of.
    tables: Vec<Table>,
    entries: Vec<Entry>,
}

struct Entry {
    subject: String,
    sample: Box<dyn FnMut() -> Sample>,
    /// Of the rounds.
    values: Vec<Vec<f64>>,
    why_out: Option<String>,
}

impl Contest<'_> {
    pub fn effort(&self) -> Effort {
        self.run.effort
    }

    /// A further table, for further numbers of the same samples.
    pub fn further(&mut self, title: &str, about: &str, columns: &[Column]) {
        self.tables.push(Table::new(title, about, columns));
    }

    /// Enters what `sample` measures once when called; processes that it needs are best started at its first call.
    pub fn enter(&mut self, subject: &str, sample: impl FnMut() -> Sample + 'static) {
        self.entries.push(Entry {
            subject: subject.into(),
            sample: Box::new(sample),
            values: Vec::new(),
            why_out: None,
        });
    }

    /// A line below the table, for a subject that isn't in it.
    pub fn leave_out(&mut self, subject: &str, why: &str) {
        self.tables[0].notes.push(format!("{subject}: {why}"));
    }

    /// Measures all of them in so many rounds as is usual.
    pub fn hold(self) {
        let rounds = self.run.effort.rounds();
        self.hold_rounds(rounds);
    }

    /// Measures all of them in `rounds` rounds.
    pub fn hold_rounds(mut self, rounds: usize) {
        let progress = &self.run.progress;
        progress.set_prefix(self.tables[0].title.clone());
        progress.set_length(rounds as u64);
        for round in 1..=rounds {
            progress.set_position(round as u64);
            for entry in self.entries.iter_mut().filter(|entry| entry.why_out.is_none()) {
                progress.set_message(entry.subject.clone());
                progress.tick();
                match (entry.sample)() {
                    Ok(values) => entry.values.push(values),
                    Err(why) => {
                        assert!(!is_ours(&entry.subject), "{}: {why}", entry.subject);
                        entry.why_out = Some(why);
                    }
                }
            }
        }
        progress.set_message("");
        let mut first = 0; // of the table's columns
        for table in &mut self.tables {
            for entry in &self.entries {
                match &entry.why_out {
                    None => table.fill_row(&entry.subject, &entry.values, first),
                    Some(why) => table.notes.push(format!("{}: {why}", entry.subject)),
                }
            }
            first += table.columns.len();
        }
        self.run.tables.append(&mut self.tables);
    }
}

/// The loop that is timed; a measured call and all that inlines into it are in here.
#[inline(never)]
fn time(calls: u64, work: &mut impl FnMut()) -> Duration {
    let started = Instant::now();
    for _ in 0..calls {
        work();
    }
    started.elapsed()
}

/// Times one call of something short, by doing it again and again: finds out at its first sample how often.
#[derive(Default)]
pub struct Stopwatch {
    calls: u64,
}

impl Stopwatch {
    /// Nanoseconds of a call.
    pub fn sample(&mut self, effort: Effort, mut work: impl FnMut()) -> f64 {
        if self.calls == 0 {
            self.calls = 1;
            loop {
                let took = time(self.calls, &mut work);
                if took * 4 > effort.sample() {
                    let wanted = effort.sample().as_secs_f64() / took.as_secs_f64();
                    self.calls = ((self.calls as f64 * wanted) as u64).max(1);
                    break;
                }
                self.calls *= 2;
            }
        }
        time(self.calls, &mut work).as_nanos() as f64 / self.calls as f64
    }
}
