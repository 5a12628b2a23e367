//! From which size on it pays to share memory.

use super::{InPlace, Ring, Way};
use super::{SIZES, Size, title};
use crate::figure::Figure;
use crate::table::{Table, number};

/// The speed of a way with each size that was measured, in MB/s.
pub struct Line {
    pub way: String,
    pub speeds: Vec<(&'static Size, f64)>,
}

/// The ways in the order of their rows.
pub fn lines<'a>(figures: impl Iterator<Item = &'a Figure> + Clone) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for size in &SIZES {
        let scenario = title(size);
        for figure in figures.clone().filter(|figure| figure.scenario == scenario && figure.unit == "MB/s") {
            let known = lines.iter_mut().find(|line| line.way == figure.subject);
            match known {
                Some(line) => line.speeds.push((size, figure.value)),
                None => lines.push(Line { way: figure.subject.clone(), speeds: vec![(size, figure.value)] }),
            }
        }
    }
    lines
}

/// Where sharing memory in place overtakes each other way.
pub fn in_words(tables: &[Table]) -> Option<String> {
    let figures = tables.iter().flat_map(|table| &table.rows).flat_map(|row| &row.figures);
    let lines = lines(figures);
    let ours = lines.iter().find(|line| line.way == Ring::<InPlace>::NAME)?;
    let others = lines.iter().filter(|line| line.way != ours.way);
    let words: Vec<String> = others.filter_map(|other| against(ours, other)).collect();
    Some(format!("From which size of messages on “{}” is faster:\n\n{}", ours.way, words.join("\n")))
}

/// How much faster `ours` is than `other` with each size.
fn against(ours: &Line, other: &Line) -> Option<String> {
    let ratios: Vec<(&Size, f64)> = ours
        .speeds
        .iter()
        .filter_map(|(size, speed)| {
            let (_, others) = other.speeds.iter().find(|(known, _)| known.bytes == size.bytes)?;
            Some((*size, speed / others))
        })
        .collect();
    let ((first, at_first), (last, at_last)) = (*ratios.first()?, *ratios.last()?);
    let ends = format!("{} × as fast with {}, {} × with {}", number(at_first), first.name, number(at_last), last.name);
    let where_ahead = match ratios.iter().rposition(|(_, ratio)| *ratio < 1.0) {
        None => "with every size".into(),
        Some(last) if last + 1 == ratios.len() => "with no size from which on it stays so".into(),
        Some(last) => format!("from about {} on", size_in_words(meeting(ratios[last], ratios[last + 1]))),
    };
    Some(format!("- {}: {where_ahead}; {ends}.", other.way))
}

/// Where the ratio is 1 between two sizes, on a straight line of logarithms.
fn meeting((below, slower): (&Size, f64), (above, faster): (&Size, f64)) -> f64 {
    let part = slower.ln() / (slower.ln() - faster.ln());
    let (from, to) = ((below.bytes as f64).ln(), (above.bytes as f64).ln());
    (from + part * (to - from)).exp()
}

/// With two digits, as exact as it can be.
pub fn size_in_words(bytes: f64) -> String {
    let (value, unit) = match bytes {
        _ if bytes < 1024.0 => (bytes, "B"),
        _ if bytes < 1024.0 * 1024.0 => (bytes / 1024.0, "KiB"),
        _ => (bytes / (1024.0 * 1024.0), "MiB"),
    };
    let places = if value < 10.0 && value.fract() != 0.0 { 1 } else { 0 };
    format!("{value:.places$} {unit}")
}
