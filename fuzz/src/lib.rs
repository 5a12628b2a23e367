//! The bodies of the fuzz targets, which the test `scribbler` runs on the corpus too.

#[path = "../bodies.rs"]
pub mod bodies;
#[path = "../../tests/scribbler/everything.rs"]
pub mod everything;
#[path = "../../tests/scribbler/work.rs"]
pub mod work;
#[path = "../../tests/support/random.rs"]
pub mod random;

pub mod support {
    pub use crate::random;
}
