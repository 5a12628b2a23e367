//! Files, always by their directory's descriptor, so that a directory renamed between two calls stays the same one.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::resource::{RLIM_INFINITY, Resource};
use nix::sys::stat::{FileStat, Mode};
use nix::unistd::UnlinkatFlags;

/// Where shm_open(3) keeps its objects.
pub(crate) const SHARED_MEMORY: &str = "/dev/shm";

/// `open(O_PATH | O_DIRECTORY)`: something to name a directory by.
pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// `openat(O_TMPFILE)`: a file without a name, gone with its last descriptor and mapping unless linked.
pub(crate) fn open_unnamed(directory: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    openat(directory, c".", flags, Mode::S_IRUSR | Mode::S_IWUSR)
}

/// `openat(O_RDWR | O_NOFOLLOW)`, never waiting for whatever stands there.
pub(crate) fn open_named(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    // O_NONBLOCK and O_NOCTTY mean nothing to a regular file, and keep a fifo or a terminal from acting up.
    let quietly = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    openat(directory, name, OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | quietly, Mode::empty())
}

/// `linkat(AT_EMPTY_PATH)`: needs no `/proc`, but Linux 6.10 or `CAP_DAC_READ_SEARCH`; without them it is `ENOENT`.
pub(crate) fn link_descriptor(file: BorrowedFd<'_>, directory: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    nix::unistd::linkat(file, c"", directory, name, AtFlags::AT_EMPTY_PATH)
}

/// `linkat(AT_SYMLINK_FOLLOW)` of `/proc/thread-self/fd/N`: for everybody, where `/proc` is mounted.
pub(crate) fn link_through_proc(file: BorrowedFd<'_>, directory: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    // Not /proc/self: that is the first thread, which may have ended or have descriptors of its own.
    let path = format!("/proc/thread-self/fd/{}", file.as_raw_fd());
    nix::unistd::linkat(directory, path.as_str(), directory, name, AtFlags::AT_SYMLINK_FOLLOW)
}

/// `unlinkat`.
pub(crate) fn unlink(directory: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    nix::unistd::unlinkat(directory, name, UnlinkatFlags::NoRemoveDir)
}

/// `fstatat(AT_SYMLINK_NOFOLLOW)`.
pub(crate) fn stat_named(directory: BorrowedFd<'_>, name: &CStr) -> Result<FileStat, Errno> {
    nix::sys::stat::fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// `fstat`.
pub(crate) fn stat(file: BorrowedFd<'_>) -> Result<FileStat, Errno> {
    nix::sys::stat::fstat(file)
}

/// Whether `stat` is of a regular file.
pub(crate) fn is_regular(stat: &FileStat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFREG
}

/// `fchmod`, which no umask changes.
pub(crate) fn chmod(file: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
    nix::sys::stat::fchmod(file, Mode::from_bits_truncate(mode as libc::mode_t))
}

/// `ftruncate`.
pub(crate) fn truncate(file: BorrowedFd<'_>, len: usize) -> Result<(), Errno> {
    nix::unistd::ftruncate(file, offset(len)?)
}

/// `posix_fallocate`, one try: `EINTR` took back what this call had reserved.
pub(crate) fn allocate(file: BorrowedFd<'_>, from: usize, len: usize) -> Result<(), Errno> {
    nix::fcntl::posix_fallocate(file, offset(from)?, offset(len)?)
}

fn offset(bytes: usize) -> Result<libc::off_t, Errno> {
    libc::off_t::try_from(bytes).map_err(|_| Errno::EFBIG)
}

/// `fstatvfs`: the bytes that are free in the file's file system, or `None` where it has no size of its own.
pub(crate) fn room(file: BorrowedFd<'_>) -> Result<Option<u64>, Errno> {
    let found = nix::sys::statvfs::fstatvfs(file.as_fd())?;
    #[allow(clippy::useless_conversion, reason = "u32 on 32-bit targets")]
    let (blocks, free, size) =
        (u64::from(found.blocks()), u64::from(found.blocks_free()), u64::from(found.fragment_size()));
    Ok((blocks > 0).then(|| free.saturating_mul(size)))
}

/// `getrlimit(RLIMIT_FSIZE)`: a file that grows past it doesn't just fail, it gets this process a SIGXFSZ.
pub(crate) fn size_limit() -> Result<Option<u64>, Errno> {
    let (soft, _) = nix::sys::resource::getrlimit(Resource::RLIMIT_FSIZE)?;
    Ok((soft != RLIM_INFINITY).then_some(soft))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Link = fn(BorrowedFd<'_>, BorrowedFd<'_>, &CStr) -> Result<(), Errno>;

    /// A machine that has the one way never takes the other, so each is tried by itself.
    #[test]
    fn either_way_of_linking_gives_an_unnamed_file_its_name_once() {
        let directory = open_directory(Path::new(SHARED_MEMORY)).unwrap();
        let ways: [(Link, &str); 2] = [(link_descriptor, "descriptor"), (link_through_proc, "proc")];
        for (link, way) in ways {
            let name = format!("pshared-unit-{way}-{}\0", std::process::id());
            let name = CStr::from_bytes_with_nul(name.as_bytes()).unwrap();
            let file = open_unnamed(directory.as_fd()).unwrap();
            match link(file.as_fd(), directory.as_fd(), name) {
                Err(Errno::ENOENT) if way == "descriptor" => continue, // an older kernel, and no capability
                linked => linked.unwrap(),
            }
            let found = stat_named(directory.as_fd(), name).map(|found| found.st_ino);
            let again = link(file.as_fd(), directory.as_fd(), name);
            unlink(directory.as_fd(), name).unwrap();
            assert_eq!(found, stat(file.as_fd()).map(|own| own.st_ino), "{way}");
            assert_eq!(again, Err(Errno::EEXIST), "{way}");
        }
    }
}
