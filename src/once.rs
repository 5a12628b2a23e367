//! `Once`: something that is done once, by whoever comes first and lives to the end of it.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use crate::backend::{Backend, Begun, Outcome, RawOnce};
use crate::cell::layout::Type;
use crate::cell::safe::{Resident, ShmSafe};
use crate::deadline::Patience;
use crate::error::{Cause, Error, Result};
use crate::poison::Poison;

/// Something that is done once, by one of all the processes that share the cell.
///
/// Write [`pshared::Once`](crate::Once), the same with the backend chosen. The calls are those of [`std::sync::Once`].
///
/// What happens to an initialiser that doesn't come to its end depends on why:
///
/// - **It dies** (killed, exited): it is replaced. Whoever waits for it, or comes next, runs its own. So an initialiser
///   must be written so that it can start over what another left half done.
/// - **It panics**: as in `std`, nobody tries again by itself, because that would end in the same way.
///   [`call_once`](Once::call_once) is an error from then on, [`call_once_force`](Once::call_once_force) does it over.
///
/// For a value, use [`OnceLock`](crate::generic::OnceLock), where nothing is ever half done.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use pshared::{Once, Shm, ShmSafe};
///
/// #[repr(C)]
/// #[derive(ShmSafe)]
/// struct Table {
///     filled: Once,
///     squares: [AtomicU32; 100],
/// }
///
/// # let name = format!("doc-once-{}", std::process::id());
/// let table = Shm::open_or_create(&name, || Ok(Table { filled: Once::new(), squares: [const { AtomicU32::new(0) }; 100] }))?;
/// table.filled.call_once(|| {
///     for (n, square) in (0..).zip(&table.squares) {
///         square.store(n * n, Ordering::Relaxed);
///     }
/// })?;
/// // Whichever process did it, it is done.
/// assert_eq!(table.squares[9].load(Ordering::Relaxed), 81);
/// # Shm::<Table>::remove(&name)?;
/// # Ok::<(), pshared::Error>(())
/// ```
///
/// # Not in a cell
///
/// On the stack or in a `static` it is for the threads of one process, and may be moved while nobody uses it. In a forked
/// child, the copy of one whose initialiser was at work is begun anew.
///
/// # After a reboot
///
/// In a file that outlives a reboot, it has to be done again: nobody knows what of it reached the disk.
#[repr(C)]
pub struct Once<B: Backend> {
    raw: B::Once,
    poison: Poison,
}

/// What an initialiser is told of those before it.
#[derive(Clone, Copy, Debug)]
pub struct OnceState {
    cause: Option<Cause>,
}

impl OnceState {
    /// Whether an earlier initialiser panicked or died, so that its work may be half done.
    pub fn is_poisoned(&self) -> bool {
        self.cause.is_some()
    }

    /// Why it didn't come to its end; a death, where there was one, before a panic.
    pub fn cause(&self) -> Option<Cause> {
        self.cause
    }
}

impl<B: Backend> UnwindSafe for Once<B> {}
impl<B: Backend> RefUnwindSafe for Once<B> {}

impl<B: Backend> Once<B> {
    /// One that nobody has begun.
    pub const fn new() -> Self {
        Once { raw: B::Once::NEW, poison: Poison::none() }
    }

    /// Runs `f`, unless it is done already; returns when it is done. Waits while another thread is at it.
    ///
    /// # Errors
    ///
    /// - [`Error::InitPanicked`]: an earlier initialiser panicked.
    /// - [`Error::WouldDeadlock`]: called by the initialiser itself.
    /// - [`Error::Inherited`]: `f` forked, and this is the child, where nothing is done; the parent goes on.
    /// - As locking a [`Mutex`](crate::generic::Mutex) can fail otherwise.
    #[inline]
    pub fn call_once(&self, f: impl FnOnce()) -> Result<()> {
        if self.raw.is_complete() {
            return Ok(());
        }
        self.call(Panics::Stay, |_| f())
    }

    /// The same, also after a panic; tells `f` how the ones before it ended.
    ///
    /// # Errors
    ///
    /// As [`call_once`](Once::call_once) but for `InitPanicked`.
    #[inline]
    pub fn call_once_force(&self, f: impl FnOnce(&OnceState)) -> Result<()> {
        if self.raw.is_complete() {
            return Ok(());
        }
        self.call(Panics::AreRepaired, f)
    }

    #[cold]
    fn call(&self, panics: Panics, f: impl FnOnce(&OnceState)) -> Result<()> {
        let acquired = match self.raw.begin(Patience::Forever)? {
            Begun::Complete => return Ok(()),
            Begun::Mine(acquired) => acquired,
        };
        let task = Task::new(&self.raw, acquired.held);
        if acquired.owner_died {
            // Before anything else: if this thread dies too, the next one is told so anyway.
            self.poison.note(Cause::OwnerDied);
        }
        if self.poison.includes(Cause::Panicked) && matches!(panics, Panics::Stay) {
            return Err(Error::InitPanicked);
        }
        let unwinding = NotesPanic { poison: &self.poison, task: &task };
        f(&OnceState { cause: self.poison.cause() });
        std::mem::forget(unwinding);
        task.complete()
    }

    /// Whether it is done.
    #[inline]
    pub fn is_completed(&self) -> bool {
        self.raw.is_complete()
    }

    /// Whether an initialiser panicked and none has done it over.
    pub fn is_poisoned(&self) -> bool {
        self.poison.includes(Cause::Panicked) && !self.raw.is_complete()
    }

    /// Waits until somebody has done it, also while nobody is at it.
    ///
    /// # Errors
    ///
    /// - [`Error::InitPanicked`]: an initialiser panicked, and nobody is at doing it over.
    /// - [`Error::WouldDeadlock`]: called by the initialiser itself.
    /// - As locking a [`Mutex`](crate::generic::Mutex) can fail otherwise.
    pub fn wait(&self) -> Result<()> {
        self.wait_with(Patience::Forever)
    }

    /// The same for at most `timeout`, by the monotonic clock.
    ///
    /// # Errors
    ///
    /// As [`wait`](Once::wait), and [`Error::TimedOut`], never before the time is up.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<()> {
        self.wait_with(Patience::for_duration(timeout))
    }

    /// The same until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](Once::wait_timeout).
    pub fn wait_until(&self, deadline: Instant) -> Result<()> {
        self.wait_with(Patience::until(deadline))
    }

    fn wait_with(&self, patience: Patience) -> Result<()> {
        match self.raw.wait(patience, || self.poison.includes(Cause::Panicked))? {
            Outcome::Complete => Ok(()),
            Outcome::Hopeless => Err(Error::InitPanicked),
        }
    }
}

/// What an earlier panic means to a call.
#[derive(Clone, Copy)]
enum Panics {
    Stay,
    AreRepaired,
}

/// What this thread has begun. Dropped incomplete, it is the next one's.
pub(crate) struct Task<'a, R: RawOnce> {
    raw: &'a R,
    held: R::Held,
}

impl<'a, R: RawOnce> Task<'a, R> {
    /// `held` was got from `raw` just now.
    pub(crate) fn new(raw: &'a R, held: R::Held) -> Self {
        Task { raw, held }
    }

    /// Whether it was begun by the process that this one was forked from, and is that one's.
    pub(crate) fn is_inherited(&self) -> bool {
        self.raw.is_inherited(self.held)
    }

    pub(crate) fn complete(self) -> Result<()> {
        let Task { raw, held } = *std::mem::ManuallyDrop::new(self);
        // SAFETY: got by whoever made this, and used here only: the value isn't dropped.
        unsafe { raw.complete(held) }
    }
}

impl<R: RawOnce> Drop for Task<'_, R> {
    fn drop(&mut self) {
        // SAFETY: got by whoever made this, and used here only.
        unsafe { self.raw.give_up(self.held) };
    }
}

/// Dropped by a panic, it notes that, before the task is given up.
struct NotesPanic<'a, R: RawOnce> {
    poison: &'a Poison,
    task: &'a Task<'a, R>,
}

impl<R: RawOnce> Drop for NotesPanic<'_, R> {
    fn drop(&mut self) {
        if !self.task.is_inherited() {
            self.poison.note(Cause::Panicked);
        }
    }
}

impl<B: Backend> Default for Once<B> {
    fn default() -> Self {
        Once::new()
    }
}

impl<B: Backend> fmt::Debug for Once<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_completed() {
            "done"
        } else if self.raw.owner_thread().is_some() {
            "being done"
        } else if self.is_poisoned() {
            "panicked"
        } else {
            "to be done"
        };
        f.debug_struct("Once").field("state", &format_args!("<{state}>")).finish_non_exhaustive()
    }
}

// SAFETY: repr(C) over the backend's words and an atomic; no addresses. There is one lock to show.
unsafe impl<B: Backend> ShmSafe for Once<B> {
    const TYPE: Type = Type::lock::<Self, ()>("Once", B::NAME, 0, 0);

    fn each_lock(&self, visit: &mut dyn FnMut(&dyn Resident) -> Result<()>) -> Result<()> {
        visit(self)
    }
}

impl<B: Backend> Resident for Once<B> {
    unsafe fn settle(&self) -> Result<()> {
        // SAFETY: handed through.
        unsafe { self.raw.settle() }
    }

    unsafe fn teardown(&self) {
        // SAFETY: handed through.
        unsafe { self.raw.teardown() }
    }

    unsafe fn reset(&self) -> Result<()> {
        self.poison.note(Cause::OwnerDied);
        // SAFETY: handed through.
        unsafe { self.raw.reset() }
    }

    fn each_owner(&self, see: &mut dyn FnMut(u32)) {
        if let Some(tid) = self.raw.owner_thread() {
            see(tid);
        }
    }
}

static_assertions::const_assert_eq!(std::mem::size_of::<Once<crate::backend::futex::Futex>>(), 48);
static_assertions::const_assert_eq!(std::mem::align_of::<Once<crate::backend::futex::Futex>>(), 8);
