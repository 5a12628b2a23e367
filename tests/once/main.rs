//! What `Once` and `OnceLock` promise: done by one, seen by all, whoever dies or panics on the way.

#[path = "../support/mod.rs"]
mod support;

mod deaths;
mod doing;
mod fork;
mod lock;
mod odd_memory;
mod waiting;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use pshared::backend::Backend;
use pshared::generic::{Once, OnceLock};
use pshared::{Cause, Error, ShmSafe};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// More than the watchdog has seconds.
const HAND_OVERS: usize = 100;

/// Runs `body`, which ends in a panic.
fn panicking(body: impl FnOnce()) {
    catch_unwind(AssertUnwindSafe(body)).expect_err("it was to panic");
}

/// A panic that no hook hears of.
fn panic_quietly() -> ! {
    resume_unwind(Box::new("on purpose"))
}

/// An initialiser that panics.
fn panic_once<B: Backend>(once: &Once<B>) {
    panicking(|| _ = once.call_once_force(|_| panic_quietly()));
}

/// A moment that is over.
fn past() -> Instant {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs(5)).unwrap_or(now)
}
