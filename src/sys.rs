//! The system calls: the only place that says `libc::` or reads errno. One function per call, named as its man page.

pub(crate) mod clock;
pub(crate) mod file;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod machine;
pub(crate) mod memfd;
pub(crate) mod memory;
pub(crate) mod namespace;
#[cfg(feature = "contend")]
pub(crate) mod process;
pub(crate) mod pthread;
pub(crate) mod robust_list;
pub(crate) mod self_memory;
pub(crate) mod sem;
pub(crate) mod socket;
#[cfg(feature = "contend")]
pub(crate) mod step;
pub(crate) mod sysv;
pub(crate) mod sysv_sem;
pub(crate) mod thread;

use nix::errno::Errno;

use crate::error::Error;

/// Runs `f`, which may be in a signal handler, and leaves errno as it was: whoever was interrupted may be about to read it.
pub(crate) fn keeping_errno<R>(f: impl FnOnce() -> R) -> R {
    let before = Errno::last_raw();
    let result = f();
    Errno::set_raw(before);
    result
}

/// An [`Error::Os`]: `call` on `what` failed.
pub(crate) fn failed(call: &'static str, what: impl Into<Box<str>>, errno: Errno, advice: &'static str) -> Error {
    Error::Os { call, what: what.into(), errno: errno as i32, advice }
}
