//! Namespaces: which numbers of ours mean the same to another process.

use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;

/// `stat` of `/proc/self/ns/pid`: the inode number that identifies this process's pid namespace.
pub(crate) fn pid_namespace() -> Result<u64, Errno> {
    inode("/proc/self/ns/pid")
}

/// `stat` of `/proc/thread-self/ns/ipc`: the inode number that identifies this thread's IPC namespace.
pub(crate) fn ipc_namespace() -> Result<u64, Errno> {
    inode("/proc/thread-self/ns/ipc")
}

fn inode(path: &str) -> Result<u64, Errno> {
    let found = fs::metadata(path);
    found.map(|meta| meta.ino()).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)))
}

/// What this process's time namespace adds to boot time, in nanoseconds (time_namespaces(7)).
pub(crate) fn boot_time_offset() -> i64 {
    let Ok(offsets) = fs::read_to_string("/proc/self/timens_offsets") else {
        return 0; // no time namespaces in this kernel
    };
    let nanos = offsets.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        if !matches!(fields.next()?, "boottime" | "7") {
            return None;
        }
        let mut number = || fields.next()?.parse::<i64>().ok();
        number()?.checked_mul(1_000_000_000)?.checked_add(number()?)
    });
    nanos.unwrap_or(0)
}
