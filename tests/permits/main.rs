//! What `Permits` promises: never more holders than permits, and none lost with a holder that ends, however it ends.

#[path = "../support/mod.rs"]
mod support;

mod actor;
mod contended;
mod deaths;
mod forgotten;
mod fork;
mod holders;
mod sweeps;
mod taking;
mod time;
mod value;

use std::time::{Duration, Instant};

use pshared::backend::Backend;
use pshared::generic::{Permit, Permits};
use pshared::{Error, Result};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// A way to take a permit.
type Way<B, const N: usize> = for<'a> fn(&'a Permits<B, N>) -> Result<Permit<'a, B, N>>;

/// Every way that takes a permit which is free.
fn every_way<B: Backend, const N: usize>() -> [(&'static str, Way<B, N>); 7] {
    [
        ("acquire", |p| p.acquire()),
        ("try_acquire", |p| p.try_acquire()),
        ("acquire_timeout", |p| p.acquire_timeout(LONG)),
        ("acquire_timeout no time", |p| p.acquire_timeout(Duration::ZERO)),
        ("acquire_timeout for ever", |p| p.acquire_timeout(Duration::MAX)),
        ("acquire_until", |p| p.acquire_until(Instant::now() + LONG)),
        ("acquire_until the past", |p| p.acquire_until(past())),
    ]
}

/// A moment that is over.
fn past() -> Instant {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs(5)).unwrap_or(now)
}
