//! Deaths around an `RwLock`: what a process that is killed, at any instruction and in any schedule, leaves to the others.
//!
//! Waiters look up once a second by themselves, which would hide a wake-up that was lost. So the tests ask at once, when
//! everybody who could still wake somebody is dead or asleep, whether anybody is left.

mod actor;
mod hands;
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
