//! `Permits<N>`: as many holders at once as there are permits, and none lost with a holder that dies.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use crate::backend::{Backend, RawPermits, Refused};
use crate::cell::layout::Type;
use crate::cell::safe::{Resident, ShmSafe};
use crate::deadline::Patience;
use crate::error::{LockError, Result};

/// `N` permits, each of which one thread can have at a time: a counting semaphore whose units have owners, between
/// processes when it stands in a cell, between threads anywhere.
///
/// Write [`pshared::Permits`](crate::Permits), the same with the backend chosen. What a thread has taken is given back by
/// dropping the [`Permit`], **and when the thread ends without doing so**, killed or otherwise. So no permit is ever lost,
/// and there are never more than `N`. For a count that anybody may raise, without owners, take a semaphore.
///
/// A thread may have several permits. If it has all of them and waits for another, it is told instead.
///
/// ```
/// use pshared::{Error, Permits, Shm};
///
/// # let name = format!("doc-permits-{}", std::process::id());
/// // At most two processes at a time, whatever becomes of them.
/// let workers = Shm::create(&name, || Ok(Permits::<2>::new()))?;
///
/// let first = workers.acquire()?;
/// let second = workers.try_acquire()?;
/// assert!(matches!(workers.try_acquire(), Err(Error::WouldBlock)));
/// drop(first);
/// assert_eq!(workers.available(), 1);
/// # drop(second);
/// # Shm::<Permits<2>>::remove(&name)?;
/// # Ok::<(), pshared::Error>(())
/// ```
///
/// # Not in a cell
///
/// On the stack, in a `static` or in an `Arc` they are permits for the threads of one process, and may be moved while
/// nobody has one. That a thread ended with a permit is noticed within a second then.
///
/// # Limits
///
/// - Not for signal handlers.
/// - A permit counts as one of the 2048 locks in cells that a thread can have.
/// - With more than 127 of them a waiter that sleeps looks at them a hundred times a second.
/// - No order among waiters.
///
/// # Size
///
/// On futexes 8 bytes, and 40 for each permit.
#[repr(C)]
pub struct Permits<B: Backend, const N: usize> {
    raw: B::Permits<N>,
}

/// One of the [`Permits`], for as long as this lives. Dropping it gives it back.
///
/// It can't leave its thread. The copy that a forked child finds in its memory is no permit; dropping it does nothing.
#[must_use = "dropped at once, the permit is given back at once"]
pub struct Permit<'a, B: Backend, const N: usize> {
    permits: &'a Permits<B, N>,
    held: <B::Permits<N> as RawPermits>::Held,
    /// The kernel and the backends know holders as threads.
    not_send: PhantomData<*const ()>,
}

// Nothing is guarded, so a panic leaves nothing half-done.
impl<B: Backend, const N: usize> UnwindSafe for Permits<B, N> {}
impl<B: Backend, const N: usize> RefUnwindSafe for Permits<B, N> {}

impl<B: Backend, const N: usize> Permits<B, N> {
    /// `N` permits that nobody has; `N` is not 0.
    pub const fn new() -> Self {
        const { assert!(N > 0, "no permit could ever be had: N must not be 0") };
        Permits { raw: B::Permits::FREE }
    }

    /// Takes a permit, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// - [`WouldDeadlock`](crate::Error::WouldDeadlock): this thread has all of them.
    /// - Others as in [`Error`](crate::Error): the permits can't be used.
    #[inline]
    pub fn acquire(&self) -> Result<Permit<'_, B, N>> {
        self.acquire_with(|| Patience::Forever)
    }

    /// Takes a permit if one is free.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](crate::Error::WouldBlock) if none is, whoever has them; others as [`acquire`](Permits::acquire).
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_, B, N>> {
        self.acquire_with(|| Patience::None)
    }

    /// Takes a permit, waiting for at most `timeout`, by the monotonic clock. One that is free is taken however short the
    /// time; a time beyond what the clock can express is for ever.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Permits::acquire), and [`TimedOut`](crate::Error::TimedOut), never before the time is up.
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Permit<'_, B, N>> {
        self.acquire_with(|| Patience::for_duration(timeout))
    }

    /// Takes a permit, waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Permits::acquire_timeout).
    pub fn acquire_until(&self, deadline: Instant) -> Result<Permit<'_, B, N>> {
        self.acquire_with(|| Patience::until(deadline))
    }

    #[inline]
    fn acquire_with(&self, patience: impl FnOnce() -> Patience) -> Result<Permit<'_, B, N>> {
        let held = match self.raw.acquire_at_once() {
            Some(held) => held,
            None => self.raw.acquire(patience()).map_err(into_error)?,
        };
        Ok(Permit { permits: self, held, not_send: PhantomData })
    }

    /// How many permits nobody has at this moment; others may take them before the caller does. The permit of a holder
    /// that died is free.
    pub fn available(&self) -> usize {
        self.raw.available()
    }

    /// How many permits there are: `N`.
    pub const fn capacity(&self) -> usize {
        N
    }
}

fn into_error(refused: Refused) -> crate::Error {
    LockError::<()>::from(refused).into()
}

impl<B: Backend, const N: usize> Permit<'_, B, N> {
    /// Lets the thread keep the permit without a guard, until the thread ends: then it comes back, as from any holder
    /// that ends. There is no way to give it back before, and none to lose it for good.
    ///
    /// In a cell, the memory stays mapped until then.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl<B: Backend, const N: usize> Drop for Permit<'_, B, N> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: taken in acquire_with by this thread, given back here only.
        unsafe { self.permits.raw.release(self.held) };
    }
}

impl<B: Backend, const N: usize> Default for Permits<B, N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows how many are free, and never waits.
impl<B: Backend, const N: usize> fmt::Debug for Permits<B, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Permits");
        shown.field("available", &self.available()).field("capacity", &N).finish_non_exhaustive()
    }
}

impl<B: Backend, const N: usize> fmt::Debug for Permit<'_, B, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

// SAFETY: repr(C) over the backend's words, which are for shared use and hold no address that is followed. There is one
// lock to show.
unsafe impl<B: Backend, const N: usize> ShmSafe for Permits<B, N> {
    const TYPE: Type = Type::lock::<Self, ()>("Permits", B::NAME, N, 0);

    fn each_lock(&self, visit: &mut dyn FnMut(&dyn Resident) -> Result<()>) -> Result<()> {
        visit(self)
    }
}

impl<B: Backend, const N: usize> Resident for Permits<B, N> {
    unsafe fn settle(&self) -> Result<()> {
        // SAFETY: handed through.
        unsafe { self.raw.settle() }
    }

    unsafe fn teardown(&self) {
        // SAFETY: handed through.
        unsafe { self.raw.teardown() }
    }

    unsafe fn reset(&self) -> Result<()> {
        // SAFETY: handed through. Nobody is told: a permit guards no data.
        unsafe { self.raw.settle() }
    }

    fn each_owner(&self, see: &mut dyn FnMut(u32)) {
        self.raw.each_owner(see);
    }
}

static_assertions::const_assert_eq!(size_of::<Permits<crate::backend::futex::Futex, 4>>(), 168);
static_assertions::const_assert_eq!(align_of::<Permits<crate::backend::futex::Futex, 4>>(), 8);
static_assertions::assert_not_impl_any!(Permit<'static, crate::backend::futex::Futex, 4>: Send);
static_assertions::assert_impl_all!(Permits<crate::backend::futex::Futex, 4>: Send, Sync, RefUnwindSafe);
