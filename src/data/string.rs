//! [`ShmString`]: text of a fixed capacity.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::offset_of;
use std::ops::{Deref, DerefMut};
use std::str::FromStr;

use super::Len;
use crate::cell::layout::{Field, Type};
use crate::cell::safe::{ShmData, ShmSafe};
use crate::error::{Error, Result};

/// Text of at most `N` bytes that may stand inside a lock: the length and the bytes themselves, no pointer.
///
/// It reads as a `str` and has `String`'s methods, except that what doesn't fit is an [`Error::Full`] and changes
/// nothing. Like `String`'s, its methods panic only where an index is out of range or inside a character.
///
/// ```
/// use std::fmt::Write;
/// use pshared::ShmString;
///
/// let mut name = ShmString::<16>::try_from("worker")?;
/// write!(name, " {}", 7)?;
/// assert_eq!(name, "worker 7");
/// assert!(name.push_str(" of many more").is_err());
/// assert_eq!(name, "worker 7");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Sound for any bytes
///
/// A process may be killed in the middle of writing, and a peer may write nonsense. Therefore every access looks at the
/// stored length and at the bytes anew: the string is **the longest valid UTF-8 that starts at the first byte** and ends
/// within the stored length and the capacity. So a torn string is a shorter one, or one that mixes two texts, and always
/// a `str`; what is appended follows that text and replaces the rest. [`stored_bytes`](ShmString::stored_bytes) shows all that is
/// there. Zeros are the empty string.
///
/// A writer killed in [`push`](ShmString::push), [`push_str`](ShmString::push_str), [`pop`](ShmString::pop),
/// [`truncate`](ShmString::truncate) or [`clear`](ShmString::clear) has changed all or nothing. One killed
/// in another method or in `*guard = …` leaves a torn string.
///
/// What no type can help against is a peer that writes without the lock while a `&str` is lent out: from one that may, take
/// a copy (the type is `Copy`) and read that.
///
/// Checking takes time in proportion to the length: where a string is read often under one lock, keep the `&str`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ShmString<const N: usize> {
    len: Len,
    bytes: [u8; N],
}

// SAFETY: repr(C) of a u32 and bytes, which TYPE describes at their offsets; no address inside, nothing changes through
// `&self`, no lock inside.
unsafe impl<const N: usize> ShmSafe for ShmString<N> {
    const TYPE: Type = Type::structure::<Self>(
        "ShmString",
        const { &[Field::new::<u32>("len", offset_of!(Self, len)), Field::new::<[u8; N]>("bytes", offset_of!(Self, bytes))] },
    );
}

// SAFETY: besides the above, every bit pattern is a value: the length is clamped and the bytes are checked at each
// access.
unsafe impl<const N: usize> ShmData for ShmString<N> {}

static_assertions::assert_eq_size!(ShmString<12>, [u32; 4]);
static_assertions::assert_eq_size!(ShmString<0>, u32);
static_assertions::assert_eq_align!(ShmString<13>, u32);
static_assertions::assert_impl_all!(ShmString<12>: ShmData, Copy, Send, Sync, Unpin);

impl<const N: usize> ShmString<N> {
    /// An empty string.
    pub const fn new() -> Self {
        ShmString { len: Len::ZERO, bytes: [0; N] }
    }

    /// The number of bytes it can hold, `N`.
    pub const fn capacity(&self) -> usize {
        N
    }

    /// The number of bytes of the text.
    pub fn len(&self) -> usize {
        self.as_str().len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.as_str().is_empty()
    }

    /// The text: of a torn string, what is valid of it from the start.
    pub fn as_str(&self) -> &str {
        let stored = self.stored_bytes();
        str::from_utf8(stored).unwrap_or_else(|torn| valid_prefix(&stored[..torn.valid_up_to()]))
    }

    /// The text, mutably.
    pub fn as_mut_str(&mut self) -> &mut str {
        let len = self.len();
        str::from_utf8_mut(&mut self.bytes[..len]).unwrap_or_default()
    }

    /// The bytes up to the stored length, those included that a torn string has after its valid text; longer than
    /// [`as_bytes`](str::as_bytes) exactly if the text ends in something invalid.
    pub fn stored_bytes(&self) -> &[u8] {
        &self.bytes[..self.len.get::<N>()]
    }

    /// Appends `c`.
    pub fn push(&mut self, c: char) -> Result<()> {
        self.push_str(c.encode_utf8(&mut [0; 4]))
    }

    /// Appends `text`, all of it or, with an error, nothing.
    pub fn push_str(&mut self, text: &str) -> Result<()> {
        let end = self.len();
        let needed = end + text.len();
        if needed > N {
            return Err(full(N, needed));
        }
        // First away with what a tear left: else bytes that are being written would count already.
        self.len.set::<N>(end);
        self.bytes[end..needed].copy_from_slice(text.as_bytes());
        self.len.set::<N>(needed);
        Ok(())
    }

    /// Removes the last character and returns it.
    pub fn pop(&mut self) -> Option<char> {
        let mut chars = self.as_str().chars();
        let last = chars.next_back()?;
        let len = chars.as_str().len();
        self.len.set::<N>(len);
        Some(last)
    }

    /// Cuts the text off after `len` bytes; does nothing where it is no longer than that.
    ///
    /// # Panics
    ///
    /// If `len` is inside a character.
    pub fn truncate(&mut self, len: usize) {
        let text = self.as_str();
        if len < text.len() {
            assert!(text.is_char_boundary(len), "can't cut text at byte {len}: it is inside a character");
            self.len.set::<N>(len);
        }
    }

    /// Removes all text.
    pub fn clear(&mut self) {
        self.len.set::<N>(0);
    }

    /// Puts `c` before the byte `index`.
    ///
    /// # Panics
    ///
    /// If `index` is past the end or inside a character.
    pub fn insert(&mut self, index: usize, c: char) -> Result<()> {
        self.insert_str(index, c.encode_utf8(&mut [0; 4]))
    }

    /// Puts `text` before the byte `index`, all of it or, with an error, nothing.
    ///
    /// # Panics
    ///
    /// If `index` is past the end or inside a character.
    pub fn insert_str(&mut self, index: usize, text: &str) -> Result<()> {
        let old = self.as_str();
        assert!(old.is_char_boundary(index), "can't insert at byte {index}: it is past the end or inside a character");
        let end = old.len() + text.len();
        self.push_str(text)?;
        self.bytes[index..end].rotate_right(text.len());
        Ok(())
    }

    /// Removes the character at the byte `index` and returns it.
    ///
    /// # Panics
    ///
    /// If `index` is at or past the end, or inside a character.
    pub fn remove(&mut self, index: usize) -> char {
        let text = self.as_str();
        let end = text.len();
        let removed =
            text[index..].chars().next().expect("can't remove a character at the end of the text: there is none");
        self.bytes[index..end].rotate_left(removed.len_utf8());
        self.len.set::<N>(end - removed.len_utf8());
        removed
    }
}

/// Bytes that were found valid, as text.
#[cold]
fn valid_prefix(bytes: &[u8]) -> &str {
    // Checked once more, which only a torn string pays for, rather than trusted.
    str::from_utf8(bytes).unwrap_or_default()
}

#[cold]
fn full(capacity: usize, needed: usize) -> Error {
    Error::Full { what: "bytes in a ShmString", capacity, needed }
}

impl<const N: usize> Default for ShmString<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Deref for ShmString<N> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> DerefMut for ShmString<N> {
    fn deref_mut(&mut self) -> &mut str {
        self.as_mut_str()
    }
}

impl<const N: usize> TryFrom<&str> for ShmString<N> {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self> {
        let mut string = Self::new();
        string.push_str(text)?;
        Ok(string)
    }
}

impl<const N: usize> FromStr for ShmString<N> {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::try_from(text)
    }
}

/// A piece that doesn't fit is left out whole and fails; the pieces before it stay.
impl<const N: usize> fmt::Write for ShmString<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text).map_err(|_| fmt::Error)
    }
}

impl<const N: usize> fmt::Debug for ShmString<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> fmt::Display for ShmString<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl<const N: usize> AsRef<str> for ShmString<N> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> AsRef<[u8]> for ShmString<N> {
    fn as_ref(&self) -> &[u8] {
        self.as_str().as_bytes()
    }
}

// Eq, Ord and Hash are those of the text.
impl<const N: usize> Borrow<str> for ShmString<N> {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize, const M: usize> PartialEq<ShmString<M>> for ShmString<N> {
    fn eq(&self, other: &ShmString<M>) -> bool {
        self.as_str() == other.as_str()
    }
}

impl<const N: usize> Eq for ShmString<N> {}

macro_rules! equals_text {
    ($($text:ty),*) => { $(
        impl<const N: usize> PartialEq<$text> for ShmString<N> {
            fn eq(&self, other: &$text) -> bool {
                let other: &str = other;
                self.as_str() == other
            }
        }

        impl<const N: usize> PartialEq<ShmString<N>> for $text {
            fn eq(&self, other: &ShmString<N>) -> bool {
                other == self
            }
        }
    )* };
}
equals_text!(str, &str, String);

impl<const N: usize, const M: usize> PartialOrd<ShmString<M>> for ShmString<N> {
    fn partial_cmp(&self, other: &ShmString<M>) -> Option<Ordering> {
        Some(self.as_str().cmp(other.as_str()))
    }
}

impl<const N: usize> Ord for ShmString<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl<const N: usize> Hash for ShmString<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}
