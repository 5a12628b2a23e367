//! The table itself, and the one in README.

use std::fmt;
use std::fs;

const COLUMNS: [&str; 11] = [
    "backend",
    "primitive",
    "crosses processes",
    "dead holder",
    "dead waiter",
    "timed",
    "priority inheritance",
    "fair to writers",
    "worst time to notice a death, ms",
    "bytes",
    "ns",
];

/// Columns that differ from machine to machine and from run to run.
const MEASURED: [usize; 2] = [8, 10];

const BEGIN: &str = "<!-- matrix: begin, written by tests/matrix -->\n";
const END: &str = "<!-- matrix: end -->";

pub struct Table {
    rows: Vec<[String; COLUMNS.len()]>,
}

impl Table {
    pub fn new() -> Table {
        Table { rows: Vec::new() }
    }

    pub fn row(&mut self, row: [String; COLUMNS.len()]) {
        assert!(row.iter().all(|cell| !cell.is_empty()), "an empty cell: {row:?}");
        println!("{}", line(&row));
        self.rows.push(row);
    }

    /// Fails where README says something else; writes it there instead if asked to.
    pub fn compare_with_readme(&self) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = fs::read_to_string(path).unwrap();
        let start = readme.find(BEGIN).expect("README marks where the matrix begins") + BEGIN.len();
        let end = start + readme[start..].find(END).expect("README marks where the matrix ends");
        if std::env::var("PSHARED_MATRIX").is_ok_and(|wish| wish == "write") {
            fs::write(path, format!("{}\n{self}\n{}", &readme[..start], &readme[end..])).unwrap();
            return;
        }
        let there = unmeasured(&readme[start..end]);
        let here = unmeasured(&self.to_string());
        assert_eq!(there, here, "README's matrix isn't what was found; PSHARED_MATRIX=write writes it anew");
    }
}

/// The lines without the measured columns.
fn unmeasured(text: &str) -> Vec<String> {
    let rows = text.lines().filter(|line| line.starts_with('|'));
    rows.map(|line| {
        let cells = line.trim_matches('|').split('|').enumerate();
        cells.filter(|(column, _)| !MEASURED.contains(column)).map(|(_, cell)| format!("{cell}|")).collect()
    })
    .collect()
}

fn line<C: AsRef<str>>(cells: &[C]) -> String {
    cells.iter().map(|cell| format!("| {} ", cell.as_ref())).chain(["|".to_owned()]).collect()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", line(&COLUMNS))?;
        writeln!(f, "{}", "|---".repeat(COLUMNS.len()) + "|")?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{}", line(row)))
    }
}
