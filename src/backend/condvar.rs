//! Waiting for a notification, as the primitives need it of a backend.

use super::{Acquired, RawMutex, Refused};
use crate::deadline::Patience;
use crate::error::Result;

/// Waiting, with a lock given up meanwhile, for somebody to notify.
///
/// All zero bytes are one that nobody waits for and that isn't settled.
///
/// # Safety
///
/// A wait that comes back without an error has taken the lock, as [`RawMutex::lock`] takes it.
pub unsafe trait RawCondvar<M: RawMutex>: Send + Sync + Sized + 'static {
    /// One that nobody waits for, not settled.
    const NEW: Self;

    /// Gives the lock back, waits as long as `patience` says until somebody notifies, and takes the lock again, however
    /// long that takes. What is sent after the lock was given back is not missed. May come back without a notification.
    ///
    /// With an error, the lock is not held.
    ///
    /// # Safety
    ///
    /// As for [`RawMutex::unlock`]; and `held` is not inherited.
    unsafe fn wait(&self, mutex: &M, held: M::Held, patience: Patience) -> Result<Waited<M::Held>, Refused>;

    /// Wakes one waiter, if there is any.
    fn notify_one(&self);

    /// Wakes all waiters.
    fn notify_all(&self);

    /// Makes it ready for other processes.
    ///
    /// # Safety
    ///
    /// See [`Resident::settle`](crate::Resident::settle).
    unsafe fn settle(&self) -> Result<()>;

    /// Gives back what the system holds for it.
    ///
    /// # Safety
    ///
    /// See [`Resident::teardown`](crate::Resident::teardown).
    unsafe fn teardown(&self);
}

/// A wait that is over.
#[derive(Clone, Copy, Debug)]
pub struct Waited<H> {
    /// The lock, held again.
    pub lock: Acquired<H>,
    /// The time was up, and nobody had notified since the wait began.
    pub timed_out: bool,
}
