//! What it costs to let another process go on by a semaphore, beside what else there is, all in one run:
//! `cargo bench --bench semaphore`, with `-- --quick` for a first idea and `-- --test` to see that it runs.
//!
//! The tables in the end have medians. Each sample stands beside one of a bare cache line, or on one core of `sem_t`, so
//! that a machine that slows down for a while slows both.

#[path = "../common/mod.rs"]
mod common;
mod subjects;

use criterion::Criterion;
use pshared::{Event, Semaphore};

use common::compare::blocked_table;
use common::hand_over::{self, HandOvers};
use common::pair::on_one_core;
use common::report::Table;
use subjects::{CacheLine, InCell, SemT};

fn main() {
    let roles = [hand_over::roles::<CacheLine>(), hand_over::roles::<InCell>(), hand_over::roles::<SemT>()];
    let measure = |c: &mut Criterion| vec![on_two(c), on_one_core(|| on_one(c))];
    common::run("semaphore", roles.as_flattened(), measure, || vec![blocked_waiters(), sizes()]);
}

fn on_two(criterion: &mut Criterion) -> Table {
    HandOvers::<CacheLine>::new(criterion, "two cores", "hand-over between two cores | ns | × cache line")
        .measure::<CacheLine>()
        .measure::<InCell>()
        .measure::<SemT>()
        .finish()
}

/// Whoever spins there waits in vain: no cache line.
fn on_one(criterion: &mut Criterion) -> Table {
    HandOvers::<SemT>::new(criterion, "one core", "hand-over on one core | ns | × sem_t")
        .measure::<InCell>()
        .measure::<SemT>()
        .finish()
}

fn blocked_waiters() -> Table {
    blocked_table([hand_over::blocked::<InCell>(), hand_over::blocked::<SemT>()])
}

fn sizes() -> Table {
    let mut table = Table::new("size | bytes");
    table.row(&["pshared::Semaphore".into(), size_of::<Semaphore>().to_string()]);
    table.row(&["pshared::Event".into(), size_of::<Event>().to_string()]);
    table.row(&["sem_t".into(), size_of::<libc::sem_t>().to_string()]);
    table
}
