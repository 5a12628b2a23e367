//! The header: what the memory holds, who made it where, and whether it is finished.
//!
//! A format: sizes and offsets are asserted, and every difference is refused at attach with its name. What stands here
//! may be scribbled over by a peer at any time, so it is copied out once and the copy is judged.

use std::mem::{offset_of, size_of};
use std::sync::atomic::{Ordering, fence};

use crate::backend::futex::RobustWord;
use crate::backend::futex::process::pid_namespace;
use crate::error::{Error, Result};
use crate::sys;
use crate::sys::machine::{self, Libc};

/// `\x7f` keeps it from being text.
const MAGIC: [u8; 8] = *b"\x7fpshared";

/// Changes whenever the layout of the header, of the table or of a lock does.
pub(crate) const FORMAT: u32 = 1;

/// Reads as another number where bytes are swapped.
const ENDIANNESS: u8 = if cfg!(target_endian = "little") { 1 } else { 2 };

/// In front of the value, on a cache line of its own.
#[repr(C, align(64))]
#[derive(Debug)]
pub(super) struct Header {
    pub(super) identity: Identity,
    /// Unfinished, being finished, or published.
    pub(super) state: RobustWord,
}

/// Plain bytes without padding: any contents are a value.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    magic: [u8; 8],
    format: u32,
    pointer_bits: u8,
    endianness: u8,
    libc: u8,
    reserved: u8,
    /// The type's structure, see [`Type::fingerprint`](crate::Type::fingerprint).
    fingerprint: u64,
    /// The value's size in bytes.
    size: u64,
    /// Where the table of fields starts, in bytes from the start of the header.
    pub(super) table_at: u64,
    /// How long it is, in bytes.
    pub(super) table_len: u64,
    /// Which boot of the machine the locks belong to.
    pub(super) boot: [u8; 16],
    /// The inode number of the pid namespace that thread ids belong to.
    namespace: u64,
}

static_assertions::const_assert_eq!(size_of::<Identity>(), 72);
static_assertions::const_assert_eq!(size_of::<Header>(), 128);
static_assertions::const_assert_eq!(offset_of!(Header, state), 72);

/// How a cell differs from what this process would have made.
pub(super) enum Difference {
    /// The memory was never written.
    Blank,
    /// One part of the header, as found and as expected.
    Field { field: &'static str, found: String, expected: String },
    /// The type's structure: the table of fields can tell where.
    Structure { found: u64, expected: u64 },
    /// Another pid namespace.
    Namespace { theirs: u64, ours: u64 },
    /// The same in all but the boot: the owners of its locks are no more.
    EarlierBoot,
}

impl Identity {
    /// What this process writes for a value of `size` bytes, with its table at `table_at`.
    pub(super) fn of_this_process(
        fingerprint: u64,
        size: usize,
        table_at: usize,
        table_len: usize,
    ) -> Result<Identity> {
        let boot = machine::boot_id().map_err(|e| {
            sys::failed("read", "/proc/sys/kernel/random/boot_id", e, "mount /proc: it tells one boot from the next")
        })?;
        Ok(Identity {
            magic: MAGIC,
            format: FORMAT,
            pointer_bits: usize::BITS as u8,
            endianness: ENDIANNESS,
            libc: machine::libc() as u8,
            reserved: 0,
            fingerprint,
            size: size as u64,
            table_at: table_at as u64,
            table_len: table_len as u64,
            boot,
            namespace: pid_namespace()?,
        })
    }

    /// Writes the identity of a finished value. The magic number comes last: killed before it, the memory is blank.
    ///
    /// # Safety
    ///
    /// `at` is valid for writing, and nobody else writes there.
    pub(super) unsafe fn write(self, at: *mut Identity) {
        // SAFETY: the caller's promise; `magic` is the first field, 8 bytes, and aligned like the whole.
        unsafe {
            at.write_volatile(Identity { magic: [0; 8], ..self });
            fence(Ordering::Release);
            at.cast::<u64>().write_volatile(u64::from_ne_bytes(self.magic));
        }
    }

    /// Moves the identity of a finished value to this boot. The boot comes last: killed before it is whole, the cell is
    /// still of an earlier boot.
    ///
    /// # Safety
    ///
    /// As [`write`](Identity::write).
    pub(super) unsafe fn write_boot(self, at: *mut Identity) {
        // SAFETY: the caller's promise.
        unsafe {
            (&raw mut (*at).namespace).write_volatile(self.namespace);
            fence(Ordering::Release);
            (&raw mut (*at).boot).write_volatile(self.boot);
        }
    }

    /// The first difference from `ours`, if there is any.
    pub(super) fn difference(&self, ours: &Identity) -> Option<Difference> {
        if self.magic == [0; 8] {
            return Some(Difference::Blank);
        }
        let field = |field, found: String, expected: String| Some(Difference::Field { field, found, expected });
        let number = |name, found: u64, expected: u64| field(name, found.to_string(), expected.to_string());
        if self.magic != ours.magic {
            return field("the magic number", self.magic.escape_ascii().to_string(), MAGIC.escape_ascii().to_string());
        }
        if self.format != ours.format {
            return number("the format version", self.format.into(), ours.format.into());
        }
        if self.pointer_bits != ours.pointer_bits {
            return number("the pointer width in bits", self.pointer_bits.into(), ours.pointer_bits.into());
        }
        if self.endianness != ours.endianness {
            let name = |code| if code == 1 { "little".into() } else { "big".into() };
            return field("the byte order", name(self.endianness), name(ours.endianness));
        }
        if self.libc != ours.libc {
            return field("the C library", Libc::describe(self.libc), Libc::describe(ours.libc));
        }
        if self.fingerprint != ours.fingerprint {
            return Some(Difference::Structure { found: self.fingerprint, expected: ours.fingerprint });
        }
        if self.size != ours.size {
            return number("the value's size in bytes", self.size, ours.size);
        }
        if self.boot != ours.boot {
            return Some(Difference::EarlierBoot);
        }
        if self.namespace != ours.namespace {
            return Some(Difference::Namespace { theirs: self.namespace, ours: ours.namespace });
        }
        None
    }
}

/// Turns what can only be refused into the error that says so.
pub(super) fn refused(what: &str, difference: Difference, first_difference: impl FnOnce() -> Option<Error>) -> Error {
    match difference {
        Difference::Blank => Error::mismatch(what, "the magic number", "zero", MAGIC.escape_ascii()),
        Difference::Field { field, found, expected } => Error::mismatch(what, field, found, expected),
        Difference::Structure { found, expected } => first_difference().unwrap_or_else(|| {
            Error::mismatch(what, "the type's fingerprint", format!("{found:#018x}"), format!("{expected:#018x}"))
        }),
        Difference::Namespace { theirs, ours } => Error::PidNamespace { what: what.into(), theirs, ours },
        Difference::EarlierBoot => Error::mismatch(what, "the boot", "an earlier one", "this one"),
    }
}
