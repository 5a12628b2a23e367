//! What `Condvar` promises: on the stack and in a cell, between threads and between processes, and when somebody dies.

#[path = "../support/mod.rs"]
mod support;

mod actor;
mod deaths;
mod fork;
mod hands;
mod pairs;
mod poison;
mod sweeps;
mod time;
mod value;
mod waiting;
mod without_waitv;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pshared::backend::Backend;
use pshared::generic::{Condvar, Mutex, MutexGuard};
use pshared::{Cause, LockError, LockResult, ShmSafe};

use crate::support::claims::{Worker, Workers};
use crate::support::state::{tid, wait_until, wait_until_asleep_in_a_lock};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// A lock, what waits for a change of what it guards, and a count of those who came back.
#[repr(C)]
#[derive(ShmSafe)]
struct Room<B: Backend> {
    value: Mutex<u64, B>,
    changed: Condvar<B>,
    back: AtomicU64,
}

impl<B: Backend> Room<B> {
    fn new() -> Self {
        Room { value: Mutex::new(0), changed: Condvar::new(), back: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, u64, B> {
        self.value.lock().unwrap()
    }

    fn came_back(&self) {
        self.back.fetch_add(1, Ordering::SeqCst);
    }

    fn back(&self) -> u64 {
        self.back.load(Ordering::SeqCst)
    }

    fn wait_until_back(&self, count: u64) {
        wait_until(&format!("{count} are back"), || self.back() == count);
    }
}

/// A worker's number of its thread, then its leave to begin.
fn tell_tid(me: &crate::support::claims::Me) {
    me.say(&tid().to_string());
    me.expect("go");
}

/// Lets a worker begin, and waits until it sleeps in the lock or the wait that it begins with.
fn let_sleep(worker: &Worker) {
    let id = worker.hear().parse().unwrap();
    worker.say("go");
    wait_until_asleep_in_a_lock(id);
}

fn let_all_sleep(workers: &Workers) {
    workers.iter().for_each(let_sleep);
}
