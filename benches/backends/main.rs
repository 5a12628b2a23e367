//! What each backend adds to the mechanism that it is built on, uncontended, all in one run: `cargo bench --bench backends`,
//! with `-- --quick` for a first idea and `-- --test` to see that it runs.
//!
//! Each sample stands beside one of the bare mechanism, so that a machine that slows down for a while slows both.

#[path = "../common/mod.rs"]
mod common;
mod subjects;

use std::time::{Duration, Instant};

use criterion::Criterion;
use pshared::futex::Futex;
use pshared::posix::Posix;
use pshared::pthread::{Pthread, PthreadPi};
use pshared::sysv::Sysv;

use common::memory::Name;
use common::report::{Samples, Table};
use subjects::{Mutex, RawMutex, RawSemaphore, RawSet, Round, Semaphore};

fn main() {
    common::run("backends", &[], |c| vec![mutexes(c), semaphores(c)], Vec::new);
}

fn mutexes(criterion: &mut Criterion) -> Table {
    let table = Table::new("lock + unlock, nobody else | ns | × the bare mechanism | which is");
    let mut group = Beside { criterion, group: "mutex", table };
    group.measure::<Mutex<Futex>, RawMutex<'r'>>();
    group.measure::<Mutex<Pthread>, RawMutex<'r'>>();
    group.measure::<Mutex<PthreadPi>, RawMutex<'i'>>();
    group.measure::<Mutex<Sysv>, RawSet>();
    group.measure::<Mutex<Posix>, RawSemaphore>();
    group.table
}

fn semaphores(criterion: &mut Criterion) -> Table {
    let table = Table::new("post + wait, nobody else | ns | × the bare mechanism | which is");
    let mut group = Beside { criterion, group: "semaphore", table };
    group.measure::<Semaphore<Futex>, RawSemaphore>();
    group.measure::<Semaphore<Pthread>, RawSemaphore>();
    group.measure::<Semaphore<Sysv>, RawSet>();
    group.measure::<Semaphore<Posix>, RawSemaphore>();
    group.table
}

/// A table of subjects, each beside something of its own.
struct Beside<'a> {
    criterion: &'a mut Criterion,
    group: &'static str,
    table: Table,
}

impl Beside<'_> {
    fn measure<S: Round, R: Round>(&mut self) {
        let names = [Name::new("subject"), Name::new("beside")];
        let (subject, beside) = (S::create(&names[0].0), R::create(&names[1].0));
        let mut samples = Samples::default();
        let mut group = self.criterion.benchmark_group(self.group);
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2)).sample_size(60);
        group.bench_function(S::NAME, |bencher| {
            bencher.iter_custom(|rounds| {
                let (time, beside) = (time(rounds, || subject.round()), time(rounds, || beside.round()));
                samples.add_beside(rounds, time, beside);
                time
            });
        });
        group.finish();
        if !samples.is_empty() {
            let (nanos, ratio) = (samples.nanos(), samples.ratio());
            self.table.row(&[S::NAME.into(), format!("{nanos:.2}"), format!("{ratio:.2}"), R::NAME.into()]);
        }
    }
}

#[inline(never)]
fn time(rounds: u64, work: impl Fn()) -> Duration {
    let started = Instant::now();
    for _ in 0..rounds {
        work();
    }
    started.elapsed()
}
