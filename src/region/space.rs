//! Space that is there before anybody writes to it: where it lacks, the error comes here and not as SIGBUS later.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::{Mapping, failed, unsupported};
use crate::error::Result;
use crate::sys;

pub(super) const EMPTY: &str = "no region has 0 bytes; ask for at least 1";

/// Refuses lengths that no memory has.
pub(super) fn check_len(len: usize, what: &str) -> Result<()> {
    if len == 0 {
        return Err(unsupported(what, EMPTY));
    }
    if isize::try_from(len).is_err() {
        return Err(unsupported(what, "no address space has that many bytes; ask for less"));
    }
    Ok(())
}

/// Refuses what this machine can't hold, which a kernel that overcommits would start to hand out and then kill for.
pub(super) fn check_memory(len: usize, call: &'static str, what: &str) -> Result<()> {
    let total = sys::memory::total().map_err(|errno| failed("sysinfo", what, errno))?;
    if len as u64 > total {
        return Err(failed(call, what, Errno::ENOMEM));
    }
    Ok(())
}

/// Gives the new file `len` bytes of zeros that are all there.
pub(super) fn reserve(file: BorrowedFd<'_>, len: usize, what: &str) -> Result<()> {
    let limit = sys::file::size_limit().map_err(|errno| failed("getrlimit", what, errno))?;
    if limit.is_some_and(|limit| len as u64 > limit) {
        return Err(failed("ftruncate", what, Errno::EFBIG));
    }
    sys::file::truncate(file, len).map_err(|errno| failed("ftruncate", what, errno))?;

    // Some file systems hand out all they have before they find that it isn't enough, and others suffer meanwhile.
    match sys::file::room(file).map_err(|errno| failed("fstatvfs", what, errno))? {
        Some(room) if len as u64 > room => return Err(failed("posix_fallocate", what, Errno::ENOSPC)),
        Some(_) => {}
        None => check_memory(len, "posix_fallocate", what)?,
    }
    let reserved = in_steps(len, |from, step| sys::file::allocate(file, from, step));
    reserved.map_err(|errno| failed("posix_fallocate", what, errno))
}

/// Calls `reserve` with offsets and lengths that make up `len`.
///
/// A signal undoes the whole of a call in kernels that it interrupts, so signals every few milliseconds would keep a
/// long call from ever ending: after each the steps are shorter, and what earlier steps did stays.
fn in_steps(len: usize, mut reserve: impl FnMut(usize, usize) -> Result<(), Errno>) -> Result<(), Errno> {
    const SHORTEST: usize = 64 << 10;
    let (mut done, mut step) = (0, len);
    while done < len {
        let now = step.min(len - done);
        match reserve(done, now) {
            Ok(()) => done += now,
            Err(Errno::EINTR) => step = SHORTEST.max(step / 2),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Gets every page of a mapping that no file system reserved.
pub(super) fn populate(mapping: &Mapping) -> Result<()> {
    loop {
        match sys::memory::populate(mapping.as_ptr(), mapping.len()) {
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Ok(()) | Err(Errno::EINVAL) => return Ok(()), // before Linux 5.14 the pages come as they are used
            Err(errno) => return Err(failed("madvise", mapping.describe(), errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By a stand-in for the call: Linux 6.18 lets no signal interrupt it on tmpfs.
    #[test]
    fn signals_make_the_steps_shorter_until_all_is_reserved() {
        for len in [1, 100_000, 10_000_000, 10_000_001] {
            let (mut end, mut calls) = (0, 0);
            let reserved = in_steps(len, |from, step| {
                calls += 1;
                assert!(calls < 1000, "it doesn't end");
                assert_eq!(from, end, "neither a hole nor a byte twice");
                if step > 150_000 || calls % 3 == 0 {
                    return Err(Errno::EINTR);
                }
                end += step;
                Ok(())
            });
            assert_eq!((reserved, end), (Ok(()), len));
        }
    }

    #[test]
    fn a_step_that_fails_ends_it() {
        assert_eq!(in_steps(10, |_, _| Err(Errno::ENOSPC)), Err(Errno::ENOSPC));
    }
}
