//! Where somebody else is ahead.

use crate::figure::{Figure, best, is_ours};
use crate::scenarios::DEATHS;
use crate::table::{Table, number};

/// What is less than this behind isn't told apart from the noise of two medians.
const NOISE: f64 = 1.03;

/// A table of all figures in which the best peer between processes is ahead of ours on futexes, which is the first row of
/// ours in its table. If that peer hangs after a death, also the best one of those that don't.
pub fn markdown(tables: &[Table]) -> String {
    let figures: Vec<_> = tables.iter().flat_map(|table| &table.rows).flat_map(|row| &row.figures).collect();
    let hangs = |peer: &Figure| hangs(&figures, &peer.subject);
    let mut text = String::from("### What is lost\n\n");
    let mut rows = String::new();
    for (ours, mut peers) in tables.iter().flat_map(columns) {
        let Some(first) = lost(ours, &peers) else { continue };
        rows += &first.row(if hangs(first.best) { HANGS } else { "" });
        if hangs(first.best) {
            peers.retain(|peer| !hangs(peer));
            rows += &lost(ours, &peers).map_or(String::new(), |next| next.row(""));
        }
    }
    if rows.is_empty() {
        return text + "Nothing in this run.\n";
    }
    text.push_str(
        "Figures in which the best peer between processes is ahead of ours on futexes by more than 3 %. \
         Who hangs is told by `mutex-death` and `rwlock-death`; nobody holds a semaphore or a condition variable.\n\n",
    );
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
        let (scenario, factor) = (&ours.scenario, times(*factor));
        format!("| {scenario} | {value} {unit} | {theirs} {unit} | {}{remark} | {factor} |\n", best.subject)
    }
}

/// A factor; beside nothing at all, everything is infinitely more.
pub fn times(factor: f64) -> String {
    if factor.is_infinite() { "∞".into() } else { number(factor) }
}

/// What is said of a peer that hangs.
pub const HANGS: &str = ", which hangs if a holder dies";

/// Whether these say of `subject` that, at least once, nobody got it after its holder's death.
pub fn hangs(figures: &[&Figure], subject: &str) -> bool {
    figures.iter().any(|figure| {
        figure.subject == subject && DEATHS.contains(&figure.scenario.as_str()) && figure.max.is_infinite()
    })
}

/// For each column of a table ours, and the peers.
fn columns(table: &Table) -> Vec<(&Figure, Vec<&Figure>)> {
    let Some(ours) = table.rows.iter().find(|row| is_ours(&row.subject)) else { return Vec::new() };
    let peers =
        |at: usize| table.rows.iter().map(move |row| &row.figures[at]).filter(|figure| figure.is_of_peer()).collect();
    ours.figures.iter().enumerate().map(|(at, figure)| (figure, peers(at))).collect()
}

fn lost<'a>(ours: &'a Figure, peers: &[&'a Figure]) -> Option<Lost<'a>> {
    let best = best(peers)?;
    let factor = best.lead(ours);
    (factor > NOISE).then_some(Lost { ours, best, factor })
}
