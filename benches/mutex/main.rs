//! What a mutex costs, beside what else there is, all in one run: `cargo bench --bench mutex`, with `-- --quick` for a
//! first idea and `-- --test` to see that it runs.
//!
//! The tables in the end have medians. An uncontended lock is compared with a floor that is measured next to each of its
//! samples, two processes with two at a pthread mutex, so that a machine that slows down for a while slows both.

#[path = "../common/mod.rs"]
mod common;
mod subjects;

use std::time::{Duration, Instant};

use criterion::Criterion;
use pshared::{Mutex, Shm};

use common::compare::{Game, InPairs, Uncontended, blocked_table};
use common::memory::Name;
use common::pair::{Role, blocked};
use common::report::{Samples, Table};
use subjects::{InCell, Lock, OutsideCell, ParkingLot, Pthread, SharedLock, Std};

fn main() {
    fn roles<S: SharedLock>() -> [Role; 2] {
        [Role::new("hammer", |lock: &S, _| sections(lock)), Role::waiter("wait", |lock: &S| lock.hold(&mut || {}))]
    }
    let roles: Vec<Role> = roles::<InCell>().into_iter().chain(roles::<Plain>()).chain(roles::<Robust>()).collect();
    common::run("mutex", &roles, |c| vec![uncontended(c), hammered(c), named_cell(c)], || vec![blocked_waiters()]);
}

type Plain = Pthread<false>;
type Robust = Pthread<true>;

fn uncontended(criterion: &mut Criterion) -> Table {
    let mut locks = Uncontended::new(criterion, "uncontended", "lock + unlock, nobody else | ns | × floor");
    locks.measure(InCell::lock_and_unlock);
    locks.measure(OutsideCell::lock_and_unlock);
    locks.measure(Std::lock_and_unlock);
    locks.measure(ParkingLot::lock_and_unlock);
    locks.measure(Plain::lock_and_unlock);
    locks.measure(Robust::lock_and_unlock);
    locks.finish()
}

/// Both take from the number in the lock as fast as they can until nothing is left.
fn hammered(criterion: &mut Criterion) -> Table {
    fn game<S: SharedLock>() -> Game<S> {
        Game { role: "hammer", prepare: S::put, ours: |lock, _| sections(lock) }
    }
    fn measure<S: SharedLock>(pairs: &mut InPairs<'_, Plain>, table: &mut Table) {
        let share = |sections, here: u64, there: u64| {
            assert_eq!(here + there, sections, "{} let two in at once", S::NAME);
            here.min(there) as f64 / here.max(there).max(1) as f64
        };
        let Some(samples) = pairs.measure(&game::<S>(), share) else { return };
        let (usual, worst) = samples.share();
        table.row(&[
            S::NAME.into(),
            format!("{:.1}", 1e3 / samples.nanos()),
            format!("{:.2}", 1.0 / samples.ratio()),
            format!("{usual:.2}"),
            format!("{worst:.2}"),
        ]);
    }

    let mut table = Table::new("two processes hammering | M/s | × pthread | lesser/greater, median | worst");
    let mut pairs = InPairs::new(criterion, "two processes", game::<Plain>());
    measure::<InCell>(&mut pairs, &mut table);
    measure::<Plain>(&mut pairs, &mut table);
    measure::<Robust>(&mut pairs, &mut table);
    pairs.finish();
    table
}

/// How many this process got.
fn sections<S: SharedLock>(lock: &S) -> u64 {
    let mut sections = 0;
    while lock.take_one() {
        sections += 1;
    }
    sections
}

fn named_cell(criterion: &mut Criterion) -> Table {
    let name = Name::new("cell");
    let mut samples = Samples::default();
    let mut group = criterion.benchmark_group("named cell");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2)).sample_size(30);
    group.bench_function("create + open + remove", |bencher| {
        bencher.iter_custom(|rounds| {
            let started = Instant::now();
            for _ in 0..rounds {
                let created = Shm::create(&name.0, || Ok(Mutex::new(0_u64))).unwrap();
                let opened = Shm::<Mutex<u64>>::open(&name.0).unwrap();
                Shm::<Mutex<u64>>::remove(&name.0).unwrap();
                drop((created, opened));
            }
            let time = started.elapsed();
            samples.add(rounds, time);
            time
        });
    });
    group.finish();
    let mut table = Table::new("named cell | µs");
    if !samples.is_empty() {
        table.row(&["create + open + remove".into(), format!("{:.0}", samples.nanos() / 1e3)]);
    }
    table
}

fn blocked_waiters() -> Table {
    fn measure<S: SharedLock>() -> (&'static str, Duration) {
        (S::NAME, blocked::<S>("wait", |lock, run| lock.hold(run)))
    }
    blocked_table([measure::<InCell>(), measure::<Plain>(), measure::<Robust>()])
}
