//! Mutexes on POSIX threads: the hazards of deaths, staged as for those on futexes, and programs in C beside ours.

#[path = "../hazards_deaths/actor.rs"]
mod actor;
#[path = "../hazards_deaths/hands.rs"]
mod hands;
#[path = "../hazards_deaths/owners.rs"]
mod owners;
#[path = "../support/mod.rs"]
mod support;
#[path = "../hazards_deaths/unmarked.rs"]
mod unmarked;
#[path = "../hazards_deaths/waiters.rs"]
mod waiters;
mod with_c;

use pshared::pthread::{Mutex, MutexGuard};

/// libc loses wake-ups with whoever is killed: waiters look up by themselves.
const WOKEN_AT_ONCE: bool = false;

/// libc has its own idea of a thread's id, which a bare clone doesn't change.
const LOCKS_AFTER_BARE_CLONE: bool = false;

/// The kernel knows who sleeps on a lock and passes it on at a death, without a look at memory.
const SLEEPERS_ARE_KNOWN: bool = false;

fn play(role: &str, args: &[String], peer: &support::child::Peer) {
    match role {
        with_c::ROLE => with_c::play(args, peer),
        other => panic!("no role is called {other}"),
    }
}

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
