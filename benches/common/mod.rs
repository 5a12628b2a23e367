//! What the benchmarks have in common: a second process, memory for the peers of this crate, tables in the end.

#![allow(dead_code, reason = "each benchmark uses its part")]

pub mod compare;
pub mod hand_over;
pub mod memory;
pub mod pair;
pub mod pthread;
pub mod report;

use criterion::Criterion;

use pair::Role;
use report::Table;

/// Something that is measured.
pub trait Subject {
    const NAME: &'static str;

    /// In new shared memory `name`, where it can be in shared memory.
    fn create(name: &str) -> Self;
}

/// Something that other processes can use too.
pub trait Shared: Subject + 'static {
    /// What another process created.
    fn open(name: &str) -> Self;
}

/// Runs the benchmark `name`: as the second process what `roles` say, otherwise `measure`, then `look` for what isn't
/// criterion's to measure, and prints the tables of both.
pub fn run(
    name: &str,
    roles: &[Role],
    measure: impl FnOnce(&mut Criterion) -> Vec<Table>,
    look: impl FnOnce() -> Vec<Table>,
) {
    if pair::play_role(roles) {
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut tables = measure(&mut criterion);
    criterion.final_summary();
    if has_option("--list") {
        return;
    }
    tables.extend(look());
    if is_test() {
        return; // each ran once, which measures nothing
    }
    report::print_circumstances(name);
    for table in tables {
        table.print();
    }
}

/// Whether it is only to be seen that everything runs.
pub fn is_test() -> bool {
    has_option("--test")
}

fn has_option(name: &str) -> bool {
    std::env::args().any(|arg| arg == name)
}
