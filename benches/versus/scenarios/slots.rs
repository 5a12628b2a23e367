//! What grows with the places for readers of our RwLock.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread::scope;

use pshared::backend::Backend;
use pshared::futex::Futex;
use pshared::posix::Posix;
use pshared::pthread::Pthread;
use pshared::sysv::Sysv;
use pshared::{Shm, generic};

use crate::figure::Column;
use crate::place::Name;
use crate::run::{Contest, Run, Scenario, Stopwatch};

pub const RWLOCK: Scenario = Scenario {
    name: "rwlock-slots",
    about: "our RwLock by its places for readers, nobody else is there; the last column after all places were taken at a time",
    roles: Vec::new,
    measure,
};

const COLUMNS: [Column; 4] = [
    Column::lower("size", "bytes"),
    Column::lower("read", "ns"),
    Column::lower("write", "ns"),
    Column::lower("write, all taken before", "ns"),
];

fn measure(run: &mut Run) {
    let mut contest = run.contest(RWLOCK.name, RWLOCK.about, &COLUMNS);
    enter_all::<Futex>("pshared::RwLock", &mut contest);
    enter_all::<Pthread>("pshared::pthread::RwLock", &mut contest);
    enter_all::<Sysv>("pshared::sysv::RwLock", &mut contest);
    enter_all::<Posix>("pshared::posix::RwLock", &mut contest);
    contest.hold();
}

fn enter_all<B: Backend>(name: &str, contest: &mut Contest<'_>) {
    enter::<B, 1>(name, contest);
    enter::<B, 8>(name, contest);
    enter::<B, 64>(name, contest);
    enter::<B, 256>(name, contest);
}

/// One that is removed in the end, with what the system holds for it.
struct Removed<B: Backend, const N: usize> {
    lock: Shm<generic::RwLock<u64, B, N>>,
    name: Name,
}

impl<B: Backend, const N: usize> Removed<B, N> {
    fn new() -> Self {
        let name = Name::new();
        Removed { lock: Shm::create_zeroed(&name).unwrap(), name }
    }
}

impl<B: Backend, const N: usize> Drop for Removed<B, N> {
    fn drop(&mut self) {
        Shm::<generic::RwLock<u64, B, N>>::remove(&self.name).unwrap();
    }
}

fn enter<B: Backend, const N: usize>(name: &str, contest: &mut Contest<'_>) {
    let (effort, mut locks) = (contest.effort(), None);
    let mut watches: [Stopwatch; 3] = Default::default();
    contest.enter(&format!("{name}<_, {N}>"), move || {
        let [fresh, used] = locks.get_or_insert_with(|| {
            let locks = [Removed::<B, N>::new(), Removed::new()];
            take_all(&locks[1].lock);
            locks
        });
        let (fresh, used) = (black_box(&*fresh.lock), black_box(&*used.lock));
        let [read, write, again] = &mut watches;
        Ok(vec![
            size_of::<generic::RwLock<(), B, N>>() as f64,
            read.sample(effort, || drop(fresh.read().unwrap())),
            write.sample(effort, || drop(fresh.write().unwrap())),
            again.sample(effort, || drop(used.write().unwrap())),
        ])
    });
}

/// As many readers as there are places, all at a time.
fn take_all<B: Backend, const N: usize>(lock: &generic::RwLock<u64, B, N>) {
    let all_in = Barrier::new(N);
    scope(|scope| {
        for _ in 0..N {
            scope.spawn(|| {
                let _guard = lock.read().unwrap();
                all_in.wait();
            });
        }
    });
}
