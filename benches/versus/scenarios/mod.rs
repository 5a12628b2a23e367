//! What is measured, a file for each family.

mod blocked;
mod crowd;
mod death;
mod hammered;
mod hand_over;
mod held;
mod read_write;
pub mod rounds;
mod setup;
mod slots;
mod uncontended;

use crate::run::Scenario;
use crate::transfer::TRANSFER;

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
        read_write::UNCONTENDED,
        read_write::SHARED,
        hand_over::SEMAPHORE,
        hand_over::CONDVAR,
        hand_over::MUTEX,
        TRANSFER,
    ]
}
