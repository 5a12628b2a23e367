//! The thread's robust list: what the kernel walks when the thread ends. There is one per thread and it is libc's.

use std::cell::Cell;
use std::mem::size_of;

use nix::errno::Errno;

/// `struct robust_list_head`, in memory that belongs to this thread alone.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Head {
    /// The first entry's address, or this head's own where the list is empty.
    pub(crate) next: Cell<usize>,
    /// From an entry to its futex word.
    pub(crate) futex_offset: Cell<isize>,
    /// The entry that is being locked or unlocked, or 0.
    pub(crate) pending: Cell<usize>,
}

/// Where libc's own locks have the futex word, in bytes from the start of the lock.
pub(crate) const WORD_AT: usize = if cfg!(target_env = "musl") { 4 } else { 0 };

/// Where libc's own locks have the link to the next entry, in bytes from the start of the lock.
pub(crate) const LINK_AT: usize = 32;

/// How many entries the kernel walks (`ROBUST_LIST_LIMIT`).
pub(crate) const LIMIT: usize = 2048;

impl Head {
    /// A head that nobody has registered.
    pub(crate) const fn unregistered() -> Head {
        Head { next: Cell::new(0), futex_offset: Cell::new(WORD_AT as isize - LINK_AT as isize), pending: Cell::new(0) }
    }

    /// The head's own address, which ends the list.
    pub(crate) fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether an entry of our geometry leads the kernel to its word.
    pub(crate) fn fits(&self) -> bool {
        self.futex_offset.get() == WORD_AT as isize - LINK_AT as isize
    }
}

/// `get_robust_list(0)`: the head that this thread has registered, if any.
pub(crate) fn get() -> Result<*const Head, Errno> {
    if cfg!(loom) {
        return Ok(std::ptr::null()); // threads of a model are one thread of the system
    }
    let mut head: *const Head = std::ptr::null();
    let mut len: usize = 0;
    // SAFETY: both results go to live locals of the right type.
    let done = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    Errno::result(done).map(|_| head)
}

/// `set_robust_list`.
///
/// # Safety
///
/// `head` stays valid until the thread has ended.
pub(crate) unsafe fn set(head: *const Head) -> Result<(), Errno> {
    if cfg!(loom) {
        return Ok(());
    }
    // SAFETY: the caller's promise; the kernel only keeps the address.
    let done = unsafe { libc::syscall(libc::SYS_set_robust_list, head, size_of::<Head>()) };
    Errno::result(done).map(drop)
}
