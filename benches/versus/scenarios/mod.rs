//! What is measured, a file for each family.

mod blocked;
mod crowd;
mod death;
mod hammered;
mod held;
mod setup;
mod slots;
mod uncontended;

use crate::run::Scenario;

/// The scenario that tells who hangs.
pub const DEATH: &str = death::MUTEX.name;

/// All scenarios, in the order in which they run.
pub fn all() -> Vec<Scenario> {
    vec![
        uncontended::MUTEX,
        hammered::MUTEX,
        crowd::MUTEX,
        death::MUTEX,
        setup::CREATE,
        setup::BYTES,
        blocked::MUTEX,
        held::MUTEX,
        slots::RWLOCK,
    ]
}
