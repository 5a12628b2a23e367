//! What `Shm` and `ShmCell` promise: finding and making, refusing what is something else, memory of the caller's own.

#[path = "../support/mod.rs"]
mod support;

mod callers_memory;
mod life;
mod locks;
mod refused;

use pshared::region::{Memfd, Region};
use support::place::{Place, Scratch};

/// Every kind of region that can be opened, each with its place where others could look for it.
fn every_region(scratch: &Scratch) -> Vec<(Option<&Place>, Box<dyn Region>)> {
    let named = scratch.places.iter().map(|place| (Some(place), place.region(None)));
    let memfd: Box<dyn Region> = Box::new(Memfd::new("cell").unwrap());
    named.chain([(None, memfd)]).collect()
}
