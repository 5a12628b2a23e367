//! `Semaphore`: permits that anyone posts and whoever comes takes.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::backend::{Backend, Posted, RawSemaphore};
use crate::cell::layout::Type;
use crate::cell::safe::{Resident, ShmSafe};
use crate::deadline::Patience;
use crate::error::{Error, Result};

/// A count of permits, between processes when it stands in a cell, between threads anywhere.
///
/// Write [`pshared::Semaphore`](crate::Semaphore), the same with the backend chosen. [`wait`](Semaphore::wait) takes a
/// permit, [`post`](Semaphore::post) adds one; nobody owns any, so a process that dies with one in its hands takes it
/// along. **No permit and no wake-up is lost with a process that is killed while it posts or waits**: it has posted or
/// it hasn't, and what it was woken for goes to another.
///
/// ```
/// use pshared::{Semaphore, Shm};
///
/// # let name = format!("doc-semaphore-{}", std::process::id());
/// let jobs = Shm::create(&name, || Semaphore::counting(0))?;
/// jobs.post()?; // from another process, say
/// jobs.wait()?;
/// assert!(jobs.try_wait().is_err());
/// # Shm::<Semaphore>::remove(&name)?;
/// # Ok::<(), pshared::Error>(())
/// ```
///
/// # Signal handlers
///
/// [`post`](Semaphore::post) and [`post_many`](Semaphore::post_many) may be called from a signal handler, whatever it
/// interrupts.
///
/// # Not in a cell
///
/// On the stack, in a `static` or in an `Arc` it is a semaphore between the threads of one process. It may be moved while
/// nobody waits.
#[repr(C)]
pub struct Semaphore<B: Backend> {
    raw: B::Semaphore,
    /// Whether a post too many is an error; see [`SATURATES`]. Fixed.
    kind: AtomicU32,
}

/// The kind of a binary semaphore; 0 counts.
const SATURATES: u32 = 1;

impl<B: Backend> UnwindSafe for Semaphore<B> {}
impl<B: Backend> RefUnwindSafe for Semaphore<B> {}

impl<B: Backend> Semaphore<B> {
    /// A semaphore with `permits`, and room for as many as the backend can count: on futexes 2³⁰ − 1.
    ///
    /// # Errors
    ///
    /// [`TooManyPermits`](Error::TooManyPermits).
    pub fn counting(permits: u32) -> Result<Self> {
        Self::counting_with_max(permits, B::Semaphore::MAX)
    }

    /// A semaphore with `permits`, and room for `max`.
    ///
    /// # Errors
    ///
    /// [`TooManyPermits`](Error::TooManyPermits): `permits` is greater than `max`, or `max` than the backend can count.
    pub fn counting_with_max(permits: u32, max: u32) -> Result<Self> {
        let possible = B::Semaphore::MAX;
        if max > possible {
            return Err(Error::TooManyPermits { value: 0, more: max, max: possible });
        }
        if permits > max {
            return Err(Error::TooManyPermits { value: 0, more: permits, max });
        }
        Ok(Semaphore { raw: B::Semaphore::new(permits, max), kind: AtomicU32::new(0) })
    }

    /// A semaphore for one permit, there or not; posting one more changes nothing.
    pub const fn binary(available: bool) -> Self {
        let raw = if available { B::Semaphore::FREE } else { B::Semaphore::TAKEN };
        Semaphore { raw, kind: AtomicU32::new(SATURATES) }
    }

    /// Takes a permit, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// The semaphore can't be used; see [`Error`].
    #[inline]
    pub fn wait(&self) -> Result<()> {
        self.wait_with(|| Patience::Forever)
    }

    /// Takes a permit if there is one.
    ///
    /// # Errors
    ///
    /// As [`wait`](Semaphore::wait), and [`WouldBlock`](Error::WouldBlock) if there is none.
    #[inline]
    pub fn try_wait(&self) -> Result<()> {
        self.wait_with(|| Patience::None)
    }

    /// Takes a permit, waiting for at most `timeout`, by the monotonic clock. A permit that is there is taken however short
    /// the time; a time beyond what the clock can express is for ever.
    ///
    /// # Errors
    ///
    /// As [`wait`](Semaphore::wait), and [`TimedOut`](Error::TimedOut), never before the time is up.
    #[inline]
    pub fn wait_timeout(&self, timeout: Duration) -> Result<()> {
        self.wait_with(|| Patience::for_duration(timeout))
    }

    /// Takes a permit, waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](Semaphore::wait_timeout).
    #[inline]
    pub fn wait_until(&self, deadline: Instant) -> Result<()> {
        self.wait_with(|| Patience::until(deadline))
    }

    #[inline]
    fn wait_with(&self, patience: impl FnOnce() -> Patience) -> Result<()> {
        if self.raw.take_at_once() { Ok(()) } else { self.wait_contended(patience()) }
    }

    #[cold]
    #[inline(never)]
    fn wait_contended(&self, patience: Patience) -> Result<()> {
        Ok(self.raw.take(patience)?)
    }

    /// Adds a permit, and wakes somebody who waits for one.
    ///
    /// # Errors
    ///
    /// [`TooManyPermits`](Error::TooManyPermits) if there is no room; nothing changes then. A binary semaphore that has its
    /// permit keeps it: no error.
    #[inline]
    pub fn post(&self) -> Result<()> {
        self.post_many(1)
    }

    /// Adds `permits` at once, all or none, and wakes as many who wait for one. Into a binary semaphore goes one.
    ///
    /// # Errors
    ///
    /// As [`post`](Semaphore::post).
    #[inline]
    pub fn post_many(&self, permits: u32) -> Result<()> {
        if permits == 0 {
            return Ok(());
        }
        let saturates = self.kind.load(Ordering::Relaxed) == SATURATES;
        match self.raw.post(if saturates { 1 } else { permits })? {
            Posted::Full if !saturates => Err(self.full(permits)),
            Posted::Done | Posted::Full => Ok(()),
        }
    }

    #[cold]
    fn full(&self, more: u32) -> Error {
        Error::TooManyPermits { value: self.value(), more, max: self.max() }
    }

    /// The permits that are there at this moment.
    pub fn value(&self) -> u32 {
        self.raw.value()
    }

    /// The permits that there can be.
    pub fn max(&self) -> u32 {
        self.raw.max()
    }

    pub(crate) fn raw(&self) -> &B::Semaphore {
        &self.raw
    }
}

/// Shows the value and the maximum, and never waits.
impl<B: Backend> fmt::Debug for Semaphore<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("value", &self.value()).field("max", &self.max()).finish_non_exhaustive()
    }
}

// SAFETY: repr(C) over the backend's words and an atomic, all used through `&self`. There is one lock to show.
unsafe impl<B: Backend> ShmSafe for Semaphore<B> {
    const TYPE: Type = Type::lock::<Self, ()>("Semaphore", B::NAME, 0, 0);

    fn each_lock(&self, visit: &mut dyn FnMut(&dyn Resident) -> Result<()>) -> Result<()> {
        visit(self)
    }
}

impl<B: Backend> Resident for Semaphore<B> {
    unsafe fn settle(&self) -> Result<()> {
        // SAFETY: handed through.
        unsafe { self.raw.settle() }
    }

    unsafe fn teardown(&self) {
        // SAFETY: handed through.
        unsafe { self.raw.teardown() }
    }

    /// Permits have no owners: those that were there are there, and whoever waited has gone.
    unsafe fn reset(&self) -> Result<()> {
        // SAFETY: handed through.
        unsafe { self.raw.settle() }
    }

    fn each_owner(&self, _: &mut dyn FnMut(u32)) {}
}

static_assertions::const_assert_eq!(std::mem::size_of::<Semaphore<crate::backend::futex::Futex>>(), 36);
static_assertions::const_assert_eq!(std::mem::align_of::<Semaphore<crate::backend::futex::Futex>>(), 4);
