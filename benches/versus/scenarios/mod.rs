//! What is measured, a file for each family.

mod hammered;
mod uncontended;

use crate::run::Scenario;

/// All scenarios, in the order in which they run.
pub fn all() -> Vec<Scenario> {
    vec![uncontended::MUTEX, hammered::MUTEX]
}
