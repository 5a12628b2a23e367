//! Thread ids, and whether the thread behind one is still the one that was meant.

use std::fs;
use std::num::NonZeroU8;

use nix::errno::Errno;

/// The number of a model's thread.
#[cfg(loom)]
pub(crate) use crate::modelled::thread_id as gettid;

/// `gettid`.
#[cfg(not(loom))]
pub(crate) fn gettid() -> u32 {
    nix::unistd::gettid().as_raw() as u32
}

/// `kill(tid, 0)`: whether a thread of that id exists, zombies included, in whatever process.
pub(crate) fn exists(tid: u32) -> bool {
    // SAFETY: signal 0 only checks.
    cfg!(loom) || unsafe { libc::kill(tid as libc::pid_t, 0) == 0 || Errno::last() != Errno::ESRCH }
}

/// `tgkill(getpid(), tid, 0)`: whether a thread of that id exists in this process.
pub(crate) fn exists_here(tid: u32) -> bool {
    // SAFETY: signal 0 only checks.
    let done = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid as libc::pid_t, 0) };
    cfg!(loom) || done == 0 || Errno::last() != Errno::ESRCH
}

/// What `/proc` says of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// It has ended and waits to be reaped: the kernel has walked its robust list already.
    pub(crate) ended: bool,
    /// When it started, in tenths of a second since boot as the initial time namespace counts them.
    pub(crate) started: u32,
    /// A mark of the program that it runs: another one after an exec, except by chance (1 in 255) or where addresses
    /// aren't randomized. `None` where this process may not know.
    pub(crate) program: Option<NonZeroU8>,
}

/// `/proc/TID/stat` (proc_pid_stat(5), fields 3, 22 and 28), or `None` where `/proc` can't tell.
pub(crate) fn status(tid: u32, boot_time_offset: i64) -> Option<Status> {
    if !proc_is_ours() {
        return None;
    }
    let stat = fs::read_to_string(format!("/proc/{tid}/stat")).ok()?;
    // The name in field 2 may hold anything, so count from its closing parenthesis.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X" | "x");
    let ticks: i128 = fields.nth(18)?.parse().ok()?;
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    let nanos = ticks * 1_000_000_000 / i128::from(per_second) - i128::from(boot_time_offset);
    let stack: u64 = fields.nth(5).and_then(|start| start.parse().ok()).unwrap_or(0);
    Some(Status { ended, started: u32::try_from(nanos / 100_000_000).unwrap_or(0), program: mark_of(stack) })
}

/// The address of a program's stack in 8 bits; 0 is none, and 1 is what the kernel says of a thread that is just ending.
fn mark_of(stack: u64) -> Option<NonZeroU8> {
    let spread = (stack.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    if stack > 1 { NonZeroU8::new(spread.max(1)) } else { None }
}

/// The process that thread `tid` belongs to (`Tgid` of proc_pid_status(5)).
pub(crate) fn process_of(tid: u32) -> Option<u32> {
    if !proc_is_ours() {
        return None;
    }
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// Whether `/proc` was mounted in this process's pid namespace; elsewhere its ids mean other threads.
fn proc_is_ours() -> bool {
    !cfg!(loom) && fs::read_link("/proc/self").is_ok_and(|link| link.to_str() == Some(&std::process::id().to_string()))
}
