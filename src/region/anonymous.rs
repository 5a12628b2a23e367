//! Memory shared by fork.

use std::sync::{Arc, OnceLock};

use super::{Mapping, Region, Staged, already_exists, not_found, space, unsupported};
use crate::error::Result;

/// Memory without a name, shared with the children that this process forks after it was mapped.
///
/// An `Anonymous` is one piece of memory, and its clones are the same one. [`open`](Region::open) is always an error:
/// keep the mapping from before the fork. It goes away with its last mapping, so there is nothing that
/// [`remove`](Region::remove) could remove.
///
/// ```
/// use nix::sys::wait::waitpid;
/// use nix::unistd::{ForkResult, fork};
/// use pshared::region::{Anonymous, Region};
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// let staged = Anonymous::new().stage(4096)?;
/// staged.publish()?;
/// let mapping = staged.into_mapping();
/// // SAFETY: mapped for as long as `mapping` lives, aligned to a page, used as this atomic only.
/// let word = unsafe { mapping.as_ptr().cast::<AtomicU32>().as_ref() };
///
/// // SAFETY: the child stores to an atomic and exits, both of which are allowed after fork.
/// match unsafe { fork() }.unwrap() {
///     ForkResult::Child => {
///         word.store(7, Ordering::Relaxed);
///         // SAFETY: ends the child without running the parent's destructors.
///         unsafe { libc::_exit(0) }
///     }
///     ForkResult::Parent { child } => {
///         waitpid(child, None).unwrap();
///         assert_eq!(word.load(Ordering::Relaxed), 7);
///     }
/// }
/// # Ok::<(), pshared::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Anonymous {
    /// How many bytes were published.
    len: Arc<OnceLock<usize>>,
}

const WHAT: &str = "anonymous memory";

impl Anonymous {
    /// A region that doesn't exist before it is staged and published.
    pub fn new() -> Anonymous {
        Anonymous::default()
    }
}

impl Region for Anonymous {
    fn describe(&self) -> String {
        WHAT.into()
    }

    fn open(&self) -> Result<Mapping> {
        self.size()?;
        Err(unsupported(WHAT, "it is shared by fork only; use what was mapped before the fork, or a Memfd"))
    }

    /// [`Error::AlreadyExists`](crate::Error::AlreadyExists) after something was published: one `Anonymous` is one piece
    /// of memory.
    fn stage(&self, len: usize) -> Result<Staged> {
        space::check_len(len, WHAT)?;
        if self.len.get().is_some() {
            return Err(already_exists(WHAT));
        }
        space::check_memory(len, "mmap", WHAT)?;
        let mapping = Mapping::anonymous(len, WHAT)?;
        space::populate(&mapping)?;
        let published = Arc::clone(&self.len);
        Ok(Staged::new(mapping, move || published.set(len).map_err(|_| already_exists(WHAT))))
    }

    /// Only says whether there is something: the last mapping's end is what removes it.
    fn remove(&self) -> Result<()> {
        self.size().map(drop)
    }

    fn size(&self) -> Result<usize> {
        self.len.get().copied().ok_or_else(|| not_found(WHAT))
    }
}
