//! A flag to wait for, as the primitives need it of a backend.

use super::Refused;
use crate::deadline::Patience;
use crate::error::Result;

/// A flag that lets everybody pass while it is set.
///
/// All zero bytes are an event that isn't set and not settled.
///
/// # Safety
///
/// Whoever was let pass sees what those who set it before did.
pub unsafe trait RawEvent: Send + Sync + Sized + 'static {
    /// An event that isn't set, not settled.
    const UNSET: Self;

    /// An event that is set, not settled.
    const SET: Self;

    /// Whether it is set.
    fn is_set(&self) -> bool;

    /// Sets it and lets everybody pass who waits, even if it is reset before they run. May be called from a signal
    /// handler that interrupts anything, this crate's own calls too.
    fn set(&self) -> Result<()>;

    /// Resets it. May be called from a signal handler as well.
    fn reset(&self);

    /// Waits until it is set.
    fn wait(&self, patience: Patience) -> Result<(), Refused>;

    /// Makes the event ready for other processes, set or not as it is.
    ///
    /// # Safety
    ///
    /// See [`Resident::settle`](crate::Resident::settle).
    unsafe fn settle(&self) -> Result<()>;

    /// Gives back what the system holds for the event.
    ///
    /// # Safety
    ///
    /// See [`Resident::teardown`](crate::Resident::teardown).
    unsafe fn teardown(&self);
}
