//! Removing the sets of those who are gone.

use super::set::{BELL, USERS, is_ours};
use crate::error::Result;
use crate::sys::sysv_sem::{Listed, Set};
use crate::sys::{self, clock, sysv_sem};

/// So many seconds untouched: a younger set may be one whose creator hasn't come to register with it. The kernel notes
/// whole seconds, so this is more than one.
const OLD: u64 = 2;

/// Removes the SysV semaphore sets of this crate that no living process uses, and says how many they were.
///
/// Removing a region ([`Shm::remove`](crate::Shm::remove)) removes the sets of its locks. What remains are those of regions
/// that nobody removed, of anonymous memory (until the processes that have used it have ended, so one that makes cells in
/// anonymous memory again and again uses up the system's sets), and of processes that were killed while they made or replaced a set. A set
/// counts as used by a process that has made it, or waited or woken by it, and lives; `sweep` leaves alone what was
/// touched within the last second or so, and what other users made, unless it is run by root.
///
/// Sets are swept too when a new one is to be made and the system has no room for it. A lock whose set was swept works on:
/// the next to wait for it makes a new one.
///
/// # Errors
///
/// [`Error::Os`](crate::Error::Os) if `/proc/sysvipc/sem` can't be read.
///
/// ```
/// println!("{} sets were left behind", pshared::sysv::sweep()?);
/// # Ok::<(), pshared::Error>(())
/// ```
pub fn sweep() -> Result<usize> {
    let listed = sysv_sem::list().map_err(|errno| {
        sys::failed("read", "/proc/sysvipc/sem", errno, "mount /proc, on a kernel that has SysV semaphores")
    })?;
    let now = clock::wall_seconds();
    // A time ahead of now is from before the clock was set back.
    let is_old = |listed: &&Listed| now.abs_diff(listed.touched) >= OLD;
    let ours = listed.iter().filter(|listed| is_ours(listed.key, listed.count)).filter(is_old);
    // What can't be looked at or removed is another user's, or was removed meanwhile.
    Ok(ours.filter(|listed| is_unused(listed.set) && listed.set.remove().is_ok()).count())
}

fn is_unused(set: Set) -> bool {
    set.value(USERS) == Ok(0) && set.sleepers(BELL) == Ok(0)
}
