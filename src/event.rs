//! `Event`: something that happens, and those who wait for it.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::backend::{Awaited, Backend, RawEvent, RawSemaphore, Refused};
use crate::cell::layout::Type;
use crate::cell::safe::{Resident, ShmSafe};
use crate::deadline::Patience;
use crate::error::Result;

/// Something that happens, between processes when it stands in a cell, between threads anywhere.
///
/// Write [`pshared::Event`](crate::Event), the same with the backend chosen. There are two kinds:
///
/// - **auto-reset**: setting it lets one waiter pass, now or later, and that resets it;
/// - **manual-reset**: setting it lets everybody pass until somebody resets it. Those who were waiting when it was set
///   pass even if it is reset before they run.
///
/// A process killed while it sets an event has set it or hasn't, and one killed while it waits takes nothing along.
///
/// ```
/// use pshared::{Event, Shm};
///
/// # let name = format!("doc-event-{}", std::process::id());
/// let ready = Shm::create(&name, || Ok(Event::manual(false)))?;
/// ready.set()?; // from another process, say
/// ready.wait()?;
/// ready.wait()?;
/// ready.reset()?;
/// assert!(ready.try_wait().is_err());
/// # Shm::<Event>::remove(&name)?;
/// # Ok::<(), pshared::Error>(())
/// ```
///
/// # Signal handlers
///
/// [`set`](Event::set), [`reset`](Event::reset) and [`is_set`](Event::is_set) may be called from a signal handler,
/// whatever it interrupts.
///
/// # Not in a cell
///
/// On the stack, in a `static` or in an `Arc` it is an event between the threads of one process. It may be moved while
/// nobody waits.
#[repr(C)]
pub struct Event<B: Backend> {
    /// An auto-reset event is a semaphore for one permit.
    auto: B::Semaphore,
    manual: B::Event,
    /// Which of them it is; see [`MANUAL`]. Fixed.
    kind: AtomicU32,
}

/// The kind of a manual-reset event; 0 resets by itself.
const MANUAL: u32 = 1;

/// The one of the two that is in use.
enum Which<'a, B: Backend> {
    Auto(&'a B::Semaphore),
    Manual(&'a B::Event),
}

impl<B: Backend> UnwindSafe for Event<B> {}
impl<B: Backend> RefUnwindSafe for Event<B> {}

impl<B: Backend> Event<B> {
    /// An event that resets itself for each one that passes.
    pub const fn auto(set: bool) -> Self {
        let auto = if set { B::Semaphore::FREE } else { B::Semaphore::TAKEN };
        Event { auto, manual: B::Event::UNSET, kind: AtomicU32::new(0) }
    }

    /// An event that stays set until it is reset.
    pub const fn manual(set: bool) -> Self {
        let manual = if set { B::Event::SET } else { B::Event::UNSET };
        Event { auto: B::Semaphore::TAKEN, manual, kind: AtomicU32::new(MANUAL) }
    }

    #[inline]
    fn which(&self) -> Which<'_, B> {
        match self.kind.load(Ordering::Relaxed) {
            MANUAL => Which::Manual(&self.manual),
            _ => Which::Auto(&self.auto),
        }
    }

    /// Sets the event; one that is set stays set. Whoever passes sees what this thread did before, in either case.
    ///
    /// # Errors
    ///
    /// The event can't be used; see [`Error`](crate::Error).
    #[inline]
    pub fn set(&self) -> Result<()> {
        match self.which() {
            Which::Auto(auto) => auto.post(1).map(drop),
            Which::Manual(manual) => manual.set(),
        }
    }

    /// Resets the event; one that isn't set stays so.
    ///
    /// # Errors
    ///
    /// As [`set`](Event::set).
    pub fn reset(&self) -> Result<()> {
        match self.which() {
            Which::Auto(auto) => match auto.take(Patience::None) {
                Ok(()) | Err(Refused::WouldBlock) => Ok(()),
                Err(refused) => Err(refused.into()),
            },
            Which::Manual(manual) => {
                manual.reset();
                Ok(())
            }
        }
    }

    /// Whether it is set at this moment. Resets nothing.
    pub fn is_set(&self) -> bool {
        match self.which() {
            Which::Auto(auto) => auto.value() > 0,
            Which::Manual(manual) => manual.is_set(),
        }
    }

    /// Waits until the event is set. An auto-reset event is reset by that.
    ///
    /// # Errors
    ///
    /// The event can't be used; see [`Error`](crate::Error).
    #[inline]
    pub fn wait(&self) -> Result<()> {
        self.wait_with(|| Patience::Forever)
    }

    /// Passes if the event is set. An auto-reset event is reset by that.
    ///
    /// # Errors
    ///
    /// As [`wait`](Event::wait), and [`WouldBlock`](crate::Error::WouldBlock) if it isn't set.
    #[inline]
    pub fn try_wait(&self) -> Result<()> {
        self.wait_with(|| Patience::None)
    }

    /// Waits until the event is set, for at most `timeout`, by the monotonic clock. An event that is set lets pass however
    /// short the time; a time beyond what the clock can express is for ever.
    ///
    /// # Errors
    ///
    /// As [`wait`](Event::wait), and [`TimedOut`](crate::Error::TimedOut), never before the time is up.
    #[inline]
    pub fn wait_timeout(&self, timeout: Duration) -> Result<()> {
        self.wait_with(|| Patience::for_duration(timeout))
    }

    /// Waits until the event is set, until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](Event::wait_timeout).
    #[inline]
    pub fn wait_until(&self, deadline: Instant) -> Result<()> {
        self.wait_with(|| Patience::until(deadline))
    }

    #[inline]
    fn wait_with(&self, patience: impl FnOnce() -> Patience) -> Result<()> {
        match self.which() {
            Which::Auto(auto) if auto.take_at_once() => Ok(()),
            Which::Manual(manual) if manual.is_set() => Ok(()),
            which => wait_contended(which, patience()),
        }
    }

    pub(crate) fn awaited(&self) -> Awaited<'_, B> {
        match self.which() {
            Which::Auto(auto) => Awaited::Semaphore(auto),
            Which::Manual(manual) => Awaited::Event(manual),
        }
    }
}

#[cold]
#[inline(never)]
fn wait_contended<B: Backend>(which: Which<'_, B>, patience: Patience) -> Result<()> {
    Ok(match which {
        Which::Auto(auto) => auto.take(patience),
        Which::Manual(manual) => manual.wait(patience),
    }?)
}

/// Shows the kind and whether it is set, and never waits.
impl<B: Backend> fmt::Debug for Event<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.which() {
            Which::Auto(_) => "auto",
            Which::Manual(_) => "manual",
        };
        let shown = &mut f.debug_struct("Event");
        shown.field("kind", &format_args!("{kind}")).field("set", &self.is_set()).finish_non_exhaustive()
    }
}

// SAFETY: repr(C) over the backend's words and an atomic, all used through `&self`. There is one lock to show.
unsafe impl<B: Backend> ShmSafe for Event<B> {
    const TYPE: Type = Type::lock::<Self, ()>("Event", B::NAME, 0, 0);

    fn each_lock(&self, visit: &mut dyn FnMut(&dyn Resident) -> Result<()>) -> Result<()> {
        visit(self)
    }
}

impl<B: Backend> Resident for Event<B> {
    unsafe fn settle(&self) -> Result<()> {
        // SAFETY: handed through.
        unsafe {
            match self.which() {
                Which::Auto(auto) => auto.settle(),
                Which::Manual(manual) => manual.settle(),
            }
        }
    }

    unsafe fn teardown(&self) {
        // SAFETY: handed through.
        unsafe {
            match self.which() {
                Which::Auto(auto) => auto.teardown(),
                Which::Manual(manual) => manual.teardown(),
            }
        }
    }

    /// Events have no owners: one that was set is set, and whoever waited has gone.
    unsafe fn reset(&self) -> Result<()> {
        // SAFETY: handed through.
        unsafe { Resident::settle(self) }
    }

    fn each_owner(&self, _: &mut dyn FnMut(u32)) {}
}

static_assertions::const_assert_eq!(std::mem::size_of::<Event<crate::backend::futex::Futex>>(), 44);
static_assertions::const_assert_eq!(std::mem::align_of::<Event<crate::backend::futex::Futex>>(), 4);
