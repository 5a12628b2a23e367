//! A process on a kernel that has no `futex_waitv`: a filter makes the call fail with ENOSYS, as Linux before 5.16 does.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Lets the command, and all that it starts, run without `futex_waitv`.
pub fn forbid(command: &mut Command) {
    // SAFETY: between fork and exec it makes two system calls, and allocates nothing.
    unsafe { command.pre_exec(install) };
}

/// Whether this process has no `futex_waitv`.
pub fn is_forbidden() -> bool {
    // SAFETY: no words at all: the call fails, and only its error counts.
    let done = unsafe { libc::syscall(libc::SYS_futex_waitv, std::ptr::null::<u8>(), 0, 0, std::ptr::null::<u8>(), 0) };
    done == -1 && nix::errno::Errno::last() == nix::errno::Errno::ENOSYS
}

fn install() -> io::Result<()> {
    const NUMBER: u32 = 0; // offset of `nr` in struct seccomp_data
    let code = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [
        code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, NUMBER),
        code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_futex_waitv as u32),
        code(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        code(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: sets a flag of this process.
    let done = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the program and its filter outlive the call, which copies them.
    match unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
