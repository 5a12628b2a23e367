//! Processes that are made, stalled and killed to order.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::prctl;
use nix::sys::signal::{SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal, kill, sigaction};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid};

use super::{clock, keeping_errno};

/// The exit code of a process whose code panicked where nobody expected it, as Rust's own.
pub(crate) const PANICKED: i32 = 101;

/// `fork`, and `_exit` with what `child` returns.
///
/// # Safety
///
/// No other thread of this process is at work: it may hold a lock that the child would wait for.
pub(crate) unsafe fn fork_to(child: impl FnOnce() -> i32) -> Result<Pid, Errno> {
    // SAFETY: the caller's promise; libc makes its own locks usable in the child.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(PANICKED);
            // SAFETY: ends the process, without the destructors and exit handlers that are the parent's to run.
            unsafe { libc::_exit(code) }
        }
    }
}

/// `prctl(PR_SET_PDEATHSIG)`: this process is killed with its parent, the thread that forked it; at once if that was not
/// `parent`.
pub(crate) fn die_with(parent: Pid) -> Result<(), Errno> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH) }
}

/// How a process's first thread has spent its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// It runs, or would if a processor were free.
    pub(crate) is_running: bool,
    /// On a processor.
    pub(crate) ran: Duration,
    /// Without one, though it could have run.
    pub(crate) waited: Duration,
}

/// `/proc/PID/schedstat` and `stat`, or `None` where `/proc` can't tell.
pub(crate) fn times(pid: Pid) -> Option<Times> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    let spent = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    let mut nanos = spent.split_ascii_whitespace().map(|field| field.parse().map(Duration::from_nanos));
    let (ran, waited) = (nanos.next()?.ok()?, nanos.next()?.ok()?);
    Some(Times { is_running: state == "R", ran, waited })
}

/// `sched_setaffinity`: keeps the calling thread, and those that it starts, on the first of its processors.
pub(crate) fn stay_on_one_core() -> Result<(), Errno> {
    let myself = Pid::from_raw(0);
    let allowed = sched_getaffinity(myself)?;
    let first = (0..CpuSet::count()).find(|cpu| allowed.is_set(*cpu) == Ok(true)).ok_or(Errno::EINVAL)?;
    let mut one = CpuSet::new();
    one.set(first)?;
    sched_setaffinity(myself, &one)
}

/// A timer of this process or thread; dropped, it does nothing more.
pub(crate) struct Armed(#[expect(dead_code, reason = "kept for its end")] Timer);

/// `timer_create`, `timer_settime`: SIGKILL for this process at the moment of the monotonic clock.
pub(crate) fn kill_at(moment: TimeSpec) -> Result<Armed, Errno> {
    arm(moment, SigevNotify::SigevSignal { signal: Signal::SIGKILL, si_value: 0 })
}

/// The same for a signal whose handler sleeps for `length`, where the calling thread is by then. [`let_stall`] comes first.
pub(crate) fn stall_at(moment: TimeSpec, length: Duration) -> Result<Armed, Errno> {
    let si_value = isize::try_from(length.as_nanos()).map_err(|_| Errno::EINVAL)?;
    #[cfg(target_env = "gnu")]
    let how = SigevNotify::SigevThreadId { signal: STALL, thread_id: nix::unistd::gettid().as_raw(), si_value };
    #[cfg(not(target_env = "gnu"))]
    let how = SigevNotify::SigevSignal { signal: STALL, si_value };
    arm(moment, how)
}

fn arm(moment: TimeSpec, how: SigevNotify<'_>) -> Result<Armed, Errno> {
    let mut timer = Timer::new(ClockId::CLOCK_MONOTONIC, SigEvent::new(how))?;
    timer.set(Expiration::OneShot(moment), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
    Ok(Armed(timer))
}

/// SIGKILL for this process, now.
pub(crate) fn kill_myself() {
    // It can't fail: everybody may kill themselves.
    let _ = kill(getpid(), Signal::SIGKILL);
}

/// A signal that means nothing to programs that don't ask for it.
const STALL: Signal = Signal::SIGURG;

static STALLS: AtomicU32 = AtomicU32::new(0);

/// `sigaction`: from now on this process can be stalled.
pub(crate) fn let_stall() -> Result<(), Errno> {
    let flags = SaFlags::SA_RESTART | SaFlags::SA_SIGINFO;
    let action = SigAction::new(SigHandler::SigAction(stall), flags, SigSet::empty());
    // SAFETY: the handler calls only what may be called in one, and leaves errno as it was.
    unsafe { sigaction(STALL, &action) }.map(drop)
}

/// How often a thread of this process was stalled.
pub(crate) fn stalls() -> u32 {
    STALLS.load(Ordering::Relaxed)
}

/// One more time, by another way.
pub(crate) fn count_stall() {
    STALLS.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn stall(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    keeping_errno(|| {
        // SAFETY: the kernel gives every handler with SA_SIGINFO a valid one; sent by a timer, it has a value.
        let nanos = unsafe { (*info).si_value() }.sival_ptr.addr();
        count_stall();
        clock::sleep_until(clock::monotonic() + TimeSpec::from_duration(Duration::from_nanos(nanos as u64)));
    });
}
