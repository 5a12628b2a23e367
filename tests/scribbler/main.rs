//! Memory that anybody may have written anything to: a peer that scribbles while others work, cells that were changed by a
//! few bytes before they are opened, and words that no code of the library writes.
//!
//! Required is that nothing crashes, nothing outside of the region is written, and every call returns.

#[path = "../hazards/scene.rs"]
#[allow(dead_code, reason = "half of it is for other locks")]
mod scene;
#[path = "../support/mod.rs"]
mod support;

mod allocated;
#[path = "../../fuzz/bodies.rs"]
mod bodies;
mod corpus;
mod everything;
mod mutated;
mod peer;
mod robust;
mod storm;
#[cfg(target_env = "gnu")]
mod threads;
mod work;

use support::claims::for_every_backend;

for_every_backend! {
    #[test]
    fn scribbling_makes_no_call_crash_or_hang_or_write_outside_the_region() {
        storm::storm::<Backend>();
    }
}
