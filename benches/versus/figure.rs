//! What came out of a measurement.

use serde::Serialize;

use crate::subjects::{FLOOR, THREADS};

/// One number: a cell of a table, an entry of `versus.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// The table, and its column where it has several: `mutex-hammered: least`.
    pub scenario: String,
    pub subject: String,
    /// The median over the rounds; infinite (`null` in JSON) for what never came.
    pub value: f64,
    pub unit: &'static str,
    pub better: Better,
    pub min: f64,
    pub max: f64,
}

impl Figure {
    /// How many times as good it is as `other`, which is of the same scenario.
    pub fn lead(&self, other: &Figure) -> f64 {
        match self.better {
            Better::Lower => other.value / self.value,
            Better::Higher => self.value / other.value,
        }
    }

    /// Whether it is ours.
    pub fn is_ours(&self) -> bool {
        is_ours(&self.subject)
    }

    /// Whether it is of something else that is between processes and does its work.
    pub fn is_of_peer(&self) -> bool {
        !self.is_ours() && !self.subject.starts_with(FLOOR) && !self.subject.starts_with(THREADS)
    }
}

/// Whether `subject` is ours.
pub fn is_ours(subject: &str) -> bool {
    subject.starts_with("pshared")
}

/// The best one of `peers`.
pub fn best<'a>(peers: &[&'a Figure]) -> Option<&'a Figure> {
    peers.iter().copied().max_by(|a, b| a.lead(b).total_cmp(&1.0))
}

/// Which of two figures is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    Lower,
    Higher,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// What is above it; empty if the table has only this one.
    pub name: &'static str,
    pub unit: &'static str,
    pub better: Better,
}

impl Column {
    pub const fn lower(name: &'static str, unit: &'static str) -> Column {
        Column { name, unit, better: Better::Lower }
    }

    pub const fn higher(name: &'static str, unit: &'static str) -> Column {
        Column { name, unit, better: Better::Higher }
    }

    /// The figure of this column for the values of the rounds, which are at least one.
    pub fn figure(&self, scenario: &str, subject: &str, mut values: Vec<f64>) -> Figure {
        values.sort_by(f64::total_cmp);
        let scenario = if self.name.is_empty() { scenario.into() } else { format!("{scenario}: {}", self.name) };
        Figure {
            scenario,
            subject: subject.into(),
            value: (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0,
            unit: self.unit,
            better: self.better,
            min: values[0],
            max: values[values.len() - 1],
        }
    }
}
