//! [`ShmVec`]: a list of a fixed capacity.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::{MaybeUninit, offset_of};
use std::ops::{Deref, DerefMut};
use std::{ptr, slice};

use super::Len;
use crate::cell::layout::{Field, Type};
use crate::cell::safe::{ShmData, ShmSafe};
use crate::error::{Error, Result};

/// A list of at most `N` items that may stand inside a lock: the length and the items themselves, no pointer.
///
/// It reads as a slice and has `Vec`'s methods, except that what doesn't fit is an error, changes nothing, and gives back
/// what it was given. Like `Vec`'s, its methods panic only where an index is out of range.
///
/// ```
/// use pshared::ShmVec;
///
/// let mut jobs = ShmVec::<u32, 3>::try_from(&[5, 6][..])?;
/// jobs.push(7)?;
/// assert_eq!(jobs.push(8).unwrap_err().into_inner(), 8);
/// assert_eq!(jobs.remove(0), 5);
/// assert_eq!(jobs, [6, 7]);
/// assert_eq!(jobs.iter().sum::<u32>(), 13);
/// # Ok::<(), pshared::Error>(())
/// ```
///
/// # Sound for any length
///
/// A process may be killed in the middle of writing, and a peer may write nonsense. Therefore the stored length is cut
/// down to `N` at each access, and every slot always holds a valid `T`: zeros at the start, later whatever was put there.
/// So a torn list is one of another length, some of whose items are zeros, removed earlier, or mixtures of two items.
/// Types for which zeros are no value, enums without a variant of value 0, are refused when the program is compiled:
///
/// ```compile_fail
/// # use pshared::{ShmData, ShmSafe, ShmVec, Type};
/// #[repr(u8)]
/// enum Level { Low = 1, High = 2 }
/// # unsafe impl ShmSafe for Level {
/// #     const TYPE: Type = Type::fieldless_enum::<Self>("Level", "u8", &[("Low", 1), ("High", 2)]);
/// # }
/// # unsafe impl ShmData for Level {}
/// let levels = ShmVec::<Level, 4>::new();
/// ```
///
/// Beyond that, the items are as safe from a hostile peer as `T` is by itself: a list of integers takes any bytes, a
/// `bool` that a peer overwrites with 2 is as bad in a list as it is beside one.
///
/// A writer killed in [`push`](ShmVec::push), [`extend_from_slice`](ShmVec::extend_from_slice), [`pop`](ShmVec::pop),
/// [`truncate`](ShmVec::truncate) or [`clear`](ShmVec::clear) has changed all or nothing. One killed in another method or
/// in `*guard = …` leaves a torn list.
#[repr(C)]
pub struct ShmVec<T: ShmData, const N: usize> {
    len: Len,
    items: [T; N],
}

// SAFETY: repr(C) of a u32 and an array of what is ShmSafe, which TYPE describes at their offsets; no address inside,
// nothing of ours changes through `&self`, and T, being ShmData, has no lock to show.
unsafe impl<T: ShmData, const N: usize> ShmSafe for ShmVec<T, N> {
    const TYPE: Type = {
        assert_zero_is_valid::<T>();
        Type::structure::<Self>(
            "ShmVec",
            const {
                &[
                    Field::new::<u32>("len", offset_of!(Self, len)),
                    Field::new::<[T; N]>("items", offset_of!(Self, items)),
                ]
            },
        )
    };
}

// SAFETY: besides the above, a mixture of two lists has a length that may be anything, which is clamped at each access,
// and slots that are mixtures of slots: values of T by invariant 1 and T's own promise.
unsafe impl<T: ShmData, const N: usize> ShmData for ShmVec<T, N> {}

static_assertions::assert_eq_size!(ShmVec<u16, 6>, [u32; 4]);
static_assertions::assert_eq_size!(ShmVec<u64, 3>, [u64; 4]);
static_assertions::assert_eq_align!(ShmVec<u64, 3>, u64);
static_assertions::assert_eq_align!(ShmVec<u8, 3>, u32);
static_assertions::assert_impl_all!(ShmVec<u64, 3>: ShmData, Copy, Send, Sync, Unpin);

/// Invariant 1 starts from zeros, which a new region gives without asking.
const fn assert_zero_is_valid<T: ShmData>() {
    assert!(
        T::TYPE.zeroed_is_a_value(),
        "a ShmVec holds no type for which zero bytes are no value: give the enum a variant with the value 0"
    );
}

impl<T: ShmData, const N: usize> ShmVec<T, N> {
    /// An empty list.
    pub const fn new() -> Self {
        const { assert_zero_is_valid::<T>() };
        // SAFETY: zeros are a value of T, as just asserted of its TYPE, which is true by ShmSafe's contract; so they are
        // of the array.
        let items = unsafe { MaybeUninit::<[T; N]>::zeroed().assume_init() };
        ShmVec { len: Len::ZERO, items }
    }

    /// The number of items it can hold, `N`.
    pub const fn capacity(&self) -> usize {
        N
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.len.get::<N>()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room for another item.
    pub fn is_full(&self) -> bool {
        self.len() == N
    }

    /// The items.
    pub fn as_slice(&self) -> &[T] {
        &self.items[..self.len()]
    }

    /// The items, mutably.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        let len = self.len();
        &mut self.items[..len]
    }

    /// Appends `item`, or gives it back in the error.
    pub fn push(&mut self, item: T) -> Result<(), CapacityError<T>> {
        let len = self.len();
        match self.items.get_mut(len) {
            Some(slot) => *slot = item,
            None => return Err(CapacityError { item, capacity: N }),
        }
        self.len.set::<N>(len + 1);
        Ok(())
    }

    /// Appends clones of `items`, all of them or, with an error, none.
    pub fn extend_from_slice(&mut self, items: &[T]) -> Result<()>
    where
        T: Clone,
    {
        let len = self.len();
        let needed = len.saturating_add(items.len());
        let Some(slots) = self.items.get_mut(len..needed) else {
            return Err(full(N, needed));
        };
        slots.clone_from_slice(items);
        self.len.set::<N>(needed);
        Ok(())
    }

    /// Appends what `items` yields; the first for which there is no room comes back in the error, those before it stay.
    /// Pass `items.by_ref()` to keep those after it.
    pub fn try_extend(&mut self, items: impl IntoIterator<Item = T>) -> Result<(), CapacityError<T>> {
        items.into_iter().try_for_each(|item| self.push(item))
    }

    /// Removes the last item and returns it.
    pub fn pop(&mut self) -> Option<T> {
        let last = self.len().checked_sub(1)?;
        Some(self.take_last(last))
    }

    /// Takes the item at `last`, the end of the list, out of it.
    fn take_last(&mut self, last: usize) -> T {
        self.len.set::<N>(last);
        // SAFETY: the slot is in the array, whose bounds are checked, and holds a value (invariant 1). That the value
        // stays there as well does no harm: nothing is dropped, as ShmSafe asserts, the slot no longer counts, and should
        // a tear make it count again, it is a value that ShmData allows to appear.
        unsafe { ptr::read(&raw const self.items[last]) }
    }

    /// Puts `item` before the item at `index`, or gives it back in the error.
    ///
    /// # Panics
    ///
    /// If `index` is past the end.
    pub fn insert(&mut self, index: usize, item: T) -> Result<(), CapacityError<T>> {
        let len = self.len();
        assert!(index <= len, "can't insert at {index} into a list of {len}");
        self.push(item)?;
        self.items[index..=len].rotate_right(1);
        Ok(())
    }

    /// Removes the item at `index` and returns it; those after it move up.
    ///
    /// # Panics
    ///
    /// If `index` is at or past the end.
    pub fn remove(&mut self, index: usize) -> T {
        self.remove_by(index, |tail| tail.rotate_left(1))
    }

    /// Removes the item at `index` and returns it; the last one takes its place.
    ///
    /// # Panics
    ///
    /// If `index` is at or past the end.
    pub fn swap_remove(&mut self, index: usize) -> T {
        self.remove_by(index, |tail| tail.swap(0, tail.len() - 1))
    }

    /// Removes the item at `index`, once `to_end` has moved it from the start of the slice to its end.
    fn remove_by(&mut self, index: usize, to_end: impl FnOnce(&mut [T])) -> T {
        let len = self.len();
        assert!(index < len, "can't remove item {index} of a list of {len}");
        to_end(&mut self.items[index..len]);
        self.take_last(len - 1)
    }

    /// Removes all items after the first `len`; does nothing where there are no more.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.len.set::<N>(len);
        }
    }

    /// Removes all items.
    pub fn clear(&mut self) {
        self.len.set::<N>(0);
    }

    /// Removes the items for which `keep` says no, and keeps the order of the others.
    ///
    /// Where `keep` panics, nothing is removed, but the order may have changed.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let mut kept = 0;
        let items = self.as_mut_slice();
        for i in 0..items.len() {
            if keep(&items[i]) {
                items.swap(kept, i);
                kept += 1;
            }
        }
        self.len.set::<N>(kept);
    }
}

#[cold]
fn full(capacity: usize, needed: usize) -> Error {
    Error::Full { what: "items in a ShmVec", capacity, needed }
}

/// An item for which a [`ShmVec`] had no room. `?` turns it into [`Error::Full`].
pub struct CapacityError<T> {
    item: T,
    capacity: usize,
}

impl<T> CapacityError<T> {
    /// The item.
    pub fn into_inner(self) -> T {
        self.item
    }
}

impl<T> From<CapacityError<T>> for Error {
    fn from(error: CapacityError<T>) -> Error {
        full(error.capacity, error.capacity.saturating_add(1))
    }
}

impl<T> fmt::Debug for CapacityError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CapacityError").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for CapacityError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        full(self.capacity, self.capacity.saturating_add(1)).fmt(f)
    }
}

impl<T> std::error::Error for CapacityError<T> {}

impl<T: ShmData + Clone, const N: usize> Clone for ShmVec<T, N> {
    fn clone(&self) -> Self {
        let mut clone = Self::new();
        // Not the slots beyond the length: their leftovers are nobody's business.
        let items = self.as_slice();
        clone.items[..items.len()].clone_from_slice(items);
        clone.len.set::<N>(items.len());
        clone
    }
}

impl<T: ShmData + Copy, const N: usize> Copy for ShmVec<T, N> {}

impl<T: ShmData, const N: usize> Default for ShmVec<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: ShmData, const N: usize> Deref for ShmVec<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T: ShmData, const N: usize> DerefMut for ShmVec<T, N> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.as_mut_slice()
    }
}

impl<T: ShmData + Clone, const N: usize> TryFrom<&[T]> for ShmVec<T, N> {
    type Error = Error;

    fn try_from(items: &[T]) -> Result<Self> {
        let mut list = Self::new();
        list.extend_from_slice(items)?;
        Ok(list)
    }
}

impl<'a, T: ShmData, const N: usize> IntoIterator for &'a ShmVec<T, N> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T: ShmData, const N: usize> IntoIterator for &'a mut ShmVec<T, N> {
    type Item = &'a mut T;
    type IntoIter = slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<T: ShmData + fmt::Debug, const N: usize> fmt::Debug for ShmVec<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

impl<T: ShmData, const N: usize> AsRef<[T]> for ShmVec<T, N> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T: ShmData, const N: usize> AsMut<[T]> for ShmVec<T, N> {
    fn as_mut(&mut self) -> &mut [T] {
        self
    }
}

// Eq, Ord and Hash are those of the slice.
impl<T: ShmData, const N: usize> Borrow<[T]> for ShmVec<T, N> {
    fn borrow(&self) -> &[T] {
        self
    }
}

impl<T: ShmData + PartialEq<U>, U: ShmData, const N: usize, const M: usize> PartialEq<ShmVec<U, M>> for ShmVec<T, N> {
    fn eq(&self, other: &ShmVec<U, M>) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<T: ShmData + Eq, const N: usize> Eq for ShmVec<T, N> {}

macro_rules! equals_list {
    ($([$($more:tt)*] $list:ty),* $(,)?) => { $(
        impl<T: ShmData + PartialEq<U>, U, const N: usize, $($more)*> PartialEq<$list> for ShmVec<T, N> {
            fn eq(&self, other: &$list) -> bool {
                self.as_slice() == &other[..]
            }
        }
    )* };
}
equals_list!([] [U], [] &[U], [const M: usize] [U; M], [const M: usize] &[U; M], [] Vec<U>);

impl<T: ShmData + PartialOrd, const N: usize, const M: usize> PartialOrd<ShmVec<T, M>> for ShmVec<T, N> {
    fn partial_cmp(&self, other: &ShmVec<T, M>) -> Option<Ordering> {
        self.as_slice().partial_cmp(other.as_slice())
    }
}

impl<T: ShmData + Ord, const N: usize> Ord for ShmVec<T, N> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl<T: ShmData + Hash, const N: usize> Hash for ShmVec<T, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}
