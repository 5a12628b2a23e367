//! What `RwLock` promises: alone and contended, on the stack and in a cell, between threads and between processes.

#[path = "../support/mod.rs"]
mod support;

mod contended;
mod death;
mod forgotten;
mod fork;
mod guard;
mod killed;
mod limit;
mod odd_memory;
mod poison;
mod read_again;
mod readers;
mod shown;
mod taking;
mod time;
mod turning;
mod value;
mod without_waitv;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use pshared::backend::Backend;
use pshared::generic;
use pshared::{Cause, LockError, LockResult};

use crate::support::state::wait_until;

/// A lock for as many readers as most have.
type RwLock<T, B> = generic::RwLock<T, B, 64>;
type ReadGuard<'a, T, B> = generic::RwLockReadGuard<'a, T, B, 64>;
type WriteGuard<'a, T, B> = generic::RwLockWriteGuard<'a, T, B, 64>;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// What a way to take a lock comes to, the guard inside.
type Took<'a> = LockResult<Box<dyn std::ops::Deref<Target = u64> + 'a>>;

/// A way to take a lock.
type Way<B> = for<'a> fn(&'a RwLock<u64, B>) -> Took<'a>;

fn boxed<'a, G: std::ops::Deref<Target = u64> + 'a>(result: LockResult<G>) -> Took<'a> {
    match result {
        Ok(guard) => Ok(Box::new(guard)),
        Err(error) => Err(error.map(|guard| Box::new(guard) as Box<dyn std::ops::Deref<Target = u64> + 'a>)),
    }
}

/// Every way to read.
fn ways_to_read<B: Backend>() -> [(&'static str, Way<B>); 7] {
    [
        ("read", |l| boxed(l.read())),
        ("try_read", |l| boxed(l.try_read())),
        ("try_read_for", |l| boxed(l.try_read_for(LONG))),
        ("try_read_for no time", |l| boxed(l.try_read_for(Duration::ZERO))),
        ("try_read_for ever", |l| boxed(l.try_read_for(Duration::MAX))),
        ("try_read_until", |l| boxed(l.try_read_until(Instant::now() + LONG))),
        ("try_read_until the past", |l| boxed(l.try_read_until(past()))),
    ]
}

/// Every way to write.
fn ways_to_write<B: Backend>() -> [(&'static str, Way<B>); 7] {
    [
        ("write", |l| boxed(l.write())),
        ("try_write", |l| boxed(l.try_write())),
        ("try_write_for", |l| boxed(l.try_write_for(LONG))),
        ("try_write_for no time", |l| boxed(l.try_write_for(Duration::ZERO))),
        ("try_write_for ever", |l| boxed(l.try_write_for(Duration::MAX))),
        ("try_write_until", |l| boxed(l.try_write_until(Instant::now() + LONG))),
        ("try_write_until the past", |l| boxed(l.try_write_until(past()))),
    ]
}

/// Every way there is.
fn every_way<B: Backend>() -> Vec<(&'static str, Way<B>)> {
    ways_to_read().into_iter().chain(ways_to_write()).collect()
}

/// Has somebody who tries find out about a death, where nobody else tells of it.
fn find_out<B: Backend, G>(mut tries: impl FnMut() -> LockResult<G>) {
    if B::NAME != "futex" {
        wait_until("the death is found out", || !matches!(tries(), Err(LockError::WouldBlock)));
    }
}

/// A moment that is over.
fn past() -> Instant {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs(5)).unwrap_or(now)
}

/// Runs `body`, which ends in a panic.
fn panicking(body: impl FnOnce()) {
    catch_unwind(AssertUnwindSafe(body)).expect_err("it was to panic");
}

/// A panic that no hook hears of.
fn panic_quietly() -> ! {
    resume_unwind(Box::new("on purpose"))
}

/// Poisons the lock by a panic.
fn poison<B: Backend>(l: &RwLock<u64, B>) {
    panicking(|| {
        let _guard = l.write();
        panic_quietly();
    });
}

/// The cause that a way to take the lock tells of; the lock is free again.
fn cause<G>(result: LockResult<G>) -> Option<Cause> {
    match result {
        Ok(_) => None,
        Err(LockError::Poisoned(poison)) => Some(poison.cause()),
        Err(other) => panic!("the lock was not taken: {other:?}"),
    }
}
