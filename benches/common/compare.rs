//! Samples of a subject, each with one of something else next to it, so that a machine that slows down for a while slows
//! both.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode};

use super::memory::{Name, Placed};
use super::pair::Pair;
use super::report::{Samples, Table};
use super::{Shared, Subject};

/// Nothing less excludes anybody: a compare-exchange to take it, an exchange to give it back.
struct Floor(Placed<AtomicU32>);

impl Floor {
    const NAME: &'static str = "floor: CAS + exchange";

    fn create(name: &str) -> Floor {
        // SAFETY: zeroes are an atomic 0.
        Floor(unsafe { Placed::create(name, |_| {}) })
    }

    #[inline]
    fn lock_and_unlock(&self) {
        let word = black_box(self.0.get());
        assert!(word.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok());
        word.swap(0, Ordering::Release);
    }
}

/// Locks that nobody else wants, beside the floor.
pub struct Uncontended<'a> {
    group: BenchmarkGroup<'a, WallTime>,
    table: Table,
}

impl<'a> Uncontended<'a> {
    /// `head` is the table's, with ns and × floor.
    pub fn new(criterion: &'a mut Criterion, name: &str, head: &'static str) -> Uncontended<'a> {
        let mut group = criterion.benchmark_group(name);
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2)).sample_size(60);
        Uncontended { group, table: Table::new(head) }.with_floor()
    }

    fn with_floor(mut self) -> Self {
        let name = Name::new("subject");
        let same = Floor::create(&name.0);
        self.time(Floor::NAME, || same.lock_and_unlock());
        self
    }

    /// `work` is in the loop, with all that inlines into it.
    pub fn measure<S: Subject>(&mut self, work: impl Fn(&S)) {
        let name = Name::new("subject");
        let subject = S::create(&name.0);
        self.time(S::NAME, || work(&subject));
    }

    fn time(&mut self, name: &str, work: impl Fn()) {
        let beside = Name::new("floor");
        let floor = Floor::create(&beside.0);
        let mut samples = Samples::default();
        self.group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                let (time, beside) = (time(rounds, &work), time(rounds, || floor.lock_and_unlock()));
                samples.add_beside(rounds, time, beside);
                time
            });
        });
        if !samples.is_empty() {
            let (nanos, ratio) = (samples.nanos(), samples.ratio());
            self.table.row(&[name.into(), format!("{nanos:.2}"), format!("{ratio:.2}")]);
        }
    }

    pub fn finish(self) -> Table {
        self.group.finish();
        self.table
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

/// What two processes do to a subject in a round: both start at once, and the second does the same or answers.
pub struct Game<S> {
    /// The name of the second process's role.
    pub role: &'static str,
    /// What is done before they start.
    pub prepare: fn(&S, u64),
    /// What this process does so many rounds of.
    pub ours: fn(&S, u64) -> u64,
}

/// A group of subjects in two processes each, beside one of them.
pub struct InPairs<'a, R: Shared> {
    group: BenchmarkGroup<'a, WallTime>,
    reference: Game<R>,
    beside: Option<Pair<R>>,
}

impl<'a, R: Shared> InPairs<'a, R> {
    pub fn new(criterion: &'a mut Criterion, name: &str, reference: Game<R>) -> InPairs<'a, R> {
        let mut group = criterion.benchmark_group(name);
        group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
        group.sample_size(20).sampling_mode(SamplingMode::Flat);
        InPairs { group, reference, beside: None }
    }

    /// The samples of `S`; `see` is shown what came of a round here and there. `None` if a filter left it out.
    pub fn measure<S: Shared>(&mut self, game: &Game<S>, see: impl Fn(u64, u64, u64) -> f64) -> Option<Samples> {
        let mut samples = Samples::default();
        let mut pair = None;
        let (reference, beside) = (&self.reference, &mut self.beside);
        self.group.bench_function(S::NAME, |bencher| {
            // Started here, so that a filter that leaves this subject out leaves out its process.
            let pair = pair.get_or_insert_with(|| Pair::<S>::start(game.role));
            let beside = beside.get_or_insert_with(|| Pair::<R>::start(reference.role));
            bencher.iter_custom(|rounds| {
                (game.prepare)(&pair.subject, rounds);
                let (time, here, there) = pair.together(rounds, |subject| (game.ours)(subject, rounds));
                (reference.prepare)(&beside.subject, rounds);
                let (other, ..) = beside.together(rounds, |subject| (reference.ours)(subject, rounds));
                samples.add_shared(rounds, time, other, see(rounds, here, there));
                time
            });
        });
        (!samples.is_empty()).then_some(samples)
    }

    pub fn finish(self) {
        self.group.finish();
    }
}

/// Blocked for a second in each way, and the CPU time that this took.
pub fn blocked_table(rows: impl IntoIterator<Item = (&'static str, Duration)>) -> Table {
    let mut table = Table::new("waiter blocked for a second | µs of CPU");
    for (name, used) in rows {
        table.row(&[name.into(), used.as_micros().to_string()]);
    }
    table
}
