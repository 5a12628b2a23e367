//! What a reader-writer lock costs, beside what else there is, all in one run: `cargo bench --bench rwlock`, with
//! `-- --quick` for a first idea and `-- --test` to see that it runs.
//!
//! The tables in the end have medians. An uncontended lock is compared with a floor that is measured next to each of its
//! samples, two processes with two at a `pthread_rwlock_t`, so that a machine that slows down for a while slows both.

#[path = "../common/mod.rs"]
mod common;
mod subjects;

use std::time::Duration;

use criterion::Criterion;
use pshared::RwLock;

use common::compare::{Game, InPairs, Uncontended, blocked_table};
use common::pair::{Role, blocked};
use common::report::Table;
use subjects::{InCell, Lock, Mode, OutsideCell, ParkingLot, Pthread, Rustix, SharedLock, Std};

/// One in so many is a write, where there are writes: 5 %.
const WRITE_EVERY: u64 = 20;

fn main() {
    fn roles<S: SharedLock>() -> [Role; 4] {
        [
            Role::new("read", reads::<S>),
            Role::new("mix", mixture::<S>),
            Role::waiter("read once", |lock: &S| _ = lock.read()),
            Role::waiter("write once", S::write),
        ]
    }
    let roles: Vec<Role> = roles::<InCell>().into_iter().chain(roles::<Pthread>()).chain(roles::<Rustix>()).collect();
    let measure = |c: &mut Criterion| {
        let reading = Table::new("two processes reading | M/s | × pthread");
        let mixed = Table::new("two processes, 5 % writes | M/s | × pthread");
        vec![
            uncontended_reads(c),
            uncontended_writes(c),
            in_pairs(c, "two processes reading", reading, ("read", reads::<InCell>, reads::<Pthread>, reads::<Rustix>)),
            in_pairs(c, "two processes, 5 % writes", mixed, ("mix", mixture, mixture, mixture)),
        ]
    };
    common::run("rwlock", &roles, measure, || vec![blocked_waiters(), sizes()]);
}

fn uncontended_reads(criterion: &mut Criterion) -> Table {
    let mut locks = Uncontended::new(criterion, "read", "read + unlock, nobody else | ns | × floor");
    locks.measure(|lock: &InCell| lock.lock_and_unlock(Mode::Read));
    locks.measure(|lock: &OutsideCell| lock.lock_and_unlock(Mode::Read));
    locks.measure(|lock: &Std| lock.lock_and_unlock(Mode::Read));
    locks.measure(|lock: &ParkingLot| lock.lock_and_unlock(Mode::Read));
    locks.measure(|lock: &Pthread| lock.lock_and_unlock(Mode::Read));
    locks.measure(|lock: &Rustix| lock.lock_and_unlock(Mode::Read));
    locks.finish()
}

fn uncontended_writes(criterion: &mut Criterion) -> Table {
    let mut locks = Uncontended::new(criterion, "write", "write + unlock, nobody else | ns | × floor");
    locks.measure(|lock: &InCell| lock.lock_and_unlock(Mode::Write));
    locks.measure(|lock: &OutsideCell| lock.lock_and_unlock(Mode::Write));
    locks.measure(|lock: &Std| lock.lock_and_unlock(Mode::Write));
    locks.measure(|lock: &ParkingLot| lock.lock_and_unlock(Mode::Write));
    locks.measure(|lock: &Pthread| lock.lock_and_unlock(Mode::Write));
    locks.measure(|lock: &Rustix| lock.lock_and_unlock(Mode::Write));
    locks.finish()
}

/// What each process does in a round.
type Part<S> = fn(&S, u64) -> u64;

fn in_pairs(
    criterion: &mut Criterion,
    name: &str,
    mut table: Table,
    (role, ours, pthread, rustix): (&'static str, Part<InCell>, Part<Pthread>, Part<Rustix>),
) -> Table {
    fn measure<S: SharedLock>(pairs: &mut InPairs<'_, Pthread>, role: &'static str, ours: Part<S>, table: &mut Table) {
        let complete = |rounds, here, there| {
            assert_eq!((here, there), (rounds, rounds), "{} let a reader in beside a writer", S::NAME);
            1.0
        };
        let Some(samples) = pairs.measure(&Game { role, prepare: |_, _| {}, ours }, complete) else { return };
        let (both, ratio) = (2e3 / samples.nanos(), 1.0 / samples.ratio());
        table.row(&[S::NAME.into(), format!("{both:.1}"), format!("{ratio:.2}")]);
    }

    let reference = Game { role, prepare: |_: &Pthread, _| {}, ours: pthread };
    let mut pairs = InPairs::new(criterion, name, reference);
    measure(&mut pairs, role, ours, &mut table);
    measure(&mut pairs, role, pthread, &mut table);
    measure(&mut pairs, role, rustix, &mut table);
    pairs.finish();
    table
}

/// Reads so many times and says how many reads found the two numbers equal.
fn reads<S: SharedLock>(lock: &S, rounds: u64) -> u64 {
    (0..rounds).map(|_| u64::from(is_whole(lock.read()))).sum()
}

/// Of so many rounds, one in [`WRITE_EVERY`] writes.
fn mixture<S: SharedLock>(lock: &S, rounds: u64) -> u64 {
    let mut sound = 0;
    for round in 1..=rounds {
        if round % WRITE_EVERY == 0 {
            lock.write();
            sound += 1;
        } else {
            sound += u64::from(is_whole(lock.read()));
        }
    }
    sound
}

fn is_whole([one, other]: [u64; 2]) -> bool {
    one == other
}

fn blocked_waiters() -> Table {
    fn measure<S: SharedLock>() -> [(&'static str, Duration); 2] {
        let for_writer = blocked::<S>("read once", |lock, run| lock.hold_writing(run));
        let for_reader = blocked::<S>("write once", |lock, run| lock.hold_reading(run));
        [(S::READER, for_writer), (S::WRITER, for_reader)]
    }
    blocked_table(measure::<InCell>().into_iter().chain(measure::<Pthread>()).chain(measure::<Rustix>()))
}

fn sizes() -> Table {
    let mut table = Table::new("size | bytes");
    table.row(&["pshared::RwLock<()>, 64 readers".into(), size_of::<RwLock<()>>().to_string()]);
    table.row(&["pthread_rwlock_t".into(), size_of::<libc::pthread_rwlock_t>().to_string()]);
    table
}
