//! Deaths: what a process that is killed, at any instruction and in any schedule, leaves to the others.
//!
//! Each test is a row of the list of hazards that other libraries fail at, by its number, and stages the schedule: it
//! kills at the moment that matters, verifies that this moment was met, and tries again where it wasn't. Waiters look
//! up once a second by themselves, which would hide a wake-up that was lost; so the tests ask at once, when everybody
//! who could still wake somebody has come to rest, whether anybody is left asleep beside a free lock.

use pshared::{Mutex, MutexGuard};

/// Who sleeps is woken by whatever happens: nobody has to look up by himself for that.
const WOKEN_AT_ONCE: bool = true;

use pshared::{Mutex, MutexGuard};

/// Who sleeps is woken by whatever happens: nobody has to look up by himself for that.
const WOKEN_AT_ONCE: bool = true;

mod actor;
mod creators;
mod hands;
mod owners;
#[path = "../support/mod.rs"]
mod support;
mod sweeps;
mod unmarked;
mod waiters;

/// The next attempt's number if the last one wasn't staged; a failure if none ever is.
fn staged<R>(test: &str, mut attempt: impl FnMut() -> Option<R>) -> R {
    for number in 1..=30 {
        if let Some(result) = attempt() {
            println!("{test}: staged at attempt {number}");
            return result;
        }
    }
    panic!("{test}: the schedule was never met in 30 attempts");
}
