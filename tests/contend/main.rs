//! The contention harness: it catches what is wrong, passes what is right, says what it did, and leaves nothing.

mod caught;
mod left;
mod options;
mod reported;
mod upheld;

#[path = "../support/mod.rs"]
mod support;
