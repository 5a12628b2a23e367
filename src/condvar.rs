//! `Condvar`: waiting until somebody has changed what a mutex guards.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use crate::backend::{Backend, RawCondvar, Waited};
use crate::cell::layout::Type;
use crate::cell::safe::{Resident, ShmSafe};
use crate::deadline::Patience;
use crate::error::{Error, LockError, LockResult, Result};
use crate::mutex::MutexGuard;

/// Waits, with a [`Mutex`](crate::generic::Mutex) given up meanwhile, until somebody notifies; between processes when it
/// stands in a cell, between threads anywhere.
///
/// Write [`pshared::Condvar`](crate::Condvar), the same with the backend chosen. The calls are those of
/// [`std::sync::Condvar`]. Waiters and notifiers may be killed at any moment: a notification reaches a waiter that lives,
/// and whoever gets the mutex back learns whether its last owner died.
///
/// ```
/// use pshared::{Condvar, Mutex, Shm, ShmSafe};
///
/// #[repr(C)]
/// #[derive(ShmSafe)]
/// struct Mailbox {
///     letters: Mutex<u32>,
///     arrived: Condvar,
/// }
///
/// # let name = format!("doc-condvar-{}", std::process::id());
/// let mailbox = Shm::create(&name, || Ok(Mailbox { letters: Mutex::new(0), arrived: Condvar::new() }))?;
///
/// # let sender = mailbox.clone();
/// # let sending = std::thread::spawn(move || -> pshared::Result<()> {
/// # let mailbox = sender;
/// // In one process:
/// *mailbox.letters.lock()? += 1;
/// mailbox.arrived.notify_one();
/// # Ok(())
/// # });
///
/// // In another:
/// let mut letters = mailbox.arrived.wait_while(mailbox.letters.lock()?, |letters| *letters == 0)?;
/// *letters -= 1;
/// # drop(letters);
/// # sending.join().unwrap()?;
/// # Shm::<Mailbox>::remove(&name)?;
/// # Ok::<(), pshared::Error>(())
/// ```
///
/// # Waking up
///
/// A wait may end without a notification, for instance because a process was killed: look whether there is what you wait
/// for, or let [`wait_while`](Condvar::wait_while) look. Notifying
/// makes no system call while nobody sleeps. It needs no lock; but what is waited for must change under the lock, or a
/// waiter that has looked and isn't waiting yet misses it.
///
/// # Deaths
///
/// A waiter that is woken and killed before its wait returned is replaced by another at once; if several were on their way
/// at that moment, within a second. A notifier that is killed has notified or not.
///
/// # Several mutexes
///
/// Nothing ties it to one mutex, and using it with several works, also where some are in cells and others aren't: each
/// waiter gets back the one that it gave up. `notify_one` wakes one waiter whatever its mutex.
///
/// # Not in a cell
///
/// On the stack, in a `static` or in an `Arc` it is for the threads of one process, and may be moved while nobody waits.
/// There is nothing to destroy.
#[repr(C)]
pub struct Condvar<B: Backend> {
    raw: B::Condvar,
}

/// Whether a wait ended because its time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult {
    timed_out: bool,
}

impl WaitTimeoutResult {
    /// Whether the time was up, and nobody had notified since the wait began.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.timed_out
    }
}

/// What a wait with a time limit gives: the guard, and whether the time was up.
type Timed<'a, T, B> = (MutexGuard<'a, T, B>, WaitTimeoutResult);

impl<B: Backend> Condvar<B> {
    /// One that nobody waits for.
    pub const fn new() -> Self {
        Condvar { raw: B::Condvar::NEW }
    }

    /// Gives the lock back, waits for a notification, and takes the lock again.
    ///
    /// # Errors
    ///
    /// - [`Poisoned`](LockError::Poisoned) with the guard: an owner of the lock panicked or died, before or during the wait.
    /// - [`Failed`](LockError::Failed): the lock was given back and not taken again; [`Error::Inherited`] if this process
    ///   didn't hold it, because it was forked from the one that does.
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T, B>) -> LockResult<MutexGuard<'a, T, B>> {
        self.wait_with(guard, Patience::Forever).map(|(guard, _)| guard).map_err(|error| error.map(|(guard, _)| guard))
    }

    /// Waits as long as `condition` says so of the data. If it does not at first, there is no wait.
    ///
    /// # Errors
    ///
    /// As [`wait`](Condvar::wait); a poisoned lock ends the wait whatever the condition.
    pub fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T, B>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T, B>> {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// Waits for at most `timeout`, by the monotonic clock; a time beyond what the clock can express is for ever. Taking
    /// the lock again may take longer.
    ///
    /// # Errors
    ///
    /// As [`wait`](Condvar::wait). That the time is up is no error.
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T, B>,
        timeout: Duration,
    ) -> LockResult<Timed<'a, T, B>> {
        self.wait_with(guard, Patience::for_duration(timeout))
    }

    /// Waits as long as `condition` says so of the data, for at most `timeout`. Says that the time was up only if the
    /// condition holds still.
    ///
    /// # Errors
    ///
    /// As [`wait_while`](Condvar::wait_while).
    pub fn wait_timeout_while<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T, B>,
        timeout: Duration,
        condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<Timed<'a, T, B>> {
        self.wait_while_with(guard, Patience::for_duration(timeout), condition)
    }

    /// Waits until `deadline` at most; otherwise as [`wait_timeout`](Condvar::wait_timeout).
    ///
    /// # Errors
    ///
    /// As [`wait`](Condvar::wait).
    pub fn wait_until<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T, B>,
        deadline: Instant,
    ) -> LockResult<Timed<'a, T, B>> {
        self.wait_with(guard, Patience::until(deadline))
    }

    /// Waits as long as `condition` says so of the data, until `deadline` at most; otherwise as
    /// [`wait_timeout_while`](Condvar::wait_timeout_while).
    ///
    /// # Errors
    ///
    /// As [`wait_while`](Condvar::wait_while).
    pub fn wait_while_until<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T, B>,
        deadline: Instant,
        condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<Timed<'a, T, B>> {
        self.wait_while_with(guard, Patience::until(deadline), condition)
    }

    /// Wakes one waiter, if there is any.
    #[inline]
    pub fn notify_one(&self) {
        self.raw.notify_one();
    }

    /// Wakes everyone who waits at this moment. They run for the lock together: 32 are back, one after the other, 0.2 ms
    /// after a call without the lock, 0.7 ms after one that holds it (two cores).
    #[inline]
    pub fn notify_all(&self) {
        self.raw.notify_all();
    }

    fn wait_while_with<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T, B>,
        patience: Patience,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<Timed<'a, T, B>> {
        let mut result = WaitTimeoutResult { timed_out: false };
        loop {
            if !condition(&mut guard) {
                return Ok((guard, WaitTimeoutResult { timed_out: false }));
            }
            if result.timed_out {
                return Ok((guard, result));
            }
            (guard, result) = self.wait_with(guard, patience)?;
        }
    }

    fn wait_with<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T, B>, patience: Patience) -> LockResult<Timed<'a, T, B>> {
        if guard.is_inherited() {
            return Err(LockError::Failed(Error::Inherited));
        }
        let (mutex, held) = guard.into_parts();
        // SAFETY: the guard's lock and how it is held, by this process; the guard can't unlock any more.
        let Waited { lock, timed_out } = unsafe { self.raw.wait(mutex.raw(), held, patience) }?;
        let result = WaitTimeoutResult { timed_out };
        // SAFETY: taken by wait just now.
        match unsafe { mutex.guard(lock) } {
            Ok(guard) => Ok((guard, result)),
            Err(error) => Err(error.map(|guard| (guard, result))),
        }
    }
}

// A panic leaves nothing half-done in it.
impl<B: Backend> UnwindSafe for Condvar<B> {}
impl<B: Backend> RefUnwindSafe for Condvar<B> {}

impl<B: Backend> Default for Condvar<B> {
    fn default() -> Self {
        Condvar::new()
    }
}

impl<B: Backend> fmt::Debug for Condvar<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

// SAFETY: repr(C) over the backend's words, which are atomics. There is one resident to show.
unsafe impl<B: Backend> ShmSafe for Condvar<B> {
    const TYPE: Type = Type::lock::<Self, ()>("Condvar", B::NAME, 0, 0);

    fn each_lock(&self, visit: &mut dyn FnMut(&dyn Resident) -> Result<()>) -> Result<()> {
        visit(self)
    }
}

impl<B: Backend> Resident for Condvar<B> {
    unsafe fn settle(&self) -> Result<()> {
        // SAFETY: handed through.
        unsafe { self.raw.settle() }
    }

    unsafe fn teardown(&self) {
        // SAFETY: handed through.
        unsafe { self.raw.teardown() }
    }

    unsafe fn reset(&self) -> Result<()> {
        // SAFETY: handed through; the waiters of an earlier boot are gone.
        unsafe { self.raw.settle() }
    }

    /// None: who is on its way back from a wait borrows the cell.
    fn each_owner(&self, _: &mut dyn FnMut(u32)) {}
}

static_assertions::const_assert!(std::mem::size_of::<Condvar<crate::backend::futex::Futex>>() <= 128);
static_assertions::const_assert_eq!(std::mem::align_of::<Condvar<crate::backend::futex::Futex>>(), 8);
