//! The contention harness: it catches what is wrong, passes what is right, says what it did, and leaves nothing.

mod caught;
mod left;
mod options;
mod reported;
mod upheld;

#[path = "../support/example.rs"]
mod example;
#[path = "../support/state.rs"]
#[allow(dead_code, reason = "these tests don't use all of it")]
mod state;
#[path = "../support/watchdog.rs"]
#[allow(dead_code, reason = "these tests don't use all of it")]
mod watchdog;
