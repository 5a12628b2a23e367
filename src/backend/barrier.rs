//! Meeting, as the primitives need it of a backend.

use super::Refused;
use crate::deadline::Patience;
use crate::error::Result;

/// A meeting of a number of threads, round after round.
///
/// All zero bytes are a barrier at which nobody waits and that isn't settled.
///
/// # Safety
///
/// A round is completed by as many threads as were asked for, each of which is told so, and nothing that one of them does
/// after its [`wait`](RawBarrier::wait) happens before what another has done before.
pub unsafe trait RawBarrier: Send + Sync + Sized + 'static {
    /// A barrier at which nobody waits, not settled.
    const EMPTY: Self;

    /// Waits for the other participants of a round, of `participants` in all. Who runs out of patience breaks it.
    fn wait(&self, participants: usize, patience: Patience) -> Result<Met, Refused>;

    /// Breaks the round if anybody waits in it, and begins another.
    fn reset(&self) -> Result<()>;

    /// Whether who comes now is told that the round is broken.
    fn is_broken(&self) -> bool;

    /// How many wait.
    fn waiting(&self) -> usize;

    /// Shows the thread id of everybody who waits to `see`.
    fn each_owner(&self, see: &mut dyn FnMut(u32));

    /// Makes the barrier ready for other processes, with nobody waiting.
    ///
    /// # Safety
    ///
    /// See [`Resident::settle`](crate::Resident::settle).
    unsafe fn settle(&self) -> Result<()>;

    /// Gives back what the system holds for the barrier.
    ///
    /// # Safety
    ///
    /// See [`Resident::teardown`](crate::Resident::teardown).
    unsafe fn teardown(&self);
}

/// How a round at a barrier ended for one who waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// Completed, and this thread is the one of its round to do what one is to do.
    AsLeader,
    /// Completed.
    AsOther,
    /// Not completed: somebody who waited died or gave up, or the barrier was reset.
    Broken,
}
