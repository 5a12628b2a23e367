//! Tables of Markdown, and where and when their figures come from.

use std::fmt::Write;
use std::process::Command;

use crate::figure::{Column, Figure};

/// The figures of one contest.
pub struct Table {
    pub title: String,
    about: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    /// Who is not in it, and why.
    pub notes: Vec<String>,
    /// What else is to be said.
    pub remarks: Vec<String>,
}

/// The figures of one subject.
pub struct Row {
    pub subject: String,
    pub figures: Vec<Figure>,
}

impl Table {
    pub fn new(title: &str, about: &str, columns: &[Column]) -> Table {
        let (title, about, columns) = (title.into(), about.into(), columns.into());
        Table { title, about, columns, rows: Vec::new(), notes: Vec::new(), remarks: Vec::new() }
    }

    /// A row for `values`, which has those of all columns for each round, of which there is at least one; `first` is where
    /// those of this table begin.
    pub fn fill_row(&mut self, subject: &str, values: &[Vec<f64>], first: usize) {
        let figure = |(at, column): (usize, &Column)| {
            column.figure(&self.title, subject, values.iter().map(|round| round[first + at]).collect())
        };
        let figures = self.columns.iter().enumerate().map(figure).collect();
        self.rows.push(Row { subject: subject.into(), figures });
    }

    /// A heading, a table with medians and, in parentheses, the least and the greatest of the rounds, and the notes.
    pub fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n{}\n\n|", self.title, self.about);
        for column in &self.columns {
            let space = if column.name.is_empty() { "" } else { ", " };
            write!(text, " | {}{space}{}", column.name, column.unit).unwrap();
        }
        writeln!(text, " |\n|---{}|", "|---:".repeat(self.columns.len())).unwrap();
        for row in &self.rows {
            write!(text, "| {}", row.subject).unwrap();
            for figure in &row.figures {
                write!(text, " | {}", cell(figure)).unwrap();
            }
            text.push_str(" |\n");
        }
        if !self.notes.is_empty() {
            text.push_str("\nNot in it:\n\n");
        }
        for note in &self.notes {
            writeln!(text, "- {note}").unwrap();
        }
        for remark in &self.remarks {
            write!(text, "\n{remark}\n").unwrap();
        }
        text
    }
}

fn cell(figure: &Figure) -> String {
    if figure.min == figure.max {
        return number(figure.value);
    }
    format!("{} ({} to {})", number(figure.value), number(figure.min), number(figure.max))
}

/// With three digits, or as many as stand before the point.
pub fn number(value: f64) -> String {
    match value {
        _ if value.is_infinite() => "never".into(),
        _ if value.fract() == 0.0 || value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ if value >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Where and when, without which no figure says anything.
pub fn circumstances() -> String {
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{}, {cores} cores, Linux {}, {}, {}: {}`cargo bench -p versus{}`",
        model.trim_start_matches([' ', '\t', ':']),
        std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        libc(),
        output_of(Command::new("date").args(["-u", "+%F"])),
        priority(),
        options(),
    )
}

#[cfg(target_env = "gnu")]
fn libc() -> String {
    // SAFETY: returns a static C string.
    let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
    format!("glibc {}", version.to_string_lossy())
}

#[cfg(not(target_env = "gnu"))]
fn libc() -> String {
    "another libc than glibc".into()
}

/// Real-time priority keeps the rest of the machine out.
fn priority() -> &'static str {
    // SAFETY: 0 is this process; nothing else is asked for.
    match unsafe { libc::sched_getscheduler(0) } {
        libc::SCHED_FIFO => "SCHED_FIFO, ",
        libc::SCHED_RR => "SCHED_RR, ",
        _ => "",
    }
}

/// What the user asked for; cargo adds `--bench`.
fn options() -> String {
    let given: Vec<_> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if given.is_empty() { String::new() } else { format!(" -- {}", given.join(" ")) }
}

fn output_of(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}
