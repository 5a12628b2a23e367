//! All rows: every backend × every operation × every setting that means something there.

use pshared::backend::Backend;
use pshared::futex::Futex;
use pshared::posix::Posix;
use pshared::pthread::{Pthread, PthreadPi};
use pshared::sysv::Sysv;

use crate::sweep::{Depth, Operation, Setting, Spans, Tally, run};
use crate::{
    barrier, cells, condvar, control, mutex, once, permits, reentrant_mutex, rwlock, rwlock_beside, semaphore, zygote,
};

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

pub const BACKENDS: [&str; 5] = [Futex::NAME, Pthread::NAME, PthreadPi::NAME, Posix::NAME, Sysv::NAME];

pub fn all() -> Vec<Row> {
    let control = rows(Kind::Control, vec![control::operation::<Futex>()]);
    let of_its_own = rows(Kind::Claim, [semaphore::of_any(), rwlock_beside::operations()].concat());
    let all = [control, of::<Futex>(), of_its_own, of::<Pthread>(), with_inheritance(), of::<Posix>(), of::<Sysv>()];
    all.into_iter().flatten().collect()
}

fn of<B: Backend>() -> Vec<Row> {
    let operations = [
        mutex::operations::<B>(),
        reentrant_mutex::operations(),
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

/// What the mutexes with priority inheritance are used in; the rest is that of POSIX threads. The system hands such a mutex
/// over, so nobody barges in.
fn with_inheritance() -> Vec<Row> {
    let mut operations = [mutex::operations::<PthreadPi>(), condvar::operations()].concat();
    // Who is woken has it by then.
    let woken = operations.iter_mut().filter(|operation| operation.settings.contains(&Setting::Woken));
    woken.for_each(|operation| operation.spans = Spans::Nothing);
    let barged = Setting::Barged.to_string();
    rows(Kind::Claim, operations).into_iter().filter(|row| !row.name.ends_with(&barged)).collect()
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
        PthreadPi::NAME => zygote::serve::<PthreadPi>(),
        Posix::NAME => zygote::serve::<Posix>(),
        Sysv::NAME => zygote::serve::<Sysv>(),
        other => panic!("there is no backend {other}"),
    }
}
