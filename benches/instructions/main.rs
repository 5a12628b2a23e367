//! Counts the instructions of every fast path, and fails if one has become longer than it was.
//!
//! `cargo bench -p instructions` compares with `baseline.toml`; `-- --bless` writes it anew. TESTING.md says more.

mod baseline;
mod callgrind;
mod cost;
mod instruction;
mod paths;
mod scene;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use baseline::{Baseline, Tools};
use cost::{Cost, GROWTH, GROWTH_ELSEWHERE, Verdict};

/// Counts the instructions of every fast path, and compares with the baseline.
#[derive(Parser)]
struct Options {
    /// Writes what was counted into the baseline.
    #[arg(long)]
    bless: bool,
    /// Only paths whose names contain one of these.
    names: Vec<String>,
    /// What `cargo bench` passes on.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|words| name.contains(words))
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    if callgrind::is_counted() {
        paths::each(|name| options.wants(name), callgrind::go_through);
        return ExitCode::SUCCESS;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.toml");
    let outcome = if options.bless { bless(&options, &file) } else { compare(&options, &file) };
    outcome.unwrap_or_else(|why| {
        eprintln!("{why}");
        ExitCode::FAILURE
    })
}

fn count(options: &Options) -> Result<Vec<(String, Cost)>, String> {
    let costs = callgrind::count(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
    if costs.is_empty() {
        return Err(format!("no path has a name with one of {:?}", options.names));
    }
    Ok(costs)
}

/// Counts, and makes that the baseline.
fn bless(options: &Options, file: &Path) -> Result<ExitCode, String> {
    let all = options.names.is_empty();
    let before = match Baseline::read(file) {
        Ok(before) if all || before.tools == Tools::here() => before.paths,
        Ok(before) => {
            return Err(format!("the baseline was written with {}: bless all of it, not only some", before.tools));
        }
        Err(_) if all => BTreeMap::new(),
        Err(why) => return Err(why),
    };
    let costs = count(options)?;
    show(&costs, &before, GROWTH);
    let mut paths = if all { BTreeMap::new() } else { before };
    paths.extend(costs);
    Baseline { tools: Tools::here(), paths }.write(file)?;
    println!("written to {}", file.display());
    Ok(ExitCode::SUCCESS)
}

/// Counts, and says what has become longer.
fn compare(options: &Options, file: &Path) -> Result<ExitCode, String> {
    let Baseline { tools, paths } = Baseline::read(file)?;
    let here = Tools::here();
    let allowed = if tools == here { GROWTH } else { GROWTH_ELSEWHERE };
    let costs = count(options)?;
    let mut bad = show(&costs, &paths, allowed);
    let is_gone = |name: &&String| options.wants(name) && costs.iter().all(|(counted, _)| counted != *name);
    for name in paths.keys().filter(is_gone) {
        println!("{name}: in the baseline, but there is no such path");
        bad += 1;
    }
    if tools != here {
        println!("The baseline was written with {tools}; with {here} as here a path may be {allowed} % longer.");
        println!("Where nothing else has changed, write it anew: cargo bench -p instructions -- --bless");
    }
    if bad == 0 {
        println!("{} paths, none longer than the baseline by more than {allowed} %", costs.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("{bad} paths differ from {}", file.display());
    println!("If it is meant to be so: cargo bench -p instructions -- --bless");
    Ok(ExitCode::FAILURE)
}

/// A line for each; how many are bad.
fn show(costs: &[(String, Cost)], before: &BTreeMap<String, Cost>, allowed: f64) -> usize {
    println!("{}  path", cost::HEAD);
    let mut bad = 0;
    for (name, now) in costs {
        let before = before.get(name).copied();
        let verdict = Verdict::of(*now, before, allowed);
        bad += usize::from(verdict.is_bad());
        println!("{now}  {name}");
        if let (Some(before), false) = (before, verdict == Verdict::Same) {
            println!("{before}    before: {verdict}");
        } else if verdict == Verdict::New {
            println!("{:31}    {verdict}", "");
        }
    }
    bad
}
