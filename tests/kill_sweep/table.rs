//! All rows: every backend × every operation × every setting that means something there.

use pshared::backend::Backend;
use pshared::futex::Futex;
use pshared::posix::Posix;
use pshared::pthread::Pthread;
use pshared::sysv::Sysv;

use crate::sweep::{Depth, Operation, Tally, run};
use crate::{barrier, cells, condvar, control, mutex, once, permits, rwlock, semaphore, zygote};

/// Whether a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Claim,
    /// It must fail.
    Control,
}

pub struct Row {
    pub name: String,
    pub backend: &'static str,
    pub kind: Kind,
    pub run: Box<dyn Fn(Depth) -> Tally + Send + Sync>,
}

pub const BACKENDS: [&str; 4] = [Futex::NAME, Pthread::NAME, Posix::NAME, Sysv::NAME];

pub fn all() -> Vec<Row> {
    let control = rows(Kind::Control, vec![control::operation::<Futex>()]);
    [control, of::<Futex>(), of::<Pthread>(), of::<Posix>(), of::<Sysv>()].into_iter().flatten().collect()
}

fn of<B: Backend>() -> Vec<Row> {
    let operations = [
        mutex::operations::<B>(),
        rwlock::operations(),
        condvar::operations(),
        semaphore::operations(),
        permits::operations(),
        barrier::operations(),
        once::operations(),
        cells::operations(),
    ];
    rows(Kind::Claim, operations.concat())
}

fn rows<B: Backend>(kind: Kind, operations: Vec<Operation<B>>) -> Vec<Row> {
    let in_settings = |operation: Operation<B>| {
        operation.settings.iter().map(move |&setting| Row {
            name: format!("{} {}, {setting}", B::NAME, operation.name),
            backend: B::NAME,
            kind,
            run: Box::new(move |depth| run(&operation, setting, depth)),
        })
    };
    operations.into_iter().flat_map(in_settings).collect()
}

/// Serves as the zygote of that backend.
pub fn serve(backend: &str) {
    match backend {
        Futex::NAME => zygote::serve::<Futex>(),
        Pthread::NAME => zygote::serve::<Pthread>(),
        Posix::NAME => zygote::serve::<Posix>(),
        Sysv::NAME => zygote::serve::<Sysv>(),
        other => panic!("there is no backend {other}"),
    }
}
