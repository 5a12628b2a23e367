//! Namespaces: which numbers of ours mean the same to another process.

use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;

/// `stat` of `/proc/self/ns/pid`: the inode number that identifies this process's pid namespace.
pub(crate) fn pid_namespace() -> Result<u64, Errno> {
    let found = fs::metadata("/proc/self/ns/pid");
    found.map(|meta| meta.ino()).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)))
}

/// What this process's time namespace adds to boot time, in nanoseconds (time_namespaces(7)).
pub(crate) fn boot_time_offset() -> i64 {
    let Ok(offsets) = fs::read_to_string("/proc/self/timens_offsets") else {
        return 0; // no time namespaces in this kernel
    };
    let boot = offsets.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let boot = boot.filter(|fields| matches!(fields[..], ["boottime" | "7", _, _]));
    let nanos = boot.filter_map(|fields| {
        let seconds: i64 = fields[1].parse().ok()?;
        let nanos: i64 = fields[2].parse().ok()?;
        seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
    });
    nanos.last().unwrap_or(0)
}
