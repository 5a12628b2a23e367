//! The figures' places in README.md and benches/README.md.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;

use crate::chart;
use crate::figure::{Figure, best};
use crate::lost::{self, HANGS, hangs, times};
use crate::table::{Table, circumstances, number};
use crate::transfer;

/// All tables, with where and when, and what is lost in them.
pub fn all_tables(tables: &[Table]) -> String {
    let mut text = circumstances() + "\n";
    for table in tables {
        write!(text, "\n{}", table.markdown()).unwrap();
    }
    text + "\n" + &lost::markdown(tables)
}

/// Replaces what is between the marks of both files, and the charts.
pub fn update(tables: &[Table], figures: &[&Figure]) -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let are_measured = GLANCES.iter().all(|glance| glance.is_measured(figures));
    if !are_measured || !chart::draw(figures, &root.join(CHART))? {
        return Err("the READMEs stay as they are: their tables and their chart need all scenarios".into());
    }
    let mut text = all_tables(tables);
    if transfer::chart::draw(figures, &root.join("benches").join(TRANSFER_CHART))? {
        write!(text, "\n![{}]({TRANSFER_CHART})\n", transfer::chart::TITLE)?;
    }
    replace(&root.join("benches/README.md"), &text)?;
    replace(&root.join("README.md"), &glance(figures))
}

const CHART: &str = "benches/versus-chart.svg";

/// Beside benches/README.md.
const TRANSFER_CHART: &str = "transfer-chart.svg";

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

/// A table of README.md.
struct Glance {
    /// What its subjects are.
    of: &'static str,
    /// The scenario (and its column) that a column is from, and what stands above it. The first one's subjects are the rows.
    columns: &'static [(&'static str, &'static str)],
}

const GLANCES: [Glance; 1] = [Glance {
    of: "mutex",
    columns: &[
        ("mutex-uncontended", "uncontended, ns"),
        ("mutex-hammered: both", "2 processes, M/s"),
        ("mutex-hammered: lesser", "the lesser got, %"),
        ("mutex-death", "holder killed → next has it, ms"),
        ("mutex-bytes", "bytes"),
    ],
}];

impl Glance {
    fn markdown(&self, figures: &[&Figure]) -> String {
        let names: Vec<_> = self.columns.iter().map(|(_, name)| *name).collect();
        let mut text = format!("| {} | {} |\n|---{}|\n", self.of, names.join(" | "), "|---:".repeat(names.len()));
        for first in figures.iter().filter(|figure| figure.scenario == self.columns[0].0) {
            write!(text, "| {}", first.subject).unwrap();
            for (scenario, _) in self.columns {
                let is_it = |figure: &&&Figure| figure.scenario == *scenario && figure.subject == first.subject;
                let value = figures.iter().find(is_it).map_or(String::new(), |figure| number(figure.value));
                write!(text, " | {value}").unwrap();
            }
            text.push_str(" |\n");
        }
        text
    }

    fn is_measured(&self, figures: &[&Figure]) -> bool {
        self.columns.iter().all(|(scenario, _)| figures.iter().any(|figure| figure.scenario == *scenario))
    }
}

/// Figures of what isn't a mutex: what stands in the first column, and where it is from.
const OTHERS: [(&str, &str); 10] = [
    ("RwLock, read, uncontended", "rwlock-uncontended: read"),
    ("RwLock, write, uncontended", "rwlock-uncontended: write"),
    ("RwLock, 2 processes, 5 % writes", "rwlock-shared, 5 % writes: 2"),
    ("RwLock", "rwlock-bytes"),
    ("Semaphore, hand-over on two cores", "hand-over-semaphore: two cores"),
    ("Semaphore, hand-over on one core", "hand-over-semaphore: one core"),
    ("Semaphore", "semaphore-bytes"),
    ("Condvar, hand-over on two cores", "hand-over-condvar: two cores"),
    ("Condvar, hand-over on one core", "hand-over-condvar: one core"),
    ("Condvar", "condvar-bytes"),
];

/// Ours on futexes beside the best peer between processes; what wasn't measured is left out.
fn others(figures: &[&Figure]) -> String {
    let mut text =
        String::from("| | ours | best peer between processes | which is | ours is better by a factor of |\n");
    text += "|---|---:|---:|---|---:|\n";
    for (name, scenario) in OTHERS {
        let all = || figures.iter().copied().filter(|figure| figure.scenario == scenario);
        let peers: Vec<_> = all().filter(|figure| figure.is_of_peer()).collect();
        let (Some(ours), Some(best)) = (all().find(|figure| figure.is_ours()), best(&peers)) else { continue };
        let remark = if hangs(figures, &best.subject) { HANGS } else { "" };
        let [value, theirs] = [ours, best].map(|figure| number(figure.value));
        let (unit, factor) = (ours.unit, times(ours.lead(best)));
        writeln!(text, "| {name}, {unit} | {value} | {theirs} | {}{remark} | {factor} |", best.subject).unwrap();
    }
    text
}

/// README's chart and tables, with where and when.
fn glance(figures: &[&Figure]) -> String {
    let tables: Vec<_> = GLANCES.iter().map(|glance| glance.markdown(figures)).collect();
    let (tables, others) = (tables.join("\n"), others(figures));
    format!("![{}]({CHART})\n\n{tables}\n{others}\n{}", chart::TITLE, circumstances())
}
