//! `ShmCell<T>`: a header that says what the memory holds, the value, and the table of its fields.
//!
//! # State
//!
//! The header's `state` is a word of [`publish`](crate::backend::futex::publish): unfinished, being finished by a
//! thread that others can outlive, or published. Memory that nobody can find before it is complete is published before
//! it gets its name; memory that others find at once (a SysV segment, the caller's own) goes through all three.
//!
//! Once published, a cell changes state only when a file from before the last boot is opened: one process takes it back,
//! frees and poisons its locks, and publishes it again; if it is killed, the next one starts that over.

mod header;
pub(crate) mod layout;
pub(crate) mod safe;

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::{align_of, offset_of, size_of};
use std::ops::Deref;
use std::ptr::NonNull;
use std::thread;
use std::time::{Duration, Instant};

use crate::backend::futex::held::Held;
use crate::backend::futex::publish::Entered;
use crate::backend::{RawMutex, Refused};
use crate::deadline::Patience;
use crate::error::{Error, Result};
use header::{Difference, Header, Identity};
use layout::Type;
use safe::ShmSafe;

/// How long attaching waits for a creator that is at work.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// So much is read of a table of fields that isn't this build's, in bytes: whatever it says of its length.
const LONGEST_TABLE: usize = 1 << 16;

/// How often attaching looks again at an unfinished cell that nobody is at work on.
const GLANCE: Duration = Duration::from_millis(10);

/// A `T` in shared memory, behind a header that says what it is.
///
/// Most programs use [`Shm<T>`](crate::Shm), which also finds, maps and unmaps the memory. This type is for memory that
/// the caller has mapped: [`init`](ShmCell::init) makes a cell there, [`attach`](ShmCell::attach) finds one.
#[repr(C)]
pub struct ShmCell<T> {
    header: Header,
    value: UnsafeCell<T>,
}

// SAFETY: ShmSafe: `&T` may be shared between threads, and the header is atomics and plain copies.
unsafe impl<T: ShmSafe> Sync for ShmCell<T> {}
// SAFETY: as above.
unsafe impl<T: ShmSafe> Send for ShmCell<T> {}

impl<T> Deref for ShmCell<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: written before the cell was published; nobody makes a `&mut T` of it afterwards.
        unsafe { &*self.value.get() }
    }
}

impl<T: fmt::Debug> fmt::Debug for ShmCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ShmCell").field(&**self).finish()
    }
}

/// How a value comes into a cell that this process finishes.
pub(crate) trait Fill<T> {
    /// Writes the value.
    ///
    /// # Safety
    ///
    /// `at` is valid for writing a `T` and nobody else uses it.
    unsafe fn fill(self, at: *mut T) -> Result<()>;
}

/// A value made by the user's closure.
pub(crate) struct ByValue<F>(pub(crate) F);

impl<T, F: FnOnce() -> Result<T>> Fill<T> for ByValue<F> {
    unsafe fn fill(self, at: *mut T) -> Result<()> {
        let value = (self.0)()?;
        // SAFETY: the caller's promise.
        unsafe { at.write(value) };
        Ok(())
    }
}

/// All zero bytes.
pub(crate) struct Zeroed;

impl<T: ShmSafe> Fill<T> for Zeroed {
    unsafe fn fill(self, at: *mut T) -> Result<()> {
        const { assert!(T::TYPE.zeroed_is_a_value(), "all zero bytes must be a value of the type to create it zeroed") };
        // SAFETY: the caller's promise.
        unsafe { at.write_bytes(0, 1) };
        Ok(())
    }
}

/// Memory for a cell of `T`: long enough and aligned.
pub(crate) struct Place<T> {
    cell: NonNull<ShmCell<T>>,
    len: usize,
    what: Box<str>,
}

impl<T: ShmSafe> ShmCell<T> {
    /// How many bytes a cell of `T` and its table of fields need.
    pub fn size() -> usize {
        Self::table_at() + T::TYPE.table().len()
    }

    /// The cell's alignment in bytes.
    pub const fn align() -> usize {
        align_of::<Self>()
    }

    const fn table_at() -> usize {
        size_of::<Self>()
    }

    /// Makes a cell in `memory`, or finishes one whose creator died.
    ///
    /// Others may call `init` or [`attach`](ShmCell::attach) on the same memory at the same time: one of them makes the
    /// cell, the others wait.
    ///
    /// # Errors
    ///
    /// - [`Error::AlreadyExists`]: a finished cell is there.
    /// - [`Error::BadMemory`]: too small ([`ShmCell::size`]) or not aligned ([`ShmCell::align`]).
    /// - [`Error::Mismatch`]: something else than zeros or a cell of `T` is there.
    /// - [`Error::NotReady`]: somebody is at work on it and doesn't come to an end.
    /// - What `init` returns; the memory is left for the next one to use.
    ///
    /// # Safety
    ///
    /// For all of `'a`, `memory` is mapped, readable and writable, shared with nobody but users of this cell, and not
    /// unmapped while a thread of this process holds a lock in it (a forgotten guard counts). It was all zeros when it
    /// was new.
    pub unsafe fn init<'a>(memory: NonNull<[u8]>, init: impl FnOnce() -> Result<T>) -> Result<&'a ShmCell<T>> {
        let place = Place::new(memory, "the caller's memory".into())?;
        // SAFETY: the caller's promise.
        unsafe { place.create(ByValue(init)) }
    }

    /// Finds the cell in `memory`, waiting for its creator if it is at work.
    ///
    /// # Errors
    ///
    /// - [`Error::BadMemory`], [`Error::NotReady`]: as for [`init`](ShmCell::init).
    /// - [`Error::Mismatch`]: another type, build or machine made the cell, or it is none; says what differs first.
    /// - [`Error::PidNamespace`]: made in another pid namespace.
    ///
    /// # Safety
    ///
    /// As for [`init`](ShmCell::init).
    pub unsafe fn attach<'a>(memory: NonNull<[u8]>) -> Result<&'a ShmCell<T>> {
        let place = Place::new(memory, "the caller's memory".into())?;
        // SAFETY: the caller's promise.
        unsafe { place.attach() }
    }

    /// Calls `settle` on every lock, tearing down again what was settled if one fails.
    ///
    /// # Safety
    ///
    /// Nobody else uses the value, and it stays where it is.
    unsafe fn settle(&self) -> Result<()> {
        // SAFETY: the caller's promise.
        let settled = self.each_lock(&mut |lock| unsafe { lock.settle() });
        if settled.is_err() {
            // SAFETY: nobody else uses the value.
            unsafe { self.teardown() };
        }
        settled
    }

    /// Gives back what the kernel holds for the value's locks.
    ///
    /// # Safety
    ///
    /// Nobody uses the value any more.
    pub(crate) unsafe fn teardown(&self) {
        let _ = self.each_lock(&mut |lock| {
            // SAFETY: the caller's promise.
            unsafe { lock.teardown() };
            Ok(())
        });
    }

    /// Whether a thread of this process owns a lock in the cell: then its memory must stay.
    pub(crate) fn is_held_here(&self) -> bool {
        let mut held = false;
        let _ = self.each_lock(&mut |lock| {
            lock.each_owner(&mut |tid| held |= crate::sys::thread::exists_here(tid));
            Ok(())
        });
        held
    }
}

impl<T: ShmSafe> Place<T> {
    /// Checks length and alignment.
    pub(crate) fn new(memory: NonNull<[u8]>, what: Box<str>) -> Result<Place<T>> {
        let (needed, align) = (ShmCell::<T>::size(), ShmCell::<T>::align());
        let address = memory.cast::<u8>().addr().get();
        if memory.len() < needed || !address.is_multiple_of(align) {
            return Err(Error::BadMemory { address, len: memory.len(), needed, align });
        }
        Ok(Place { cell: memory.cast(), len: memory.len(), what })
    }

    /// The same for memory that somebody else made: too short means that it is no cell of `T`.
    pub(crate) fn existing(memory: NonNull<[u8]>, what: Box<str>) -> Result<Place<T>> {
        if memory.len() < size_of::<Header>() {
            return Err(Error::mismatch(what, "its size in bytes", memory.len(), ShmCell::<T>::size()));
        }
        Ok(Place { cell: memory.cast(), len: memory.len(), what })
    }

    fn header(&self) -> *mut Header {
        // SAFETY: within the memory, whose length covers the header.
        unsafe { &raw mut (*self.cell.as_ptr()).header }
    }

    /// # Safety
    ///
    /// The memory is mapped for `'a`.
    unsafe fn state<'a>(&self) -> &'a crate::backend::futex::RobustWord {
        // SAFETY: as above; atomics are valid whatever stands in them.
        unsafe { &(*self.header()).state }
    }

    /// # Safety
    ///
    /// The memory is mapped.
    unsafe fn identity(&self) -> Identity {
        // SAFETY: within the memory; plain bytes, which others may be writing.
        unsafe { (&raw const (*self.header()).identity).read_volatile() }
    }

    fn ours(&self) -> Result<Identity> {
        let table = T::TYPE.table();
        Identity::of_this_process(T::TYPE.fingerprint(), size_of::<T>(), ShmCell::<T>::table_at(), table.len())
    }

    /// Makes the cell in memory that nobody else can see, and leaves it published.
    ///
    /// # Safety
    ///
    /// The memory is mapped and writable for `'a`, and nobody else uses it.
    pub(crate) unsafe fn create_unseen<'a>(&self, fill: impl Fill<T>) -> Result<&'a ShmCell<T>> {
        // SAFETY: the caller's promise.
        unsafe {
            self.write(fill)?;
            self.state().publish_unseen()?;
            Ok(self.cell.as_ref())
        }
    }

    /// Makes the cell in memory that others can find, unless it is there.
    ///
    /// # Safety
    ///
    /// As [`ShmCell::init`].
    pub(crate) unsafe fn create<'a>(&self, fill: impl Fill<T>) -> Result<&'a ShmCell<T>> {
        // SAFETY: handed through.
        match unsafe { self.attach_or_finish(Some(fill)) }? {
            (cell, Finished::Here) => Ok(cell),
            (_, Finished::Elsewhere) => Err(Error::AlreadyExists { what: self.what.clone() }),
        }
    }

    /// Finds the cell.
    ///
    /// # Safety
    ///
    /// As [`ShmCell::init`].
    pub(crate) unsafe fn attach<'a>(&self) -> Result<&'a ShmCell<T>> {
        // SAFETY: handed through.
        unsafe { self.attach_or_finish(None::<Zeroed>) }.map(|(cell, _)| cell)
    }

    /// Finds the cell, or finishes it with `fill` where nobody else has. The model is `tests/models/publish.py`.
    ///
    /// # Safety
    ///
    /// As [`ShmCell::init`].
    pub(crate) unsafe fn attach_or_finish<'a>(
        &self,
        mut fill: Option<impl Fill<T>>,
    ) -> Result<(&'a ShmCell<T>, Finished)> {
        let ours = self.ours()?;
        // SAFETY: for this and what follows: the memory is mapped, says the caller.
        let state = unsafe { self.state() };
        let started = Instant::now();
        // Twice nothing new after all that time, or who was stopped meanwhile would be refused what has become ready.
        let mut late = 0;
        let mut is_in_vain = || {
            late += u32::from(started.elapsed() >= PATIENCE);
            late > 1
        };
        loop {
            // Before the state is touched: in memory that isn't a cell it is somebody's data.
            // SAFETY: as above.
            let found = unsafe { self.identity() };
            match found.difference(&ours) {
                None if state.is_ready() => break,
                Some(Difference::EarlierBoot) if state.is_ready() => {
                    // None: another process was faster and is at work, or done; the next round tells which.
                    if let Some(held) = state.reopen()? {
                        // SAFETY: the state word is ours: everybody else waits for it.
                        unsafe { self.reset(Task { state, held: Some(held) }, &ours) }?;
                    } else if is_in_vain() {
                        return Err(self.not_ready(started)); // never taken back by anybody: scribbled over
                    }
                    continue;
                }
                // Published after it was looked at, or scribbled over: what is published isn't blank.
                Some(Difference::Blank) if state.is_ready() => {
                    // SAFETY: as above.
                    let found = unsafe { self.identity() };
                    match found.difference(&ours) {
                        Some(blank @ Difference::Blank) => return Err(self.refused(blank, &found)),
                        _ if is_in_vain() => return Err(self.not_ready(started)), // now blank, now not: somebody scribbles
                        _ => continue,
                    }
                }
                None | Some(Difference::Blank | Difference::EarlierBoot) => {}
                Some(difference) => return Err(self.refused(difference, &found)),
            }
            let patience = Patience::for_duration(PATIENCE.saturating_sub(started.elapsed()));
            if matches!(found.difference(&ours), Some(Difference::EarlierBoot)) {
                state.leave_earlier_boot()?;
            }
            let task = match state.enter(patience) {
                Ok(Entered::Ready) if is_in_vain() => return Err(self.not_ready(started)), // now and again: somebody scribbles
                Ok(Entered::Ready) => continue,
                Ok(Entered::Mine(held)) => Task { state, held: Some(held) },
                Err(Refused::Failed(error)) => return Err(error),
                Err(_) => return Err(self.not_ready(started)),
            };
            // SAFETY: as above.
            match (unsafe { self.identity() }.difference(&ours), fill.take()) {
                // Whoever worked on it died between its last store and publishing.
                (None, _) => task.publish()?,
                // SAFETY: the state word is ours: everybody else waits for it.
                (Some(Difference::EarlierBoot), _) => unsafe { self.reset(task, &ours) }?,
                (Some(Difference::Blank), Some(fill)) => {
                    // SAFETY: as above.
                    unsafe {
                        self.write(fill)?;
                        task.publish()?;
                        return Ok((self.cell.as_ref(), Finished::Here));
                    }
                }
                (Some(_), again) => {
                    fill = again;
                    drop(task);
                    if started.elapsed() >= PATIENCE {
                        return Err(self.not_ready(started));
                    }
                    thread::sleep(GLANCE);
                }
            }
        }
        self.check_length(size_of::<ShmCell<T>>())?;
        // SAFETY: published, checked, mapped for 'a.
        Ok((unsafe { self.cell.as_ref() }, Finished::Elsewhere))
    }

    /// The cell, if it is published and one of this process's.
    ///
    /// # Safety
    ///
    /// The memory is mapped for `'a`.
    pub(crate) unsafe fn finished<'a>(&self) -> Option<&'a ShmCell<T>> {
        // SAFETY: the caller's promise.
        let same = unsafe { self.identity() }.difference(&self.ours().ok()?).is_none();
        // SAFETY: as above.
        let ready = same && unsafe { self.state() }.is_ready() && self.check_length(size_of::<ShmCell<T>>()).is_ok();
        if !ready {
            return None;
        }
        // SAFETY: published, checked, mapped for 'a.
        Some(unsafe { self.cell.as_ref() })
    }

    fn not_ready(&self, started: Instant) -> Error {
        Error::NotReady { what: self.what.clone(), waited: started.elapsed() }
    }

    fn check_length(&self, needed: usize) -> Result<()> {
        if self.len < needed || !self.cell.addr().get().is_multiple_of(ShmCell::<T>::align()) {
            let address = self.cell.addr().get();
            return Err(Error::BadMemory { address, len: self.len, needed, align: ShmCell::<T>::align() });
        }
        Ok(())
    }

    /// Writes identity, value and table, and settles the locks.
    ///
    /// # Safety
    ///
    /// The memory is mapped and writable, and nobody else uses it.
    unsafe fn write(&self, fill: impl Fill<T>) -> Result<()> {
        let table = T::TYPE.table();
        let ours = self.ours()?;
        self.check_length(ShmCell::<T>::size())?;
        let base = self.cell.as_ptr();
        // SAFETY: everything is within the memory, whose length was checked above.
        unsafe {
            fill.fill((*base).value.get())?;
            (*base).settle()?;
            base.cast::<u8>().add(ShmCell::<T>::table_at()).copy_from_nonoverlapping(table.as_ptr(), table.len());
            ours.write(&raw mut (*base).header.identity);
        }
        Ok(())
    }

    /// Frees and poisons the locks of an earlier boot.
    ///
    /// # Safety
    ///
    /// The memory is mapped and writable, it holds a finished cell, and nobody else uses it.
    unsafe fn reset(&self, task: Task<'_>, ours: &Identity) -> Result<()> {
        self.check_length(size_of::<ShmCell<T>>())?;
        // SAFETY: the caller's promise.
        unsafe {
            let cell = self.cell.as_ref();
            // Another process may have done it while this one came here.
            if let Some(Difference::EarlierBoot) = self.identity().difference(ours) {
                cell.each_lock(&mut |lock| lock.reset())?;
                ours.write_boot(&raw mut (*self.header()).identity);
            }
            task.publish()
        }
    }

    fn refused(&self, difference: Difference, found: &Identity) -> Error {
        header::refused(&self.what, difference, || self.first_difference(found))
    }

    /// The first row in which the cell's table of fields differs from this build's.
    fn first_difference(&self, found: &Identity) -> Option<Error> {
        let (at, len) = (usize::try_from(found.table_at).ok()?, usize::try_from(found.table_len).ok()?);
        if at.checked_add(len)? > self.len {
            return None;
        }
        let ours = T::TYPE.table();
        let mut bytes = vec![0_u8; len.min(LONGEST_TABLE.max(ours.len()))];
        for (i, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: within the memory, checked above; others may be writing, hence volatile.
            *byte = unsafe { self.cell.as_ptr().cast::<u8>().add(at + i).read_volatile() };
        }
        let theirs = String::from_utf8_lossy(&bytes);
        Type::first_difference(&theirs, &ours)
            .map(|(field, found, expected)| Error::mismatch(self.what.clone(), field, found, expected))
    }
}

/// Who made a cell ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    /// This call.
    Here,
    /// Somebody before it.
    Elsewhere,
}

/// A state word that this thread has taken. Dropped unpublished, it lets the next one try.
struct Task<'a> {
    state: &'a crate::backend::futex::RobustWord,
    held: Option<Held>,
}

impl Task<'_> {
    fn publish(mut self) -> Result<()> {
        match self.held.take() {
            // SAFETY: taken by the one who made this Task, used once.
            Some(held) => unsafe { self.state.publish(held) },
            None => Ok(()),
        }
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            // SAFETY: as above.
            unsafe { self.state.unlock(held) };
        }
    }
}

const _: () = assert!(offset_of!(ShmCell<u64>, value) == size_of::<Header>());
