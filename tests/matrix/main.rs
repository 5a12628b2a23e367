//! The matrix in README: what each primitive keeps on each backend, asked of real processes.
//!
//! `PSHARED_MATRIX=write cargo test --release --test matrix` puts a new one there; without it, the test says where
//! README differs in anything but the measured times.

#[path = "../support/mod.rs"]
mod support;

mod rows;
mod scenes;
mod table;

use pshared::backend::Backend;
use rows::{Kind, Row};
use table::Table;

/// What there is to do for each backend, in README's order, each with what it has for priority inheritance.
macro_rules! backends {
    ($($module:ident $backend:ident $inheritance:literal),*) => {
        fn add_all(table: &mut Table) {
            $(add_backend::<pshared::$module::$backend>(table, $inheritance);)*
        }

        /// Acts as a child that was told which backend it is about.
        fn act(backend: &str, row: &str, action: &str, cell: &str, peer: &support::child::Peer) {
            match backend {
                $(stringify!($module) => act_on::<pshared::$module::$backend>(row, action, cell, peer),)*
                other => panic!("no backend {other}"),
            }
        }
    };
}
backends! { futex Futex "no", pthread Pthread "`PiMutex`", sysv Sysv "no", posix Posix "no" }

/// Calls `$run::<Row>($arguments)` for each row of a backend.
macro_rules! for_each_row {
    ($backend:ident, $run:ident($($argument:expr),*)) => {
        $run::<rows::Mutex<$backend>>($($argument),*);
        $run::<rows::Writer<$backend>>($($argument),*);
        $run::<rows::Reader<$backend>>($($argument),*);
        $run::<rows::Condvar<$backend>>($($argument),*);
        $run::<rows::Semaphore<$backend>>($($argument),*);
        $run::<rows::Permits<$backend>>($($argument),*);
        $run::<rows::Barrier<$backend>>($($argument),*);
        $run::<rows::Once<$backend>>($($argument),*);
        $run::<rows::Event<$backend>>($($argument),*);
    };
}

fn add_backend<B: Backend>(table: &mut Table, inheritance: &str) {
    for_each_row!(B, add_row(B::NAME, table, inheritance));
}

fn add_row<R: Row>(backend: &str, table: &mut Table, inheritance: &str) {
    let death = scenes::dead_holder::<R>(backend);
    table.row([
        backend.into(),
        R::NAME.into(),
        scenes::crosses::<R>(backend).into(),
        death.outcome.into(),
        scenes::dead_waiter::<R>(backend).into(),
        scenes::timed::<R>(backend).into(),
        if R::KIND == Kind::Mutex { inheritance.into() } else { "not a mutex".into() },
        if R::KIND == Kind::Shared { scenes::fair_to_writers::<R>(backend).into() } else { "not shared".into() },
        death.noticed,
        R::BYTES.to_string(),
        format!("{:.0}", scenes::nanos::<R>(backend)),
    ]);
}

fn act_on<B: Backend>(row: &str, action: &str, cell: &str, peer: &support::child::Peer) {
    for_each_row!(B, act_in_row(row, action, cell, peer));
}

fn act_in_row<R: Row>(row: &str, action: &str, cell: &str, peer: &support::child::Peer) {
    if R::NAME == row {
        scenes::act::<R>(action, cell, peer);
    }
}

/// Not a test of its own: what the matrix's processes do.
#[test]
fn the_process_that_acts() {
    if let Some((_, args, peer)) = support::child::role() {
        let [backend, row, action, cell] = &args[..] else { panic!("told {args:?}") };
        act(backend, row, action, cell, &peer);
    }
}

#[test]
fn readme_says_what_is_so() {
    let _watchdog = support::watchdog::watch(module_path!());
    let mut table = Table::new();
    add_all(&mut table);
    println!("{table}");
    table.compare_with_readme();
}
