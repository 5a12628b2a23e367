//! Mutexes with priority inheritance: what they are for, and the hazards of deaths.

#[allow(dead_code, reason = "what steps by calls of futex isn't made for this one")]
#[path = "../hazards_deaths/actor.rs"]
mod actor;
#[path = "../hazards_deaths/hands.rs"]
mod hands;
mod inherits;
#[path = "../hazards_deaths/owners.rs"]
mod owners;
#[path = "../support/mod.rs"]
mod support;
#[path = "../hazards_deaths/unmarked.rs"]
mod unmarked;

use pshared::pthread::{PiMutex as Mutex, PiMutexGuard as MutexGuard};

/// The kernel hands the lock over to somebody who is asleep, but those that look up may be between two sleeps.
const WOKEN_AT_ONCE: bool = false;

/// libc has its own idea of a thread's id, which a bare clone doesn't change.
const LOCKS_AFTER_BARE_CLONE: bool = false;

/// The kernel knows who sleeps on a lock and passes it on at a death, without a look at memory.
const SLEEPERS_ARE_KNOWN: bool = true;

fn play(role: &str, args: &[String], peer: &support::child::Peer) {
    inherits::play(role, args, peer);
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
