//! The figures' places in README.md and benches/README.md.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;

use crate::chart;
use crate::figure::Figure;
use crate::table::{Table, circumstances, number};

/// All tables, with where and when.
pub fn all_tables(tables: &[Table]) -> String {
    let mut text = circumstances() + "\n";
    for table in tables {
        write!(text, "\n{}", table.markdown()).unwrap();
    }
    text
}

/// Replaces what is between the marks of both files, and the chart.
pub fn update(tables: &[Table], figures: &[&Figure]) -> Result<(), Box<dyn Error>> {
    let benches = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let has_chart = chart::draw(figures, &benches.join("versus-chart.svg"))?;
    replace(&benches.join("README.md"), &all_tables(tables))?;
    if !has_chart {
        return Err("README.md stays as it is: its chart and its table need all of the scenarios about mutexes".into());
    }
    replace(&benches.with_file_name("README.md"), &glance(figures))
}

const BEGIN: &str = "<!-- figures: begin";
const END: &str = "<!-- figures: end -->";

/// Puts `text` between the marks, each of which is on a line of its own.
fn replace(path: &Path, text: &str) -> Result<(), Box<dyn Error>> {
    let old = std::fs::read_to_string(path)?;
    let marks = || {
        let begin = old.find(BEGIN)?;
        let after = begin + old[begin..].find('\n')? + 1;
        Some((after, after + old[after..].find(END)?))
    };
    let (begin, end) = marks().ok_or_else(|| format!("{} has no line {BEGIN} … and {END}", path.display()))?;
    std::fs::write(path, format!("{}\n{}\n\n{}", &old[..begin], text.trim(), &old[end..]))?;
    Ok(())
}

/// README's table: the columns, by the scenario that they are from.
const COLUMNS: [(&str, &str); 5] = [
    ("mutex-uncontended", "uncontended, ns"),
    ("mutex-hammered: both", "2 processes, M/s"),
    ("mutex-hammered: lesser", "lesser got, %"),
    ("mutex-death", "holder killed → next has it, ms"),
    ("mutex-bytes", "bytes"),
];

/// README's table, with a row for each subject of its first column, and where and when.
fn glance(figures: &[&Figure]) -> String {
    let names = COLUMNS.map(|(_, name)| name).join(" | ");
    let mut text = format!("| mutex | {names} |\n|---{}|\n", "|---:".repeat(COLUMNS.len()));
    for first in figures.iter().filter(|figure| figure.scenario == COLUMNS[0].0) {
        let cell = |(scenario, _): (&str, &str)| {
            let found = figures.iter().find(|figure| figure.scenario == scenario && figure.subject == first.subject);
            found.map_or(String::new(), |figure| number(figure.value))
        };
        writeln!(text, "| {} | {} |", first.subject, COLUMNS.map(cell).join(" | ")).unwrap();
    }
    format!("{text}\n{}", circumstances())
}
