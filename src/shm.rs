//! `Shm<T>`: the handle that users hold. It finds memory, makes or checks the cell in it, and unmaps it.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::backend::futex::thread::is_held_within;
use crate::cell::safe::ShmSafe;
use crate::cell::{ByValue, Fill, Finished, Place, ShmCell, Zeroed};
use crate::error::{Error, Result};
use crate::region::{Mapping, Posix, Region, Staged, Visibility};

/// How often opening and creating follow each other while others create and remove the same name.
const ROUNDS: usize = 1000;

/// A `T` in memory that any process may open by the same name.
///
/// It derefs to `T`, is cheap to clone, and may go to other threads. The memory is unmapped with the last clone, and its
/// name stays until [`remove`](Shm::remove); a thread that still owns a lock in it (through a forgotten guard) keeps it
/// mapped.
///
/// `create`, `open` and the others take the name of POSIX shared memory; those that end in `_in` take any
/// [`Region`](crate::region::Region).
///
/// ```
/// use pshared::{Mutex, Shm, ShmSafe};
///
/// #[repr(C)]
/// #[derive(ShmSafe)]
/// struct Stats {
///     hits: Mutex<u64>,
/// }
///
/// # let name = &format!("doc-shm-{}", std::process::id());
/// // The first process creates it, the others attach: no race, no half-made value, no unsafe.
/// let stats = Shm::open_or_create(name, || Ok(Stats { hits: Mutex::new(0) }))?;
/// *stats.hits.lock()? += 1;
///
/// let again = Shm::<Stats>::open(name)?; // as another process would
/// assert_eq!(*again.hits.lock()?, 1);
/// Shm::<Stats>::remove(name)?;
/// # Ok::<(), pshared::Error>(())
/// ```
///
/// # After a fork
///
/// A child has the memory mapped too and may use its copy of the `Shm`. What the parent has locked stays the parent's.
pub struct Shm<T: ShmSafe> {
    attached: Arc<Attached<T>>,
}

struct Attached<T: ShmSafe> {
    cell: NonNull<ShmCell<T>>,
    mapping: ManuallyDrop<Mapping>,
}

// SAFETY: the pointer is to a ShmCell<T>, which is Send and Sync, in memory that the mapping keeps.
unsafe impl<T: ShmSafe> Send for Attached<T> {}
// SAFETY: as above.
unsafe impl<T: ShmSafe> Sync for Attached<T> {}

impl<T: ShmSafe> Drop for Attached<T> {
    fn drop(&mut self) {
        // SAFETY: this is the one place that takes it, and the value is gone afterwards.
        let mapping = unsafe { ManuallyDrop::take(&mut self.mapping) };
        let start = mapping.as_ptr().addr().get();
        // SAFETY: mapped until the lines below.
        if is_held_within(&(start..start + mapping.len())) || unsafe { self.cell.as_ref() }.is_held_here() {
            // A forgotten guard: its lock is on the robust list of a living thread, which must find it there. The lock itself
            // may say otherwise, where a peer scribbled over it.
            mapping.keep();
        }
    }
}

impl<T: ShmSafe> Clone for Shm<T> {
    fn clone(&self) -> Self {
        Shm { attached: Arc::clone(&self.attached) }
    }
}

impl<T: ShmSafe> Deref for Shm<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: a finished cell, mapped as long as `attached` lives.
        unsafe { self.attached.cell.as_ref() }
    }
}

impl<T: ShmSafe + fmt::Debug> fmt::Debug for Shm<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shm").field(&**self).finish()
    }
}

impl<T: ShmSafe> Shm<T> {
    /// Creates shared memory `name` with the value that `init` makes.
    ///
    /// # Errors
    ///
    /// - [`Error::AlreadyExists`]; `init` may have run, its value is dropped.
    /// - [`Error::InvalidName`]: empty, with a `/` or NUL, or too long.
    /// - [`Error::Os`]: among others `ENOSPC`, when there isn't room for all of the value.
    /// - What `init` returns.
    pub fn create(name: &str, init: impl FnOnce() -> Result<T>) -> Result<Self> {
        Self::create_in(&Posix::new(name)?, init)
    }

    /// Opens shared memory `name`.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`].
    /// - [`Error::Mismatch`]: it holds another type, or another build made it; says what differs first.
    /// - [`Error::PidNamespace`]: it was made in another pid namespace.
    /// - [`Error::InvalidName`], [`Error::Os`].
    pub fn open(name: &str) -> Result<Self> {
        Self::open_in(&Posix::new(name)?)
    }

    /// Opens shared memory `name`, or creates it with the value that `init` makes. Of processes that do so at the same
    /// time one creates and the others open what it made.
    ///
    /// # Errors
    ///
    /// As [`open`](Shm::open) and [`create`](Shm::create), but for `NotFound` and `AlreadyExists`.
    pub fn open_or_create(name: &str, init: impl FnOnce() -> Result<T>) -> Result<Self> {
        Self::open_or_create_in(&Posix::new(name)?, init)
    }

    /// Creates shared memory `name` with all bytes zero, in place: for types too large for the stack. Locks made of zeros
    /// are unlocked. A type for which zeros are no value doesn't compile.
    ///
    /// # Errors
    ///
    /// As [`create`](Shm::create).
    pub fn create_zeroed(name: &str) -> Result<Self> {
        Self::create_zeroed_in(&Posix::new(name)?)
    }

    /// Removes the name `name`. Whoever has it open keeps it; the next [`open_or_create`](Shm::open_or_create) makes a
    /// new one.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::InvalidName`], [`Error::Os`].
    pub fn remove(name: &str) -> Result<()> {
        Self::remove_in(&Posix::new(name)?)
    }

    /// [`create`](Shm::create) in a region of any kind.
    ///
    /// # Errors
    ///
    /// As there, and [`Error::NotReady`] where the region can't hide what is unfinished and somebody else is at work.
    pub fn create_in(region: &(impl Region + ?Sized), init: impl FnOnce() -> Result<T>) -> Result<Self> {
        Self::obtain(region, ByValue(init), Existing::Refused)
    }

    /// [`create_zeroed`](Shm::create_zeroed) in a region of any kind.
    ///
    /// # Errors
    ///
    /// As [`create_in`](Shm::create_in).
    pub fn create_zeroed_in(region: &(impl Region + ?Sized)) -> Result<Self> {
        Self::obtain(region, Zeroed, Existing::Refused)
    }

    /// [`open`](Shm::open) in a region of any kind.
    ///
    /// # Errors
    ///
    /// As there, and [`Error::NotReady`] if the creator died unfinished or takes longer than ten seconds.
    pub fn open_in(region: &(impl Region + ?Sized)) -> Result<Self> {
        let mapping = region.open()?;
        let place = Place::existing(memory(&mapping), region.describe().into())?;
        // SAFETY: mapped and shared among users of the cell; `Attached` keeps it while a thread of ours owns a lock.
        let cell = unsafe { place.attach() }?;
        Ok(Self::new(cell, mapping))
    }

    /// [`open_or_create`](Shm::open_or_create) in a region of any kind.
    ///
    /// # Errors
    ///
    /// As there, and as [`open_in`](Shm::open_in).
    pub fn open_or_create_in(region: &(impl Region + ?Sized), init: impl FnOnce() -> Result<T>) -> Result<Self> {
        Self::obtain(region, ByValue(init), Existing::Opened)
    }

    /// [`remove`](Shm::remove) for a region of any kind.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn remove_in(region: &(impl Region + ?Sized)) -> Result<()> {
        let mapping = region.open();
        region.remove()?;
        if let Ok(mapping) = mapping
            && let Ok(place) = Place::<T>::existing(memory(&mapping), region.describe().into())
        {
            // SAFETY: mapped until the end of the block.
            if let Some(cell) = unsafe { place.finished() } {
                // SAFETY: whoever removes a region says that its locks' system objects aren't needed any more.
                unsafe { cell.teardown() };
            }
        }
        Ok(())
    }

    /// How many bytes the region has.
    pub fn size(&self) -> usize {
        self.attached.mapping.len()
    }

    fn new(cell: &ShmCell<T>, mapping: Mapping) -> Self {
        let mapping = ManuallyDrop::new(mapping);
        Shm { attached: Arc::new(Attached { cell: NonNull::from(cell), mapping }) }
    }

    fn obtain(region: &(impl Region + ?Sized), fill: impl Fill<T>, existing: Existing) -> Result<Self> {
        let mut open_first = existing == Existing::Opened;
        for _ in 0..ROUNDS {
            if open_first {
                match region.open() {
                    Ok(mapping) => return Self::finish(region, mapping, fill, existing),
                    Err(Error::NotFound { .. }) => {}
                    // It exists, for staging it said so, and nobody opens regions of its kind.
                    Err(Error::Unsupported { .. }) if existing == Existing::Refused => break,
                    Err(error) => return Err(error),
                }
            }
            match region.stage(ShmCell::<T>::size()) {
                Ok(staged) if staged.visibility() == Visibility::Immediately => {
                    return Self::finish(region, staged.into_mapping(), fill, existing);
                }
                Ok(staged) => return Self::publish(region, staged, fill, existing),
                // Only regions that can't hide what is unfinished say so here: it may be for this process to finish.
                Err(Error::AlreadyExists { .. }) => open_first = true,
                Err(error) => return Err(error),
            }
        }
        Err(Error::AlreadyExists { what: region.describe().into() })
    }

    /// In memory that others may have found before, or find meanwhile.
    fn finish(
        region: &(impl Region + ?Sized),
        mapping: Mapping,
        fill: impl Fill<T>,
        existing: Existing,
    ) -> Result<Self> {
        let what = region.describe();
        let place = Place::existing(memory(&mapping), what.as_str().into())?;
        // SAFETY: mapped and shared among users of the cell; `Attached` keeps it while a thread of ours owns a lock.
        match (unsafe { place.attach_or_finish(Some(fill)) }?, existing) {
            ((_, Finished::Elsewhere), Existing::Refused) => Err(Error::AlreadyExists { what: what.into() }),
            ((cell, _), _) => Ok(Self::new(cell, mapping)),
        }
    }

    /// In memory that nobody can find before it is published.
    fn publish(
        region: &(impl Region + ?Sized),
        staged: Staged,
        fill: impl Fill<T>,
        existing: Existing,
    ) -> Result<Self> {
        let place = Place::new(memory(staged.mapping()), region.describe().into())?;
        // SAFETY: mapped by `staged`, later by `Attached`; nobody else can see it yet.
        let cell: &ShmCell<T> = unsafe { place.create_unseen(fill) }?;
        for _ in 0..ROUNDS {
            let found = match (staged.publish(), existing) {
                (Ok(()), _) => return Ok(Self::new(cell, staged.into_mapping())),
                (Err(Error::AlreadyExists { .. }), Existing::Opened) => Self::open_in(region),
                (Err(error), _) => Err(error),
            };
            if !matches!(found, Err(Error::NotFound { .. })) {
                // SAFETY: never published, so nobody uses it.
                unsafe { cell.teardown() };
                return found;
            }
        }
        Err(Error::AlreadyExists { what: region.describe().into() })
    }
}

/// What to do with what exists already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existing {
    Opened,
    Refused,
}

fn memory(mapping: &Mapping) -> NonNull<[u8]> {
    NonNull::slice_from_raw_parts(mapping.as_ptr(), mapping.len())
}
