//! What this crate costs beside everything that one would take instead, all in one run: `cargo bench -p versus`. Prints
//! tables, and writes them, all figures as JSON and a chart to `versus` in the target folder.

mod chart;
mod figure;
mod left_over;
mod lost;
mod place;
mod readme;
mod run;
mod scenarios;
mod subjects;
mod table;
mod team;
mod transfer;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use run::{Effort, Run, Scenario};

/// Measures pshared beside everything that one would take instead.
#[derive(Parser)]
#[command(name = "cargo bench -p versus --")]
struct Args {
    /// The scenarios whose name has one of these words; all, if there is none.
    scenarios: Vec<String>,
    /// A first idea, in a third of the time.
    #[arg(long)]
    quick: bool,
    /// Do everything once, which measures nothing.
    #[arg(long)]
    test: bool,
    /// Say what there is to measure.
    #[arg(long)]
    list: bool,
    /// Put all tables and the chart into README.md and benches/README.md as well.
    #[arg(long, conflicts_with_all = ["scenarios", "test"])]
    readme: bool,
    /// What cargo says to a benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let all = scenarios::all();
    if team::play_role(all.iter().flat_map(|scenario| (scenario.roles)())) {
        return ExitCode::SUCCESS;
    }
    let args = Args::parse();
    let is_wanted = |scenario: &&Scenario| {
        args.scenarios.is_empty() || args.scenarios.iter().any(|word| scenario.name.contains(word.as_str()))
    };
    let wanted: Vec<&Scenario> = all.iter().filter(is_wanted).collect();
    if args.list {
        wanted.iter().for_each(|scenario| println!("{}: {}", scenario.name, scenario.about));
        return ExitCode::SUCCESS;
    }
    if wanted.is_empty() {
        eprintln!("no scenario has {} in its name; --list lists them", args.scenarios.join(" or "));
        return ExitCode::FAILURE;
    }
    let effort = match (args.test, args.quick) {
        (true, _) => Effort::Test,
        (false, true) => Effort::Quick,
        (false, false) => Effort::Full,
    };
    left_over::sweep();
    let mut run = Run::new(effort);
    wanted.iter().for_each(|scenario| (scenario.measure)(&mut run));
    match report(&run, effort, args.readme) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn report(run: &Run, effort: Effort, into_readme: bool) -> Result<(), Box<dyn std::error::Error>> {
    let name = if effort == Effort::Test { "versus-test" } else { "versus" };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(name);
    std::fs::create_dir_all(&folder)?;
    // Charts that this run has no figures for would be another run's.
    let [chart, transfer_chart] = ["versus-chart.svg", "transfer-chart.svg"].map(|name| folder.join(name));
    for chart in [&chart, &transfer_chart] {
        let _ = std::fs::remove_file(chart); // fails where there is none
    }
    let figures: Vec<_> = run.tables.iter().flat_map(|table| &table.rows).flat_map(|row| &row.figures).collect();
    std::fs::write(folder.join("versus.json"), serde_json::to_string_pretty(&figures)?)?;
    let text = readme::all_tables(&run.tables);
    std::fs::write(folder.join("versus.md"), &text)?;
    chart::draw(&figures, &chart)?;
    transfer::chart::draw(&figures, &transfer_chart)?;
    if effort == Effort::Test {
        println!("{} scenarios ran, which measures nothing", run.tables.len());
        return Ok(());
    }
    println!("{text}");
    if into_readme {
        readme::update(&run.tables, &figures)?;
    }
    Ok(())
}
