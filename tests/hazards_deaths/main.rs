//! Deaths: what a process that is killed, at any instruction and in any schedule, leaves to the others.
//!
//! Each test is a row of the list of hazards that other libraries fail at, by its number, and stages the schedule: it
//! kills at the moment that matters, verifies that this moment was met, and tries again where it wasn't. Waiters look
//! up once a second by themselves, which would hide a wake-up that was lost; so the tests ask at once, when everybody
//! who could still wake somebody has come to rest, whether anybody is left asleep beside a free lock.

use pshared::{Mutex, MutexGuard};

/// Who sleeps is woken by whatever happens: nobody has to look up by himself for that.
const WOKEN_AT_ONCE: bool = true;

/// A process may be made by `clone` without libc's knowledge.
const LOCKS_AFTER_BARE_CLONE: bool = true;

/// The kernel knows who sleeps on a lock and passes it on at a death, without a look at memory.
const SLEEPERS_ARE_KNOWN: bool = false;

/// The roles that the tests of locks don't have.
fn play(role: &str, args: &[String], peer: &support::child::Peer) {
    match role {
        "creator" => creators::create(args, peer),
        "racer" => creators::race(args, peer),
        other => panic!("no role is called {other}"),
    }
}

mod actor;
mod creators;
mod hands;
mod owners;
#[path = "../support/mod.rs"]
mod support;
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
