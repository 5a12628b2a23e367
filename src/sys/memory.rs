//! Mapped memory.

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags};

/// `mmap(MAP_SHARED)` of a file's first `len` bytes, for reading and writing.
pub(crate) fn map_file(file: BorrowedFd<'_>, len: NonZeroUsize) -> Result<NonNull<u8>, Errno> {
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: at an address of the kernel's choice, so nothing that is mapped changes.
    let address = unsafe { nix::sys::mman::mmap(None, len, access, MapFlags::MAP_SHARED, file, 0) }?;
    Ok(address.cast())
}

/// `mmap(MAP_SHARED | MAP_ANONYMOUS)`: zeros, shared with the processes forked later.
pub(crate) fn map_anonymous(len: NonZeroUsize) -> Result<NonNull<u8>, Errno> {
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: at an address of the kernel's choice, so nothing that is mapped changes.
    let address = unsafe { nix::sys::mman::mmap_anonymous(None, len, access, MapFlags::MAP_SHARED) }?;
    Ok(address.cast())
}

/// `munmap`.
///
/// # Safety
/// - `address` and `len` are what one of the `map_…` calls returned and was given, not unmapped since.
/// - Nobody uses the memory any more.
pub(crate) unsafe fn unmap(address: NonNull<u8>, len: usize) -> Result<(), Errno> {
    // SAFETY: a whole mapping that nobody uses, by this function's contract.
    unsafe { nix::sys::mman::munmap(address.cast(), len) }
}

/// `madvise(MADV_POPULATE_WRITE)`: gets every page now, leaving what is in them; `EINVAL` before Linux 5.14.
pub(crate) fn populate(address: NonNull<u8>, len: usize) -> Result<(), Errno> {
    // SAFETY: this advice faults pages in and changes nothing in them, whosever they are.
    unsafe { nix::sys::mman::madvise(address.cast(), len, MmapAdvise::MADV_POPULATE_WRITE) }
}

/// `sysinfo`: all the memory and swap that this machine has, in bytes.
pub(crate) fn total() -> Result<u64, Errno> {
    let info = nix::sys::sysinfo::sysinfo()?;
    Ok(info.ram_total().saturating_add(info.swap_total()))
}
