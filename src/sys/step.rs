//! A thread that runs an instruction at a time, for a while, and stands still or dies at one of them.
//!
//! The trap flag makes the processor report each instruction to the kernel, which calls a handler (one microsecond, or ten on a
//! virtual machine).
//! The handler runs without the flag, and returning from it sets it again.

use std::cell::Cell;

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::keeping_errno;

/// Whether threads can be stepped on this kind of processor.
pub(crate) const POSSIBLE: bool = cfg!(target_arch = "x86_64");

/// What is done at which instructions, counted from 1; called in a signal handler.
#[derive(Clone, Copy)]
pub(crate) struct Stops {
    pub(crate) first: Option<(u32, fn())>,
    pub(crate) second: Option<(u32, fn())>,
}

impl Stops {
    pub(crate) const NONE: Stops = Stops { first: None, second: None };

    fn last(self) -> u32 {
        self.first.into_iter().chain(self.second).map(|(at, _)| at).max().unwrap_or(0)
    }
}

thread_local! {
    /// The stops of the thread, and at which instruction it is.
    static STEPPED: Cell<(Stops, u32)> = const { Cell::new((Stops::NONE, 0)) };
}

/// `sigaction`: from now on the threads of this process can be stepped.
pub(crate) fn let_step() -> Result<(), Errno> {
    let action =
        SigAction::new(SigHandler::SigAction(trapped), SaFlags::SA_RESTART | SaFlags::SA_SIGINFO, SigSet::empty());
    // SAFETY: the handler calls only what may be called in one, and leaves errno as it was.
    unsafe { sigaction(Signal::SIGTRAP, &action) }.map(drop)
}

/// Steps the calling thread from here to the last of its stops. [`let_step`] comes first.
#[inline(always)]
pub(crate) fn begin(stops: Stops) {
    if stops.last() > 0 {
        STEPPED.set((stops, 0));
        set_trap_flag();
    }
}

extern "C" fn trapped(_signal: libc::c_int, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    keeping_errno(|| {
        let (stops, before) = STEPPED.get();
        let at = before + 1;
        STEPPED.set((stops, at));
        for (stop, act) in stops.first.into_iter().chain(stops.second) {
            if stop == at {
                act();
            }
        }
        if at >= stops.last() {
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
