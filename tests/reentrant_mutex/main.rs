//! What `ReentrantMutex` promises: one thread at a time, as many guards as it likes, and what becomes of them.

#[path = "../support/mod.rs"]
mod support;

mod deaths;
mod guards;
mod taking;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pshared::backend::Backend;
use pshared::generic::{ReentrantMutex, ReentrantMutexGuard};
use pshared::{Cause, LockError, LockResult};

/// A lock around what its holder may change.
type Lock<B> = ReentrantMutex<AtomicU64, B>;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// A way to take a lock.
type Way<B> = for<'a> fn(&'a Lock<B>) -> LockResult<ReentrantMutexGuard<'a, AtomicU64, B>>;

/// Every way that takes a free lock and says what is the matter with it.
fn every_way<B: Backend>() -> [(&'static str, Way<B>); 6] {
    [
        ("lock", |m| m.lock()),
        ("try_lock", |m| m.try_lock()),
        ("try_lock_for", |m| m.try_lock_for(LONG)),
        ("try_lock_for no time", |m| m.try_lock_for(Duration::ZERO)),
        ("try_lock_for ever", |m| m.try_lock_for(Duration::MAX)),
        ("try_lock_until", |m| m.try_lock_until(Instant::now() + LONG)),
    ]
}

const fn lock_around<B: Backend>(value: u64) -> Lock<B> {
    ReentrantMutex::new(AtomicU64::new(value))
}

/// Adds one in two steps, which only the holder may.
fn add(n: &AtomicU64) {
    n.store(n.load(Relaxed) + 1, Relaxed);
}

/// Runs `body`, which ends in a panic.
fn panicking(body: impl FnOnce()) {
    catch_unwind(AssertUnwindSafe(body)).expect_err("it was to panic");
}

/// A panic that no hook hears of.
fn panic_quietly() -> ! {
    resume_unwind(Box::new("on purpose"))
}

/// The cause that a way to take the lock tells of; the guard is gone again.
fn cause<G>(result: LockResult<G>) -> Option<Cause> {
    match result {
        Ok(_) => None,
        Err(LockError::Poisoned(poison)) => Some(poison.cause()),
        Err(other) => panic!("the lock was not taken: {other:?}"),
    }
}
