//! What is asked of each row, with real processes. Each scene has a cell of its own.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use pshared::Shm;

use crate::rows::{Came, Kind, Row};
use crate::support::child::{self, Child, Peer};
use crate::support::place::Scratch;
use crate::support::state::{tid, wait_until_asleep_in_a_lock};

/// As long as any wait may last; longer is a hang.
const LONG: Duration = Duration::from_secs(55);

/// Long enough to fall asleep in, and short enough to let pass.
const BRIEF: Duration = Duration::from_millis(60);

/// So many deaths are timed.
const DEATHS: usize = 10;

/// So many readers come and go while a writer waits.
const READERS: usize = 4;

/// A cell, and whose it is.
pub struct Stage<R: Row> {
    backend: String,
    name: String,
    cell: Shm<R::Cell>,
    _scratch: Scratch,
}

impl<R: Row> Stage<R> {
    pub fn new(backend: &str) -> Stage<R> {
        let scratch = Scratch::new();
        let [_, name] = scratch.posix().words();
        let cell = Shm::create(&name, || Ok(R::new())).unwrap();
        Stage { backend: backend.into(), name, cell, _scratch: scratch }
    }

    fn actor(&self, action: &str) -> Child {
        child::spawn("the_process_that_acts", "actor", &[&self.backend, R::NAME, action, &self.name])
    }

    /// One that has it.
    fn holder(&self) -> Child {
        let child = self.actor("hold");
        child.peer.expect("has it");
        child
    }

    /// One that is asleep waiting for it.
    fn sleeper(&self) -> Child {
        let child = self.actor("wait");
        wait_until_asleep_in_a_lock(child.peer.hear().parse().unwrap());
        child
    }
}

impl<R: Row> Drop for Stage<R> {
    fn drop(&mut self) {
        Shm::<R::Cell>::remove(&self.name).unwrap();
    }
}

/// The other side of a [`Stage`]'s actors.
pub fn act<R: Row>(action: &str, cell: &str, peer: &Peer) {
    let cell = Shm::<R::Cell>::open(cell).unwrap();
    match action {
        "hold" => R::hold(&cell, &|| {
            peer.say("has it");
            peer.expect("go on");
        }),
        "wait" => {
            peer.say(&tid().to_string());
            let came = R::wait(&cell, LONG);
            peer.say(&format!("{came:?}"));
        }
        "come and go" => {
            peer.say("comes");
            loop {
                R::hold(&cell, &|| std::thread::sleep(Duration::from_millis(2)));
            }
        }
        other => panic!("no action {other}"),
    }
}

/// Whether what one process does reaches another.
pub fn crosses<R: Row>(backend: &str) -> &'static str {
    let stage = Stage::<R>::new(backend);
    let others = RefCell::new(Vec::new());
    let number = if R::KIND == Kind::Met { 2 } else { 1 };
    R::hold(&stage.cell, &|| others.borrow_mut().extend((0..number).map(|_| stage.sleeper())));
    others.into_inner().iter().for_each(|other| other.peer.expect("Through"));
    "yes"
}

/// What somebody who waits is told when whoever has it is killed, and the longest time until then.
pub struct Death {
    pub outcome: &'static str,
    pub noticed: String,
}

pub fn dead_holder<R: Row>(backend: &str) -> Death {
    if R::KIND == Kind::Given {
        return Death { outcome: "nobody's", noticed: "nobody's".into() };
    }
    let deaths: Vec<_> = (0..DEATHS).map(|_| kill_holder::<R>(backend)).collect();
    let (outcome, _) = deaths[0];
    assert!(deaths.iter().all(|(other, _)| *other == outcome), "{backend} {}: {deaths:?}", R::NAME);
    let worst = deaths.iter().map(|(_, time)| *time).max().unwrap();
    let outcome = match outcome {
        Came::Poisoned => "the next one is told",
        Came::Through => "comes free",
        Came::Broken => "the others are told",
        Came::TimedOut => panic!("{backend} {}: never noticed", R::NAME),
    };
    Death { outcome, noticed: format!("{:.1}", worst.as_secs_f64() * 1e3) }
}

fn kill_holder<R: Row>(backend: &str) -> (Came, Duration) {
    let stage = Stage::<R>::new(backend);
    let holder = if R::KIND == Kind::Met { stage.sleeper() } else { stage.holder() };
    let waiter = tid();
    std::thread::scope(|scope| {
        let killer = scope.spawn(move || {
            wait_until_asleep_in_a_lock(waiter);
            let killed = Instant::now();
            holder.kill();
            killed
        });
        let came = R::wait(&stage.cell, LONG);
        let noticed = Instant::now();
        (came, noticed.saturating_duration_since(killer.join().unwrap()))
    })
}

/// What happens to the others when one that waits is killed.
pub fn dead_waiter<R: Row>(backend: &str) -> &'static str {
    if R::KIND == Kind::Met {
        return "the others are told"; // who waits has come: dead_holder
    }
    let stage = Stage::<R>::new(backend);
    let other = RefCell::new(None);
    R::hold(&stage.cell, &|| {
        let first = stage.sleeper();
        *other.borrow_mut() = Some(stage.sleeper());
        first.kill();
    });
    other.into_inner().unwrap().peer.expect("Through");
    "no harm"
}

/// Whether waiting can end, and doesn't too early.
pub fn timed<R: Row>(backend: &str) -> &'static str {
    let stage = Stage::<R>::new(backend);
    let holder = matches!(R::KIND, Kind::Mutex | Kind::Shared | Kind::Owned).then(|| stage.holder());
    let started = Instant::now();
    let came = R::wait(&stage.cell, BRIEF);
    let waited = started.elapsed();
    assert!(came == Came::TimedOut && waited >= BRIEF, "{backend} {}: {came:?} after {waited:?}", R::NAME);
    drop(holder);
    "yes"
}

/// Whether a writer gets in beside readers that come and go.
pub fn fair_to_writers<R: Row>(backend: &str) -> &'static str {
    let stage = Stage::<R>::new(backend);
    let readers: Vec<_> = (0..READERS).map(|_| stage.actor("come and go")).collect();
    readers.iter().for_each(|reader| reader.peer.expect("comes"));
    for _ in 0..10 {
        let came = R::wait(&stage.cell, LONG);
        assert_eq!(came, Came::Through, "{backend}");
    }
    readers.into_iter().for_each(Child::kill);
    "yes"
}

/// What it costs when there is nobody else, in nanoseconds: the median of some samples.
pub fn nanos<R: Row>(backend: &str) -> f64 {
    const USES: u32 = 20_000;
    let stage = Stage::<R>::new(backend);
    let mut samples: Vec<f64> = (0..15)
        .map(|_| {
            let started = Instant::now();
            (0..USES).for_each(|_| R::use_alone(&stage.cell));
            started.elapsed().as_nanos() as f64 / f64::from(USES)
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
