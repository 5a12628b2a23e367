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

/// The scenarios that tell who hangs.
pub const DEATHS: [&str; 2] = [death::MUTEX.name, death::RWLOCK.name];

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
        death::RWLOCK,
        setup::RWLOCK_BYTES,
        blocked::RWLOCK,
        hand_over::SEMAPHORE,
        setup::SEMAPHORE_BYTES,
        blocked::SEMAPHORE,
        hand_over::CONDVAR,
        setup::CONDVAR_BYTES,
        blocked::CONDVAR,
        hand_over::MUTEX,
        TRANSFER,
    ]
}
