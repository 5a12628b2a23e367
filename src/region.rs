//! Regions: memory that several processes map. They know nothing of cells or locks.
//!
//! | region | found by | appears | goes away |
//! |---|---|---|---|
//! | [`Posix`] | a name, in `/dev/shm` | filled | [`remove`](Region::remove), reboot |
//! | [`File`] | a path | filled | [`remove`](Region::remove) |
//! | [`SysV`] | a key | at once, as zeros | [`remove`](Region::remove), reboot |
//! | [`Memfd`] | its descriptor, handed over a Unix socket | filled | with its last descriptor and mapping |
//! | [`Anonymous`] | nobody but forked children | filled | with its last mapping |
//!
//! All are readable, writable, shared and page-aligned. Their space is reserved when they are made, so too little of it
//! is an error then and no SIGBUS later. A process killed while it makes one leaves nothing behind, except that a
//! [`SysV`] segment stays, for whoever creates it next to finish.

mod anonymous;
mod entry;
mod file;
mod mapping;
mod memfd;
mod posix;
mod space;
mod sysv;

pub use anonymous::Anonymous;
pub use file::File;
pub use mapping::{Mapping, Staged, Visibility};
pub use memfd::Memfd;
pub use posix::Posix;
pub use sysv::SysV;

use nix::errno::Errno;

use crate::error::{Error, Result};
use crate::sys;

/// A place for shared memory: what a cell is created in, opened from and removed from.
///
/// The five implementors are [`Posix`], [`File`], [`SysV`], [`Memfd`] and [`Anonymous`]. Their values only say where;
/// dropping one removes nothing.
pub trait Region {
    /// What error messages call the region, such as ``shared memory `stats` ``.
    fn describe(&self) -> String;

    /// Maps what exists, all of it; [`Error::NotFound`] if nothing does.
    fn open(&self) -> Result<Mapping>;

    /// Reserves and maps `len` bytes of zeros that wait to be filled and [published](Staged::publish).
    ///
    /// Whether somebody can find them before that is told by [`Staged::visibility`].
    fn stage(&self, len: usize) -> Result<Staged>;

    /// Removes the name, so that nobody finds the region any more; whoever has it mapped keeps it.
    ///
    /// [`Error::NotFound`] if nothing has that name. [`Memfd`] and [`Anonymous`] have none to remove: they go away by
    /// themselves, and this only says whether they exist.
    fn remove(&self) -> Result<()>;

    /// How many bytes [`open`](Region::open) would map; [`Error::NotFound`] if nothing exists.
    fn size(&self) -> Result<usize>;
}

static_assertions::assert_obj_safe!(Region);
static_assertions::assert_impl_all!(Posix: Send, Sync, Clone);
static_assertions::assert_impl_all!(File: Send, Sync, Clone);
static_assertions::assert_impl_all!(SysV: Send, Sync, Clone);
static_assertions::assert_impl_all!(Memfd: Send, Sync, Clone);
static_assertions::assert_impl_all!(Anonymous: Send, Sync, Clone);
static_assertions::assert_impl_all!(Staged: Send, Sync);

/// The permissions of a region whose user asked for none: its owner's alone.
const PRIVATE: u32 = 0o600;

fn checked_mode(mode: u32, what: &str) -> Result<u32> {
    if mode & !0o777 != 0 {
        return Err(unsupported(what, "its mode has more than the nine permission bits; write it in octal, as 0o640"));
    }
    Ok(mode)
}

fn not_found(what: &str) -> Error {
    Error::NotFound { what: what.into() }
}

fn already_exists(what: &str) -> Error {
    Error::AlreadyExists { what: what.into() }
}

fn unsupported(what: &str, why: &'static str) -> Error {
    Error::Unsupported { what: what.into(), why }
}

/// An [`Error::Os`] with the advice that fits the errno whatever the region is.
fn failed(call: &'static str, what: &str, errno: Errno) -> Error {
    let advice = match errno {
        Errno::EACCES | Errno::EPERM => "ask its owner for read and write permission, which mode() gives",
        Errno::ENOSPC | Errno::EDQUOT => "no space is left there: free some, or ask for less",
        Errno::ENOMEM => "memory is short: free some, or ask for less",
        Errno::EFBIG => "files may not become that long: ask for less, or raise RLIMIT_FSIZE (ulimit -f)",
        Errno::EMFILE | Errno::ENFILE => "too many files are open: close some, or raise RLIMIT_NOFILE (ulimit -n)",
        Errno::ENAMETOOLONG => "choose a shorter name",
        Errno::EROFS => "nothing can be written there, choose another place",
        Errno::ENOTDIR => "part of the path is no directory, correct it",
        Errno::ENOENT => "create its directory first",
        _ => "the call's man page tells what this errno means",
    };
    sys::failed(call, what, errno, advice)
}
