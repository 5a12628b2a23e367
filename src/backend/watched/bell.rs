//! What sleepers sleep on, by whatever the system offers.

use std::fmt::Debug;

use nix::sys::time::TimeSpec;

use crate::error::Result;

/// A bell: a count of rings that aren't heard yet, and threads asleep until there is one to hear.
///
/// Nothing depends on it but the time that a sleeper takes to notice something: rings may be lost with whoever heard them, and
/// a sleeper may be woken for nothing. All zero bytes are a bell that isn't settled; it isn't used before it is.
pub trait Bell: Debug + Send + Sync + Sized + 'static {
    /// The backend's name.
    const BACKEND: &'static str;

    /// A bell that isn't settled.
    const NEW: Self;

    /// Sleeps until there is a ring, and hears it, or until the moment of the monotonic clock. Signals don't end it.
    fn wait(&self, until: TimeSpec) -> Result<Heard>;

    /// Rings so many times. May be called from a signal handler.
    fn ring(&self, times: u32) -> Result<()>;

    /// How many rings nobody has heard yet.
    fn unheard(&self) -> Result<u32>;

    /// Makes the bell ready for other processes, with nothing to hear.
    ///
    /// # Safety
    ///
    /// See [`Resident::settle`](crate::Resident::settle).
    unsafe fn settle(&self) -> Result<()>;

    /// Gives back what the system holds for the bell.
    ///
    /// # Safety
    ///
    /// See [`Resident::teardown`](crate::Resident::teardown).
    unsafe fn teardown(&self);
}

/// How a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A ring.
    Ring,
    /// Nothing, until it was time.
    Nothing,
}
