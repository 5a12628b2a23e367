//! What `Barrier` promises: nobody goes on before all have come, and nobody waits for one that died waiting.

#[path = "../support/mod.rs"]
mod support;

mod actor;
mod broken;
mod deaths;
mod meeting;
mod sweeps;
mod time;
mod value;

use std::time::{Duration, Instant};

use pshared::Error;
use pshared::backend::Backend;
use pshared::generic::Barrier;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// A barrier for that many.
fn barrier<B: Backend, const N: usize>(participants: usize) -> Barrier<B, N> {
    Barrier::new(participants).unwrap()
}
