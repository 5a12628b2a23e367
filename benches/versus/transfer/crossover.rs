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

/// A sentence for each other way: where sharing memory in place overtakes it.
pub fn in_words(tables: &[Table]) -> Vec<String> {
    let figures = tables.iter().flat_map(|table| &table.rows).flat_map(|row| &row.figures);
    let lines = lines(figures);
    let Some(ours) = lines.iter().find(|line| line.way == Ring::<InPlace>::NAME) else { return Vec::new() };
    lines.iter().filter(|line| line.way != ours.way).filter_map(|other| against(ours, other)).collect()
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
    let ends =
        format!("{} × its speed with {}, {} × with {}", number(at_first), first.name, number(at_last), last.name);
    let behind = ratios.iter().rposition(|(_, ratio)| *ratio < 1.0);
    let how = match behind {
        None => "is faster with every size".into(),
        Some(behind) if behind + 1 == ratios.len() => "isn't faster with the largest messages".into(),
        Some(behind) => {
            let (below, above) = (ratios[behind], ratios[behind + 1]);
            format!("is faster from about {} on", size_in_words(meeting(below, above)))
        }
    };
    Some(format!("{} {how} than {}: {ends}.", ours.way, other.way))
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
