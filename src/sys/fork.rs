//! Memory that the kernel zeroes in a forked child.

use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use nix::errno::Errno;

/// `mmap` and `madvise(MADV_WIPEONFORK)`: a word that reads 0 in every child of `fork`, `_Fork` or `clone` without
/// shared memory, whoever calls them and however. Never unmapped.
pub(crate) fn wiped_word() -> Result<&'static AtomicU32, Errno> {
    let page = 4096;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing that exists.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), page, prot, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
    if at == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    // SAFETY: the page was mapped above and is used by nobody yet.
    if unsafe { libc::madvise(at, page, libc::MADV_WIPEONFORK) } != 0 {
        let errno = Errno::last();
        // SAFETY: as above; nothing refers to it.
        unsafe { libc::munmap(at, page) };
        return Err(errno);
    }
    let word = NonNull::new(at.cast::<AtomicU32>()).ok_or(Errno::ENOMEM)?;
    // SAFETY: page-aligned, zeroed, mapped for the rest of the process, used through this atomic only.
    Ok(unsafe { word.as_ref() })
}

/// `munmap`, for a page of [`wiped_word`] that lost the race to be the process's.
pub(crate) fn unmap_wiped_word(word: &'static AtomicU32) {
    // SAFETY: the caller got it from wiped_word and gave the reference to nobody.
    unsafe { libc::munmap(std::ptr::from_ref(word).cast_mut().cast(), 4096) };
}
