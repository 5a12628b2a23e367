//! What a mutex costs, beside what else there is, all in one run: `cargo bench --bench mutex`, with `-- --quick` for a
//! first idea and `-- --test` to see that it runs.
//!
//! The tables in the end have medians. An uncontended lock is compared with a floor that is measured next to each of its
//! samples, so that a machine that slows down for a while slows both.

mod pair;
mod report;
mod subjects;

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode};
use pshared::{Mutex, Shm};

use pair::Pair;
use report::{Samples, Table};
use subjects::{Floor, InCell, Name, OutsideCell, ParkingLot, Pthread, Shared, Std, Subject};

fn main() {
    if pair::play_role() {
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    let tables = [uncontended(&mut criterion), hammered(&mut criterion), named_cell(&mut criterion)];
    criterion.final_summary();
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    let blocked = blocked();
    if std::env::args().any(|arg| arg == "--test") {
        return; // each ran once, which measures nothing
    }
    report::print_circumstances();
    for table in tables {
        table.print();
    }
    blocked.print();
}

fn uncontended(criterion: &mut Criterion) -> Table {
    fn measure<S: Subject>(group: &mut BenchmarkGroup<'_, WallTime>, table: &mut Table) {
        let names = [Name::new("subject"), Name::new("floor")];
        let (subject, floor) = (S::create(&names[0].0), Floor::create(&names[1].0));
        let mut samples = Samples::default();
        group.bench_function(S::NAME, |bencher| {
            bencher.iter_custom(|rounds| {
                let (time, beside) = (time(&subject, rounds), time(&floor, rounds));
                samples.add_beside_floor(rounds, time, beside);
                time
            });
        });
        if !samples.is_empty() {
            let (nanos, ratio) = (samples.nanos(), samples.ratio_to_floor());
            table.row(&[S::NAME.into(), format!("{nanos:.2}"), format!("{ratio:.2}")]);
        }
    }

    let mut table = Table::new("lock + unlock, nobody else | ns | × floor");
    let mut group = criterion.benchmark_group("uncontended");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2)).sample_size(60);
    measure::<Floor>(&mut group, &mut table);
    measure::<InCell>(&mut group, &mut table);
    measure::<OutsideCell>(&mut group, &mut table);
    measure::<Std>(&mut group, &mut table);
    measure::<ParkingLot>(&mut group, &mut table);
    measure::<Pthread<false>>(&mut group, &mut table);
    measure::<Pthread<true>>(&mut group, &mut table);
    group.finish();
    table
}

#[inline(never)]
fn time<S: Subject>(subject: &S, rounds: u64) -> Duration {
    let started = Instant::now();
    for _ in 0..rounds {
        subject.lock_and_unlock();
    }
    started.elapsed()
}

fn hammered(criterion: &mut Criterion) -> Table {
    fn measure<S: Shared>(group: &mut BenchmarkGroup<'_, WallTime>, rows: &mut Vec<(&str, Samples)>) {
        let mut samples = Samples::default();
        let mut pair = None;
        group.bench_function(S::NAME, |bencher| {
            // Started here, so that a filter that leaves this subject out leaves out its process.
            let pair = pair.get_or_insert_with(|| Pair::<S>::start("hammer"));
            bencher.iter_custom(|rounds| {
                let round = pair.hammer(rounds);
                samples.add_shared(rounds, round.time, round.share);
                round.time
            });
        });
        if !samples.is_empty() {
            rows.push((S::NAME, samples));
        }
    }

    let mut rows = Vec::new();
    let mut group = criterion.benchmark_group("two processes");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(4));
    group.sample_size(20).sampling_mode(SamplingMode::Flat);
    measure::<InCell>(&mut group, &mut rows);
    measure::<Pthread<false>>(&mut group, &mut rows);
    measure::<Pthread<true>>(&mut group, &mut rows);
    group.finish();

    let plain = rows.iter().find(|(name, _)| *name == Pthread::<false>::NAME).map_or(f64::NAN, |(_, s)| s.nanos());
    let mut table = Table::new("two processes hammering | M/s | × pthread | lesser/greater, median | worst");
    for (name, samples) in rows {
        let (nanos, (usual, worst)) = (samples.nanos(), samples.share());
        table.row(&[
            name.into(),
            format!("{:.1}", 1e3 / nanos),
            format!("{:.2}", plain / nanos),
            format!("{usual:.2}"),
            format!("{worst:.2}"),
        ]);
    }
    table
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

/// Not criterion's: what counts is another process's CPU time, not the time.
fn blocked() -> Table {
    fn measure<S: Shared>(table: &mut Table) {
        let used = Pair::<S>::start("wait").blocked_for(Duration::from_secs(1));
        table.row(&[S::NAME.into(), used.as_micros().to_string()]);
    }
    let mut table = Table::new("waiter blocked for a second | µs of CPU");
    measure::<InCell>(&mut table);
    measure::<Pthread<false>>(&mut table);
    measure::<Pthread<true>>(&mut table);
    table
}
