//! What `Mutex` promises: alone and contended, on the stack and in a cell, between threads and between processes.

#[path = "../support/mod.rs"]
mod support;

mod contended;
mod death;
mod fork;
mod guard;
mod poison;
mod shown;
mod taking;
mod time;
mod value;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use pshared::backend::Backend;
use pshared::generic::{Mutex, MutexGuard};
use pshared::{Cause, LockError, LockResult};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// A way to take a lock.
type Way<B> = for<'a> fn(&'a Mutex<u64, B>) -> LockResult<MutexGuard<'a, u64, B>>;

/// Every way that takes a free lock and says what is the matter with it.
fn every_way<B: Backend>() -> [(&'static str, Way<B>); 7] {
    [
        ("lock", |m| m.lock()),
        ("try_lock", |m| m.try_lock()),
        ("try_lock_for", |m| m.try_lock_for(LONG)),
        ("try_lock_for no time", |m| m.try_lock_for(Duration::ZERO)),
        ("try_lock_for ever", |m| m.try_lock_for(Duration::MAX)),
        ("try_lock_until", |m| m.try_lock_until(Instant::now() + LONG)),
        ("try_lock_until the past", |m| m.try_lock_until(past())),
    ]
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
fn poison<B: Backend>(m: &Mutex<u64, B>) {
    panicking(|| {
        let _guard = m.lock();
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
