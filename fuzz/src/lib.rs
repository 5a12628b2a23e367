//! The bodies of the fuzz targets, which the test `scribbler` runs on the corpus too.

#[path = "../bodies.rs"]
pub mod bodies;
#[path = "../../tests/scribbler/everything.rs"]
pub mod everything;
#[path = "../../tests/support/random.rs"]
pub mod random;
#[path = "../../tests/scribbler/work.rs"]
pub mod work;

pub mod support {
    pub use crate::random;
}
