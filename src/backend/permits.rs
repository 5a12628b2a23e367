//! Permits with owners, as the primitives need them of a backend.

use super::Refused;
use crate::deadline::Patience;
use crate::error::Result;

/// A number of permits, each of which belongs to the thread that took it.
///
/// All zero bytes are permits that nobody has and that aren't settled.
///
/// # Safety
///
/// At most as many [`Held`](RawPermits::Held) as there are permits exist at any time, over all threads of all processes
/// that use the permits at the address where they were settled (of one process, while they aren't settled).
pub unsafe trait RawPermits: Send + Sync + Sized + 'static {
    /// Permits that nobody has, not settled.
    const FREE: Self;

    /// What the holder needs to give a permit back; of the thread that took it.
    type Held: Copy;

    /// Takes a permit if one is free, nobody waits, and the backend has nothing else to do: to be inlined. `None` says
    /// nothing; ask [`acquire`](RawPermits::acquire).
    fn acquire_at_once(&self) -> Option<Self::Held>;

    /// Takes a permit. [`Refused::WouldDeadlock`] if the calling thread has them all.
    fn acquire(&self, patience: Patience) -> Result<Self::Held, Refused>;

    /// Gives a permit back. Does nothing in a child of the process that took it.
    ///
    /// # Safety
    ///
    /// `held` came from these permits, in this thread or in the thread that this process was forked from, and was not
    /// given back before.
    unsafe fn release(&self, held: Self::Held);

    /// How many permits nobody has.
    fn available(&self) -> usize;

    /// Shows the thread id of every holder to `see`, once for each permit.
    fn each_owner(&self, see: &mut dyn FnMut(u32));

    /// Makes the permits ready for other processes, all free.
    ///
    /// # Safety
    ///
    /// See [`Resident::settle`](crate::Resident::settle).
    unsafe fn settle(&self) -> Result<()>;

    /// Gives back what the system holds for the permits.
    ///
    /// # Safety
    ///
    /// See [`Resident::teardown`](crate::Resident::teardown).
    unsafe fn teardown(&self);
}
