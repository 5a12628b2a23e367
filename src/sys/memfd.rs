//! Files in memory that have no name anywhere, and their seals.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::MFdFlags;

/// The longest label that the kernel takes, in bytes.
pub(crate) const LABEL_MAX: usize = 249;

/// `memfd_create`, sealable and closed by exec.
pub(crate) fn create(label: &CStr) -> Result<OwnedFd, Errno> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // Where vm.memfd_noexec is 2, only files that can't be run are allowed; before Linux 6.3 the flag is unknown.
    let no_exec = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    match nix::sys::memfd::memfd_create(label, flags | no_exec) {
        Err(Errno::EINVAL) => nix::sys::memfd::memfd_create(label, flags),
        done => done,
    }
}

/// `fcntl(F_ADD_SEALS)`: from now on nobody changes the size or the seals.
pub(crate) fn seal_size(file: BorrowedFd<'_>) -> Result<(), Errno> {
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(file, FcntlArg::F_ADD_SEALS(seals)).map(drop)
}

/// `fcntl(F_GET_SEALS)`: whether nobody can shrink the file; `EINVAL` for what can't be sealed.
pub(crate) fn cannot_shrink(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    let seals = fcntl(file, FcntlArg::F_GET_SEALS)?;
    Ok(SealFlag::from_bits_truncate(seals).contains(SealFlag::F_SEAL_SHRINK))
}
