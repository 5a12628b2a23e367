//! Where somebody else is ahead.

use crate::figure::{Better, Figure};
use crate::scenarios::DEATH;
use crate::subjects::{FLOOR, THREADS};
use crate::table::{Row, Table, number};

/// What is less than this behind isn't told apart from the noise of two medians.
const NOISE: f64 = 1.03;

/// A table of all figures in which the best peer between processes is ahead of ours on futexes, which is the first row of
/// ours in its table. If that peer hangs after a death, also the best one of those that don't.
pub fn markdown(tables: &[Table]) -> String {
    let hangs = |peer: &Figure| tables.iter().flat_map(|table| &table.rows).any(|row| row.hangs(&peer.subject));
    let mut text = String::from("### What is lost\n\n");
    let mut rows = String::new();
    for (ours, mut peers) in tables.iter().flat_map(columns) {
        let Some(first) = lost(ours, &peers) else { continue };
        rows += &first.row(if hangs(first.best) { ", which hangs if a holder dies" } else { "" });
        if hangs(first.best) {
            peers.retain(|peer| !hangs(peer));
            rows += &lost(ours, &peers).map_or(String::new(), |next| next.row(""));
        }
    }
    if rows.is_empty() {
        return text + "Nothing in this run.\n";
    }
    text.push_str("Figures in which the best peer between processes is ahead of ours on futexes:\n\n");
    text.push_str("| | ours | best peer | which is | factor |\n|---|---:|---:|---|---:|\n");
    text + &rows
}

struct Lost<'a> {
    ours: &'a Figure,
    best: &'a Figure,
    factor: f64,
}

impl Lost<'_> {
    fn row(&self, remark: &str) -> String {
        let Lost { ours, best, factor } = self;
        let (value, unit, theirs) = (number(ours.value), ours.unit, number(best.value));
        let (scenario, factor) = (&ours.scenario, number(*factor));
        format!("| {scenario} | {value} {unit} | {theirs} {unit} | {}{remark} | {factor} |\n", best.subject)
    }
}

/// For each column of a table ours, and the peers.
fn columns(table: &Table) -> Vec<(&Figure, Vec<&Figure>)> {
    let is_ours = |subject: &str| subject.starts_with("pshared");
    let is_peer = |subject: &str| !is_ours(subject) && !subject.starts_with(FLOOR) && !subject.starts_with(THREADS);
    let Some(ours) = table.rows.iter().find(|row| is_ours(&row.subject)) else { return Vec::new() };
    let peers = || table.rows.iter().filter(|row| is_peer(&row.subject));
    let column = |(at, figure)| (figure, peers().map(|row| &row.figures[at]).collect());
    ours.figures.iter().enumerate().map(column).collect()
}

fn lost<'a>(ours: &'a Figure, peers: &[&'a Figure]) -> Option<Lost<'a>> {
    // How many times as good the first is.
    let lead = |a: &Figure, b: &Figure| match a.better {
        Better::Lower => b.value / a.value,
        Better::Higher => a.value / b.value,
    };
    let best = *peers.iter().max_by(|a, b| lead(a, b).total_cmp(&1.0))?;
    let factor = lead(best, ours);
    (factor > NOISE).then_some(Lost { ours, best, factor })
}

impl Row {
    /// Whether this says of `subject` that nobody gets it after its holder's death.
    fn hangs(&self, subject: &str) -> bool {
        self.figures
            .iter()
            .any(|figure| figure.subject == subject && figure.scenario == DEATH && figure.value.is_infinite())
    }
}
