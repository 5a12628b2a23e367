//! Waiting for any of several semaphores and events.

use std::time::{Duration, Instant};

use crate::backend::{Awaited, Backend, WaitAny};
use crate::deadline::Patience;
use crate::error::Result;
use crate::event::Event;
use crate::semaphore::Semaphore;

/// What [`wait_any`](crate::wait_any) can wait for: [`Semaphore`](crate::Semaphore) and [`Event`](crate::Event).
pub trait Waitable<B: Backend>: sealed::Sealed {
    /// The thing, as the backend sees it.
    #[doc(hidden)]
    fn awaited(&self) -> Awaited<'_, B>;
}

mod sealed {
    /// Keeps others from implementing [`Waitable`](super::Waitable).
    pub trait Sealed {}
    impl<B: super::Backend> Sealed for super::Semaphore<B> {}
    impl<B: super::Backend> Sealed for super::Event<B> {}
}

impl<B: Backend> Waitable<B> for Semaphore<B> {
    fn awaited(&self) -> Awaited<'_, B> {
        Awaited::Semaphore(self.raw())
    }
}

impl<B: Backend> Waitable<B> for Event<B> {
    fn awaited(&self) -> Awaited<'_, B> {
        Event::awaited(self)
    }
}

/// Waits until one of several semaphores and events can be had, takes it, and returns its index; of several, the first.
///
/// What is returned has been taken: a permit of the semaphore is gone, an auto-reset event is reset. Nothing else is
/// changed. A thing may stand in the slice more than once; its first place is returned. `Duration::MAX` is for ever.
///
/// ```
/// use std::time::Duration;
/// use pshared::{Event, Semaphore, Shm, ShmSafe, wait_any};
///
/// #[repr(C)]
/// #[derive(ShmSafe)]
/// struct Work {
///     jobs: Semaphore,
///     stop: Event,
/// }
///
/// # let name = format!("doc-wait-any-{}", std::process::id());
/// let work = Shm::create(&name, || Ok(Work { jobs: Semaphore::counting(1)?, stop: Event::manual(true) }))?;
/// assert_eq!(wait_any(&[&work.jobs, &work.stop], Duration::from_secs(1))?, 0);
/// assert_eq!(wait_any(&[&work.jobs, &work.stop], Duration::from_secs(1))?, 1);
/// # Shm::<Work>::remove(&name)?;
/// # Ok::<(), pshared::Error>(())
/// ```
///
/// # Errors
///
/// - [`TimedOut`](crate::Error::TimedOut): none of them could be had for so long.
/// - [`CantWaitForAny`](crate::Error::CantWaitForAny): the slice is empty, or too long: on futexes there are 128 places,
///   of which a manual-reset event takes one, a semaphore and an auto-reset event two.
/// - They can't be used; see [`Error`](crate::Error).
///
/// # Limits
///
/// Each post to a semaphore wakes everybody who waits for it and others by this call, and one of them gets the permit.
pub fn wait_any<B: WaitAny>(things: &[&dyn Waitable<B>], timeout: Duration) -> Result<usize> {
    wait_any_with(things, || Patience::for_duration(timeout))
}

/// The same, waiting until `deadline` at most.
///
/// # Errors
///
/// As [`wait_any`].
pub fn wait_any_until<B: WaitAny>(things: &[&dyn Waitable<B>], deadline: Instant) -> Result<usize> {
    wait_any_with(things, || Patience::until(deadline))
}

/// The same, without waiting.
///
/// # Errors
///
/// As [`wait_any`], with [`WouldBlock`](crate::Error::WouldBlock) for [`TimedOut`](crate::Error::TimedOut).
pub fn try_wait_any<B: WaitAny>(things: &[&dyn Waitable<B>]) -> Result<usize> {
    wait_any_with(things, || Patience::None)
}

fn wait_any_with<B: WaitAny>(things: &[&dyn Waitable<B>], patience: impl FnOnce() -> Patience) -> Result<usize> {
    let things: Vec<Awaited<'_, B>> = things.iter().map(|thing| thing.awaited()).collect();
    Ok(B::wait_any(&things, patience())?)
}
