//! What it costs to let another process go on by a condition variable, beside what else there is, all in one run:
//! `cargo bench --bench condvar`, with `-- --quick` for a first idea and `-- --test` to see that it runs.
//!
//! The tables in the end have medians. Each sample stands beside one of `pthread_cond_t`, so that a machine that slows down
//! for a while slows both.

#[path = "../common/mod.rs"]
mod common;
mod subjects;

use criterion::Criterion;
use pshared::{Condvar, Mutex};

use common::compare::blocked_table;
use common::hand_over::{self, HandOvers};
use common::pair::on_one_core;
use common::report::Table;
use subjects::{InCell, Pthread};

fn main() {
    let roles = [hand_over::roles::<InCell>(), hand_over::roles::<Pthread>()];
    let measure = |c: &mut Criterion| {
        let two = hand_overs(c, "two cores", "hand-over between two cores | ns | × pthread");
        let one = on_one_core(|| hand_overs(c, "one core", "hand-over on one core | ns | × pthread"));
        vec![two, one]
    };
    common::run("condvar", roles.as_flattened(), measure, || vec![blocked_waiters(), sizes()]);
}

fn hand_overs(criterion: &mut Criterion, name: &str, head: &'static str) -> Table {
    HandOvers::<Pthread>::new(criterion, name, head).measure::<InCell>().measure::<Pthread>().finish()
}

fn blocked_waiters() -> Table {
    blocked_table([hand_over::blocked::<InCell>(), hand_over::blocked::<Pthread>()])
}

fn sizes() -> Table {
    let mut table = Table::new("size | bytes");
    table.row(&["pshared::Condvar".into(), size_of::<Condvar>().to_string()]);
    table.row(&["pshared::Mutex<()>".into(), size_of::<Mutex<()>>().to_string()]);
    table.row(&["pthread_cond_t".into(), size_of::<libc::pthread_cond_t>().to_string()]);
    table.row(&["pthread_mutex_t".into(), size_of::<libc::pthread_mutex_t>().to_string()]);
    table
}
