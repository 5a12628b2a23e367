//! Memory that is mapped: [`Mapping`], and [`Staged`] while it waits to be published.

use std::fmt;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use nix::errno::Errno;

use super::{failed, space, unsupported};
use crate::error::Result;
use crate::sys;
use crate::sys::sysv::Segment;

/// When others can find memory that [`Region::stage`](super::Region::stage) reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Not before [`Staged::publish`]: whoever opens the region finds it complete.
    WhenPublished,
    /// At once. Whoever opens the region may find the zeros it started with or anything in between, left by a process
    /// still at work or dead, so its contents must say for themselves when they are ready.
    Immediately,
}

/// A region mapped into this process, for reading and writing; unmapped on drop.
///
/// Other processes change the memory at any time, so it is reached by raw pointer.
pub struct Mapping {
    address: NonNull<u8>,
    len: usize,
    what: Box<str>,
    visibility: Visibility,
    end: End,
}

/// How a mapping ends.
enum End {
    Munmap,
    Shmdt,
    Never,
}

// SAFETY: mappings belong to the process, not to a thread, and the calls that end them may come from any thread.
unsafe impl Send for Mapping {}
// SAFETY: through `&Mapping` only constants of the mapping are read.
unsafe impl Sync for Mapping {}

#[allow(clippy::len_without_is_empty, reason = "no mapping is empty")]
impl Mapping {
    /// Where the memory starts: page-aligned, the same until the mapping is dropped.
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.address
    }

    /// How long the memory is, in bytes; never 0.
    pub fn len(&self) -> usize {
        self.len
    }

    /// All of the memory.
    pub fn as_slice_ptr(&self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.address, self.len)
    }

    /// What error messages call the region, as [`Region::describe`](super::Region::describe).
    pub fn describe(&self) -> &str {
        &self.what
    }

    /// Whether others could find this memory before it was complete.
    pub fn visibility(&self) -> Visibility {
        self.visibility
    }

    /// Never unmaps the memory: it stays until the process ends or execs.
    pub fn keep(mut self) {
        self.end = End::Never;
    }

    pub(super) fn of_file(file: BorrowedFd<'_>, len: usize, what: &str) -> Result<Mapping> {
        let address = mapped(sys::memory::map_file(file, nonzero(len, what)?), what)?;
        Ok(Mapping { address, len, what: what.into(), visibility: Visibility::WhenPublished, end: End::Munmap })
    }

    pub(super) fn anonymous(len: usize, what: &str) -> Result<Mapping> {
        let address = mapped(sys::memory::map_anonymous(nonzero(len, what)?), what)?;
        Ok(Mapping { address, len, what: what.into(), visibility: Visibility::WhenPublished, end: End::Munmap })
    }

    /// `len` is what the segment's `stat` says.
    pub(super) fn of_segment(segment: Segment, len: usize, what: &str) -> Result<Mapping, Errno> {
        let address = segment.attach()?;
        Ok(Mapping { address, len, what: what.into(), visibility: Visibility::Immediately, end: End::Shmdt })
    }
}

fn nonzero(len: usize, what: &str) -> Result<NonZeroUsize> {
    NonZeroUsize::new(len).ok_or_else(|| unsupported(what, space::EMPTY))
}

fn mapped(address: Result<NonNull<u8>, Errno>, what: &str) -> Result<NonNull<u8>> {
    address.map_err(|errno| match errno {
        Errno::EACCES | Errno::EPERM => {
            sys::failed("mmap", what, errno, "its descriptor and its seals must allow both reading and writing")
        }
        Errno::ENODEV => sys::failed("mmap", what, errno, "files there can't be mapped, choose another file system"),
        errno => failed("mmap", what, errno),
    })
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let ended = match self.end {
            // SAFETY: mapped by of_file or anonymous and ended only here. Whoever used the address did so under the
            // promise to outlive no mapping.
            End::Munmap => unsafe { sys::memory::unmap(self.address, self.len) },
            // SAFETY: as above, attached by of_segment.
            End::Shmdt => unsafe { sys::sysv::detach(self.address) },
            End::Never => Ok(()),
        };
        // What can't be unmapped stays mapped, as after `keep`: nobody can come to harm.
        let _ = ended;
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("what", &self.what)
            .field("address", &self.address)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// Memory to be filled and then published.
///
/// Dropped or killed before [`publish`](Staged::publish) it leaves nothing, where it is visible only
/// [when published](Visibility::WhenPublished). A segment that was visible [at once](Visibility::Immediately) stays,
/// because others may be at work in it already: the next process that creates the region takes it over.
pub struct Staged {
    mapping: Mapping,
    publish: Box<dyn Fn() -> Result<()> + Send + Sync>,
}

impl Staged {
    pub(super) fn new(mapping: Mapping, publish: impl Fn() -> Result<()> + Send + Sync + 'static) -> Staged {
        Staged { mapping, publish: Box::new(publish) }
    }

    /// The memory to fill.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// When others can find the memory.
    pub fn visibility(&self) -> Visibility {
        self.mapping.visibility
    }

    /// Makes the region findable, in one step: a process killed in it has published everything or nothing.
    ///
    /// [`Error::AlreadyExists`](crate::Error::AlreadyExists) if somebody else was faster. The staged memory is then as
    /// it was: drop it and open theirs, or, if theirs was removed meanwhile, publish again.
    pub fn publish(&self) -> Result<()> {
        (self.publish)()
    }

    /// The memory alone, to be used after it was published.
    pub fn into_mapping(self) -> Mapping {
        self.mapping
    }
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged").field("mapping", &self.mapping).finish_non_exhaustive()
    }
}
