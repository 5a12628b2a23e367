//! `OnceLock<T>`: a value that is made once, by whoever comes first and lives to the end of it.

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::{MaybeUninit, needs_drop, offset_of};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use crate::backend::{Backend, Begun, Outcome, RawOnce};
use crate::cell::layout::Type;
use crate::cell::safe::{Resident, ShmData, ShmSafe};
use crate::deadline::Patience;
use crate::error::{Error, Result};
use crate::once::Task;

/// A value that is made once, by one of all the processes that share the cell, and read by all of them without a lock.
///
/// Write [`pshared::OnceLock`](crate::OnceLock), the same with the backend chosen. The calls are those of
/// [`std::sync::OnceLock`].
///
/// An initialiser that panics, fails **or dies** leaves it empty: whoever waits for it, or comes next, makes the value.
/// Nobody ever sees a value that isn't whole, so there is no poison.
///
/// ```
/// use pshared::{OnceLock, Shm};
///
/// # let name = format!("doc-once-lock-{}", std::process::id());
/// let seed = Shm::open_or_create(&name, || Ok(OnceLock::<u64>::new()))?;
/// let first = *seed.get_or_init(|| 0x5eed)?;
/// let again = *seed.get_or_init(|| unreachable!("it was made, in whichever process"))?;
/// assert_eq!(first, again);
/// # Shm::<OnceLock<u64>>::remove(&name)?;
/// # Ok::<(), pshared::Error>(())
/// ```
///
/// # Not in a cell
///
/// On the stack or in a `static` it is for the threads of one process, and may be moved while nobody uses it.
///
/// # After a reboot
///
/// In a file that outlives a reboot, it is empty again: nobody knows what of the value reached the disk.
#[repr(C)]
pub struct OnceLock<T: ShmData, B: Backend> {
    raw: B::Once,
    value: UnsafeCell<MaybeUninit<T>>,
}

/// A value that a [`OnceLock`] didn't take, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct SetError<T> {
    value: T,
    error: Error,
}

impl<T> SetError<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Why it was not taken.
    pub fn error(&self) -> &Error {
        &self.error
    }
}

impl<T> From<SetError<T>> for Error {
    fn from(refused: SetError<T>) -> Error {
        refused.error
    }
}

// SAFETY: T: ShmData is Send and Sync: it may be made in one thread and read in all of them. It is written before it is
// complete, by the one thread that has begun it, and only read afterwards.
unsafe impl<T: ShmData, B: Backend> Sync for OnceLock<T, B> {}
impl<T: ShmData + UnwindSafe, B: Backend> UnwindSafe for OnceLock<T, B> {}
impl<T: ShmData + UnwindSafe + RefUnwindSafe, B: Backend> RefUnwindSafe for OnceLock<T, B> {}

impl<T: ShmData, B: Backend> OnceLock<T, B> {
    /// An empty one.
    pub const fn new() -> Self {
        const { assert!(!needs_drop::<T>(), "what may stand in shared memory is never dropped") };
        OnceLock { raw: B::Once::NEW, value: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// The value, if it is there. Never waits.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: complete, asked with the promise of RawOnce that all that was written before is seen; and never written
        // again, as long as `self` is borrowed.
        self.raw.is_complete().then(|| unsafe { (*self.value.get()).assume_init_ref() })
    }

    /// The value, if it is there, exclusively.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: as in get.
        self.raw.is_complete().then(|| unsafe { self.value.get_mut().assume_init_mut() })
    }

    /// The value, made by `f` if it isn't there; waits while another thread makes it. If `f` panics, it stays empty.
    ///
    /// # Errors
    ///
    /// - [`Error::WouldDeadlock`]: called by the initialiser itself.
    /// - [`Error::Inherited`]: `f` forked, and this is the child, whose value isn't taken; the parent goes on.
    /// - As locking a [`Mutex`](crate::generic::Mutex) can fail otherwise, but for poison.
    #[inline]
    pub fn get_or_init(&self, f: impl FnOnce() -> T) -> Result<&T> {
        self.get_or_try_init(|| Ok(f()))
    }

    /// The same with an `f` that may fail; then it stays empty.
    ///
    /// # Errors
    ///
    /// What `f` returns, and as [`get_or_init`](OnceLock::get_or_init).
    #[inline]
    pub fn get_or_try_init<E: From<Error>>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        match self.get() {
            Some(value) => Ok(value),
            None => self.initialize(f),
        }
    }

    #[cold]
    fn initialize<E: From<Error>>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Begun::Mine(acquired) = self.raw.begin(Patience::Forever).map_err(Error::from)? {
            let task = Task::new(&self.raw, acquired.held);
            let value = f()?;
            self.fill(task, value).map_err(Error::from)?;
        }
        // SAFETY: complete, as both ways here were told.
        Ok(unsafe { (*self.value.get()).assume_init_ref() })
    }

    /// Makes `value` the value; waits while another thread makes one.
    ///
    /// # Errors
    ///
    /// The value, with [`Error::AlreadyInitialized`] if there is one, or as [`get_or_init`](OnceLock::get_or_init) fails.
    pub fn set(&self, value: T) -> Result<(), SetError<T>> {
        match self.raw.begin(Patience::Forever) {
            Ok(Begun::Mine(acquired)) => self.fill(Task::new(&self.raw, acquired.held), value),
            Ok(Begun::Complete) => Err(SetError { value, error: Error::AlreadyInitialized }),
            Err(refused) => Err(SetError { value, error: refused.into() }),
        }
    }

    /// Ends what this thread has begun.
    fn fill(&self, task: Task<'_, B::Once>, value: T) -> Result<(), SetError<T>> {
        if task.is_inherited() {
            return Err(SetError { value, error: Error::Inherited });
        }
        // SAFETY: begun and not complete, by this thread in this process: nobody else writes, and nobody reads yet.
        unsafe { (*self.value.get()).write(value) };
        // SAFETY: written above, and not complete, so this is the only one who has it.
        task.complete().map_err(|error| SetError { value: unsafe { (*self.value.get()).assume_init_read() }, error })
    }

    /// Waits until there is a value, also while nobody makes one.
    ///
    /// # Errors
    ///
    /// - [`Error::WouldDeadlock`]: called by the initialiser itself.
    /// - As locking a [`Mutex`](crate::generic::Mutex) can fail otherwise, but for poison.
    pub fn wait(&self) -> Result<&T> {
        self.wait_with(Patience::Forever)
    }

    /// The same for at most `timeout`, by the monotonic clock.
    ///
    /// # Errors
    ///
    /// As [`wait`](OnceLock::wait), and [`Error::TimedOut`], never before the time is up.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<&T> {
        self.wait_with(Patience::for_duration(timeout))
    }

    /// The same until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](OnceLock::wait_timeout).
    pub fn wait_until(&self, deadline: Instant) -> Result<&T> {
        self.wait_with(Patience::until(deadline))
    }

    fn wait_with(&self, patience: Patience) -> Result<&T> {
        match self.raw.wait(patience, || false)? {
            // SAFETY: complete.
            Outcome::Complete => Ok(unsafe { (*self.value.get()).assume_init_ref() }),
            Outcome::Hopeless => Err(Error::WouldBlock),
        }
    }

    /// The value, if it is there.
    pub fn into_inner(self) -> Option<T> {
        // SAFETY: complete, so it was written; `self` is gone afterwards.
        self.raw.is_complete().then(|| unsafe { self.value.into_inner().assume_init() })
    }

    /// The value, if it is there; leaves an empty one behind.
    pub fn take(&mut self) -> Option<T> {
        std::mem::take(self).into_inner()
    }
}

impl<T: ShmData, B: Backend> Default for OnceLock<T, B> {
    fn default() -> Self {
        OnceLock::new()
    }
}

impl<T: ShmData, B: Backend> From<T> for OnceLock<T, B> {
    fn from(value: T) -> Self {
        OnceLock { raw: B::Once::COMPLETE, value: UnsafeCell::new(MaybeUninit::new(value)) }
    }
}

impl<T: ShmData + Clone, B: Backend> Clone for OnceLock<T, B> {
    fn clone(&self) -> Self {
        self.get().cloned().map_or_else(OnceLock::new, OnceLock::from)
    }
}

impl<T: ShmData + PartialEq, B: Backend> PartialEq for OnceLock<T, B> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: ShmData + Eq, B: Backend> Eq for OnceLock<T, B> {}

/// Shows the value if it is there, and never waits.
impl<T: ShmData + fmt::Debug, B: Backend> fmt::Debug for OnceLock<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => shown.field(value),
            None => shown.field(&format_args!("<uninit>")),
        };
        shown.finish()
    }
}

// SAFETY: repr(C) over the backend's words and the data, which is written by one thread and then only read. T: ShmData
// keeps locks and addresses out of it. There is one lock to show.
unsafe impl<T: ShmData, B: Backend> ShmSafe for OnceLock<T, B> {
    const TYPE: Type = Type::lock::<Self, T>("OnceLock", B::NAME, 0, offset_of!(Self, value));

    fn each_lock(&self, visit: &mut dyn FnMut(&dyn Resident) -> Result<()>) -> Result<()> {
        visit(self)
    }
}

impl<T: ShmData, B: Backend> Resident for OnceLock<T, B> {
    unsafe fn settle(&self) -> Result<()> {
        // SAFETY: handed through.
        unsafe { self.raw.settle() }
    }

    unsafe fn teardown(&self) {
        // SAFETY: handed through.
        unsafe { self.raw.teardown() }
    }

    unsafe fn reset(&self) -> Result<()> {
        // SAFETY: handed through.
        unsafe { self.raw.reset() }
    }

    fn each_owner(&self, see: &mut dyn FnMut(u32)) {
        if let Some(tid) = self.raw.owner_thread() {
            see(tid);
        }
    }
}

static_assertions::const_assert_eq!(std::mem::size_of::<OnceLock<(), crate::backend::futex::Futex>>(), 40);
static_assertions::const_assert_eq!(std::mem::size_of::<OnceLock<u64, crate::backend::futex::Futex>>(), 48);
static_assertions::const_assert_eq!(std::mem::align_of::<OnceLock<u8, crate::backend::futex::Futex>>(), 8);
