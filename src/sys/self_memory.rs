//! Reading and writing addresses of this process that may not be there.
//!
//! The process is named by the calling thread: its first one may have ended, and no memory is found by that one's id then.

use nix::errno::Errno;

/// `process_vm_readv` on this process: one word, `EFAULT` instead of a crash.
pub(crate) fn read_word(address: usize) -> Result<usize, Errno> {
    let mut value: usize = 0;
    let local = libc::iovec { iov_base: (&raw mut value).cast(), iov_len: size_of::<usize>() };
    let remote = libc::iovec { iov_base: std::ptr::with_exposed_provenance_mut(address), iov_len: size_of::<usize>() };
    // SAFETY: the local side is a live variable of that size; the remote side is checked by the kernel.
    let moved = unsafe { libc::process_vm_readv(libc::gettid(), &raw const local, 1, &raw const remote, 1, 0) };
    match Errno::result(moved)? {
        8 => Ok(value),
        _ => Err(Errno::EFAULT),
    }
}

/// `process_vm_writev` on this process: one word, `EFAULT` instead of a crash.
///
/// # Safety
///
/// If something is at `address`, nothing in this process relies on its not changing.
pub(crate) unsafe fn write_word(address: usize, value: usize) -> Result<(), Errno> {
    let local = libc::iovec { iov_base: (&raw const value).cast_mut().cast(), iov_len: size_of::<usize>() };
    let remote = libc::iovec { iov_base: std::ptr::with_exposed_provenance_mut(address), iov_len: size_of::<usize>() };
    // SAFETY: the local side is only read; the remote side is checked by the kernel, its contents are the caller's care.
    let moved = unsafe { libc::process_vm_writev(libc::gettid(), &raw const local, 1, &raw const remote, 1, 0) };
    match Errno::result(moved)? {
        8 => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}
