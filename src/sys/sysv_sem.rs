//! SysV semaphore sets: semget(2), semctl(2), semop(2).

use std::ffi::{c_int, c_short, c_ushort};
use std::fs;
use std::mem::MaybeUninit;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;

use super::clock;

unsafe extern "C" {
    /// Linux 2.6, glibc 2.3.3, musl 1.0; not in POSIX, and not declared by the `libc` crate.
    fn semtimedop(id: c_int, ops: *mut libc::sembuf, count: usize, timeout: *const libc::timespec) -> c_int;
}

/// A set's identifier, valid in the whole IPC namespace until the set is removed, and for long not given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Set(c_int);

/// What [`Set::stat`] says.
pub(crate) struct Stat {
    pub(crate) key: i32,
    /// How many semaphores are in it.
    pub(crate) count: u64,
}

/// A row of [`list`].
pub(crate) struct Listed {
    pub(crate) set: Set,
    pub(crate) key: i32,
    /// How many semaphores are in it.
    pub(crate) count: u64,
    /// When it was made, or last operated on, in seconds of the wall clock.
    pub(crate) touched: u64,
}

fn operation(at: u16, by: i16, flags: c_int) -> libc::sembuf {
    libc::sembuf { sem_num: at as c_ushort, sem_op: by as c_short, sem_flg: flags as c_short }
}

/// The time from now until then, nothing if that is over.
fn time_until(moment: TimeSpec) -> libc::timespec {
    let (now, none) = (clock::monotonic(), libc::timespec { tv_sec: 0, tv_nsec: 0 });
    if moment <= now {
        return none;
    }
    let left = moment - now;
    libc::timespec { tv_sec: left.tv_sec(), tv_nsec: left.tv_nsec() }
}

impl Set {
    pub(crate) fn from_id(id: u32) -> Set {
        Set(id as c_int)
    }

    pub(crate) fn id(self) -> u32 {
        self.0 as u32
    }

    /// `semget(IPC_CREAT | IPC_EXCL)`: `count` semaphores of value 0 (on Linux).
    pub(crate) fn create(key: i32, count: u16, mode: u32) -> Result<Set, Errno> {
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | mode as c_int;
        // SAFETY: takes numbers only.
        Errno::result(unsafe { libc::semget(key, c_int::from(count), flags) }).map(Set)
    }

    /// `semctl(IPC_STAT)`.
    pub(crate) fn stat(self) -> Result<Stat, Errno> {
        let mut found = MaybeUninit::<libc::semid_ds>::zeroed();
        // SAFETY: the kernel writes one semid_ds to where there's room for one.
        Errno::result(unsafe { libc::semctl(self.0, 0, libc::IPC_STAT, found.as_mut_ptr()) })?;
        // SAFETY: zeroed, then filled by the successful call; all its fields are integers.
        let found = unsafe { found.assume_init() };
        #[allow(clippy::useless_conversion, reason = "u32 on 32-bit targets")]
        Ok(Stat { key: found.sem_perm.__key, count: u64::from(found.sem_nsems) })
    }

    /// `semctl(IPC_RMID)`: whoever sleeps on it wakes with `EIDRM`.
    pub(crate) fn remove(self) -> Result<(), Errno> {
        // SAFETY: takes numbers only.
        Errno::result(unsafe { libc::semctl(self.0, 0, libc::IPC_RMID) }).map(drop)
    }

    /// `semctl(GETVAL)`: the value of the semaphore at that place.
    pub(crate) fn value(self, at: u16) -> Result<u32, Errno> {
        // SAFETY: takes numbers only.
        Errno::result(unsafe { libc::semctl(self.0, c_int::from(at), libc::GETVAL) }).map(|value| value as u32)
    }

    /// `semctl(GETNCNT)`: how many sleep until that one's value grows.
    pub(crate) fn sleepers(self, at: u16) -> Result<u32, Errno> {
        // SAFETY: takes numbers only.
        Errno::result(unsafe { libc::semctl(self.0, c_int::from(at), libc::GETNCNT) }).map(|count| count as u32)
    }

    /// `semop`: adds to the value. `ERANGE` if it would be above 32767, and then it adds nothing.
    pub(crate) fn add(self, at: u16, by: u32) -> Result<(), Errno> {
        // 0 would be another operation: waiting until the value is 0.
        if by == 0 {
            return Ok(());
        }
        let mut add = operation(at, i16::try_from(by).map_err(|_| Errno::ERANGE)?, 0);
        // SAFETY: one operation, which outlives the call.
        Errno::result(unsafe { libc::semop(self.0, &mut add, 1) }).map(drop)
    }

    /// `semop` with `SEM_UNDO`: adds 1, until this process ends in whatever way.
    pub(crate) fn add_while_alive(self, at: u16) -> Result<(), Errno> {
        let mut add = operation(at, 1, libc::SEM_UNDO);
        // SAFETY: one operation, which outlives the call.
        Errno::result(unsafe { libc::semop(self.0, &mut add, 1) }).map(drop)
    }

    /// `semtimedop`: takes 1, sleeping until there is one or until `until` on the monotonic clock; `false` when that has
    /// come. Goes on after signals, for the rest of the time: the call's own timeout counts from its beginning.
    pub(crate) fn take(self, at: u16, until: TimeSpec) -> Result<bool, Errno> {
        loop {
            let (mut take, timeout) = (operation(at, -1, 0), time_until(until));
            // SAFETY: one operation and a timespec, which outlive the call.
            match Errno::result(unsafe { semtimedop(self.0, &mut take, 1, &timeout) }) {
                Ok(_) => return Ok(true),
                Err(Errno::EAGAIN) => return Ok(false),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// `/proc/sysvipc/sem` (sysvipc(7)): the sets of this process's IPC namespace.
pub(crate) fn list() -> Result<Vec<Listed>, Errno> {
    let rows = fs::read_to_string("/proc/sysvipc/sem");
    let rows = rows.map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))?;
    Ok(rows.lines().filter_map(row).collect())
}

/// Key, id, mode, number of semaphores, four owners, the times of the last operation and of the last change.
fn row(line: &str) -> Option<Listed> {
    let mut fields = line.split_ascii_whitespace();
    let key = fields.next()?.parse().ok()?;
    let set = Set(fields.next()?.parse().ok()?);
    let count = fields.nth(1)?.parse().ok()?;
    let operated: u64 = fields.nth(4)?.parse().ok()?;
    let changed: u64 = fields.next()?.parse().ok()?;
    Some(Listed { set, key, count, touched: operated.max(changed) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_systems_list_is_understood() {
        assert!(row("       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime").is_none());
        let listed =
            row("-715353089          7   600          5     1     2     3     4         55         44").unwrap();
        assert_eq!((listed.key, listed.set, listed.count, listed.touched), (-715353089, Set(7), 5, 55));
    }

    #[test]
    fn the_time_until_a_moment_that_is_over_is_none() {
        let now = clock::monotonic();
        let past = time_until(now);
        assert_eq!((past.tv_sec, past.tv_nsec), (0, 0));
        let ahead = time_until(now + TimeSpec::new(3600, 999_999_999));
        assert!(ahead.tv_sec >= 3599 && (0..1_000_000_000).contains(&ahead.tv_nsec));
    }
}
