//! What `Semaphore`, `Event` and `wait_any` promise: alone and contended, on the stack and in a cell, between threads and
//! between processes, killed anywhere, interrupted by signals, and on a kernel without `futex_waitv`.

#[path = "../support/mod.rs"]
mod support;

mod actor;
mod any;
mod contended;
mod counting;
mod deaths;
mod events;
mod hands;
mod signals;
mod sweeps;
mod time;
mod without_waitv;

use std::time::{Duration, Instant};

use pshared::Error;
use pshared::backend::Backend;
use pshared::generic::{Event, Semaphore};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// A moment that is over.
fn past() -> Instant {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs(5)).unwrap_or(now)
}

fn counting<B: Backend>(permits: u32) -> Semaphore<B> {
    Semaphore::counting(permits).unwrap()
}

/// A way to take a permit.
type Way<B> = fn(&Semaphore<B>) -> Result<(), Error>;

/// Every way that takes a permit that is there.
fn every_way<B: Backend>() -> [(&'static str, Way<B>); 7] {
    [
        ("wait", |s| s.wait()),
        ("try_wait", |s| s.try_wait()),
        ("wait_timeout", |s| s.wait_timeout(LONG)),
        ("wait_timeout no time", |s| s.wait_timeout(Duration::ZERO)),
        ("wait_timeout ever", |s| s.wait_timeout(Duration::MAX)),
        ("wait_until", |s| s.wait_until(Instant::now() + LONG)),
        ("wait_until the past", |s| s.wait_until(past())),
    ]
}

/// The same for events.
type Pass<B> = fn(&Event<B>) -> Result<(), Error>;

fn every_pass<B: Backend>() -> [(&'static str, Pass<B>); 7] {
    [
        ("wait", |e| e.wait()),
        ("try_wait", |e| e.try_wait()),
        ("wait_timeout", |e| e.wait_timeout(LONG)),
        ("wait_timeout no time", |e| e.wait_timeout(Duration::ZERO)),
        ("wait_timeout ever", |e| e.wait_timeout(Duration::MAX)),
        ("wait_until", |e| e.wait_until(Instant::now() + LONG)),
        ("wait_until the past", |e| e.wait_until(past())),
    ]
}
