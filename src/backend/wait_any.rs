//! Waiting for any of several things, for the backends that can.

use super::{Backend, Refused};
use crate::deadline::Patience;
use crate::error::Result;

/// What a backend can do that can wait for any of several things at once.
pub trait WaitAny: Backend {
    /// Waits until one of the things can be had and takes it; says which. Several are taken in the order they stand in.
    fn wait_any(things: &[Awaited<'_, Self>], patience: Patience) -> Result<usize, Refused>
    where
        Self: Sized;
}

/// One thing to wait for.
#[derive(Debug)]
pub enum Awaited<'a, B: Backend> {
    /// A permit.
    Semaphore(&'a B::Semaphore),
    /// That it is set.
    Event(&'a B::Event),
}
