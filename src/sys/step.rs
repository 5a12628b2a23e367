//! A thread that runs an instruction at a time, for a while, and stands still or dies at one of them.
//!
//! The trap flag makes the processor report each instruction to the kernel, which calls a handler (one microsecond, or ten on a
//! virtual machine).
//! The handler runs without the flag, and returning from it sets it again.

use std::cell::Cell;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::time::TimeSpec;

use super::{clock, keeping_errno, process};

/// Whether threads can be stepped on this kind of processor.
pub(crate) const POSSIBLE: bool = cfg!(target_arch = "x86_64");

/// Which instruction, counted from 1, is followed by what. 0: none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Steps {
    pub(crate) stall_at: u32,
    pub(crate) stall_for: Duration,
    pub(crate) kill_at: u32,
}

/// What the thread has to do, and at which instruction it is.
#[derive(Clone, Copy)]
struct Stepped {
    steps: Steps,
    at: u32,
}

thread_local! {
    static STEPPED: Cell<Stepped> =
        const { Cell::new(Stepped { steps: Steps { stall_at: 0, stall_for: Duration::ZERO, kill_at: 0 }, at: 0 }) };
}

/// `sigaction`: from now on the threads of this process can be stepped.
pub(crate) fn let_step() -> Result<(), Errno> {
    let action =
        SigAction::new(SigHandler::SigAction(trapped), SaFlags::SA_RESTART | SaFlags::SA_SIGINFO, SigSet::empty());
    // SAFETY: the handler calls only what may be called in one, and leaves errno as it was.
    unsafe { sigaction(Signal::SIGTRAP, &action) }.map(drop)
}

/// Steps the calling thread from here to the last instruction that `steps` names. [`let_step`] comes first.
pub(crate) fn begin(steps: Steps) {
    if steps.stall_at.max(steps.kill_at) > 0 {
        STEPPED.set(Stepped { steps, at: 0 });
        set_trap_flag();
    }
}

extern "C" fn trapped(_signal: libc::c_int, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    keeping_errno(|| {
        let Stepped { steps, at } = STEPPED.get();
        let at = at + 1;
        STEPPED.set(Stepped { steps, at });
        if at == steps.stall_at {
            process::count_stall();
            clock::sleep_until(clock::monotonic() + TimeSpec::from_duration(steps.stall_for));
        }
        if at == steps.kill_at {
            process::kill_myself();
        }
        if at >= steps.stall_at.max(steps.kill_at) {
            // SAFETY: the kernel gives every handler with SA_SIGINFO the context that it interrupted.
            unsafe { clear_in(context.cast()) };
        }
    });
}

#[cfg(target_arch = "x86_64")]
const TRAP_FLAG: i64 = 1 << 8;

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn set_trap_flag() {
    // SAFETY: pushes and pops one word of the stack; the flag only makes the processor trap after each instruction, for
    // which there is a handler.
    unsafe {
        std::arch::asm!("pushfq", "or qword ptr [rsp], {flag}", "popfq", flag = const TRAP_FLAG);
    }
}

/// Ends the stepping of the calling thread.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn end() {
    // SAFETY: as for setting it.
    unsafe {
        std::arch::asm!("pushfq", "and qword ptr [rsp], {others}", "popfq", others = const !TRAP_FLAG);
    }
}

/// # Safety
///
/// `context` is what a signal handler got.
#[cfg(target_arch = "x86_64")]
unsafe fn clear_in(context: *mut libc::ucontext_t) {
    // SAFETY: the caller's promise.
    unsafe { (*context).uc_mcontext.gregs[libc::REG_EFL as usize] &= !TRAP_FLAG };
}

#[cfg(not(target_arch = "x86_64"))]
fn set_trap_flag() {}

/// Ends the stepping of the calling thread.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn end() {}

#[cfg(not(target_arch = "x86_64"))]
unsafe fn clear_in(_context: *mut libc::ucontext_t) {}
