//! Counting permits that nobody owns, as the primitives need it of a backend.

use super::Refused;
use crate::deadline::Patience;
use crate::error::Result;

/// A count of permits that nobody owns: posted by anyone, taken by whoever comes.
///
/// All zero bytes are a semaphore without permits that isn't settled.
///
/// # Safety
///
/// Every permit posted is taken once, and no permit is taken that wasn't posted, whatever threads and processes are
/// killed. Whoever takes one sees what those who posted before did.
pub unsafe trait RawSemaphore: Send + Sync + Sized + 'static {
    /// The greatest maximum that a semaphore can have.
    const MAX: u32;

    /// A semaphore for one permit at most, without it, not settled.
    const TAKEN: Self;

    /// A semaphore for one permit at most, with it, not settled.
    const FREE: Self;

    /// A semaphore with `value` permits and room for `max`, which is at most [`MAX`](RawSemaphore::MAX); not settled.
    fn new(value: u32, max: u32) -> Self;

    /// Takes a permit if there is one: the way of every uncontended wait, to be inlined. `false` says nothing; ask
    /// [`take`](RawSemaphore::take).
    fn take_at_once(&self) -> bool;

    /// Takes a permit.
    fn take(&self, patience: Patience) -> Result<(), Refused>;

    /// Adds `permits`, or none if they would pass the maximum. May be called from a signal handler that interrupts
    /// anything, this crate's own calls too.
    fn post(&self, permits: u32) -> Result<Posted>;

    /// The permits that are there.
    fn value(&self) -> u32;

    /// The permits that there can be.
    fn max(&self) -> u32;

    /// Makes the semaphore ready for other processes, with the permits that it has.
    ///
    /// # Safety
    ///
    /// See [`Resident::settle`](crate::Resident::settle).
    unsafe fn settle(&self) -> Result<()>;

    /// Gives back what the system holds for the semaphore.
    ///
    /// # Safety
    ///
    /// See [`Resident::teardown`](crate::Resident::teardown).
    unsafe fn teardown(&self);
}

/// What became of permits that were posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// They are there.
    Done,
    /// There was no room, and nothing changed; whoever takes a permit later sees what the poster did before all the same.
    Full,
}
