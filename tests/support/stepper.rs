//! A thread of another process, driven an instruction or a system call at a time by ptrace, to be killed anywhere.
//!
//! The code to be stepped through stands between two [`mark`]s, where the thread stops by itself. A traced process
//! whose watchdog strikes ends, which the stepper reports as a failure.
//!
//! ptrace is by thread: a stepper stays in the thread that made it. Drop it before the [`Child`](super::child::Child)
//! that it drives: a traced thread that is dead can be reaped only after its tracer has looked.

use std::marker::PhantomData;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::remains::{Place, Remains};
use super::schedule::{self, Pinned};

/// So often is looked for a stop before the first pause.
const SOON: usize = 50;

/// In the stepped process: stops here until the stepper goes on.
#[inline(always)]
pub fn mark() {
    // SAFETY: the tracer, which there must be, swallows the trap.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("int3");
    }
    #[cfg(not(target_arch = "x86_64"))]
    nix::sys::signal::raise(Signal::SIGSTOP).unwrap();
}

/// In the debug control register: stops after reads and writes of 8 bytes.
#[cfg(target_arch = "x86_64")]
const DR7_ACCESS_OF_8: u64 = 1 | 0b11 << 16 | 0b10 << 18;

pub struct Stepper {
    tid: Pid,
    of_one_thread: PhantomData<*const ()>,
}

/// How a victim has stopped, to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// At an instruction.
    There,
    /// To the end of what was to be stepped through.
    ToTheEnd,
    /// To a call in which it sleeps.
    ToSleep,
}

/// The instruction before which a thread stands; on some machines that can't be told.
#[derive(Clone, Copy, Debug)]
pub struct Next {
    /// 0 where it can't be told.
    pub address: u64,
    /// Whether it is a system call; it may be where that can't be told.
    pub is_call: bool,
    /// The number of that call.
    pub number: Option<i64>,
}

/// What a thread came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The instruction is done.
    Stepped,
    /// It is about to make a system call.
    Entry { number: i64, args: [u64; 6] },
    /// The system call is done, and nothing else since; errors are negative.
    Exit { result: i64 },
    /// It is at a [`mark`].
    Mark,
    /// It sleeps in a futex call.
    Asleep,
}

impl Stop {
    /// Whether it is about to sleep in `futex` or `futex_waitv`.
    pub fn is_futex_wait(self) -> bool {
        if matches!(self, Stop::Entry { number: libc::SYS_futex_waitv, .. }) {
            return true;
        }
        self.futex_operation().is_some_and(|it| matches!(it, libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET))
    }

    /// Whether it is about to make a call in which the sleepers of any backend sleep.
    pub fn may_sleep(self) -> bool {
        let inherits = matches!(self.futex_operation(), Some(libc::FUTEX_LOCK_PI | libc::FUTEX_LOCK_PI2));
        self.is_futex_wait() || inherits || matches!(self, Stop::Entry { number: libc::SYS_semtimedop, .. })
    }

    /// Whether it is about to change a word and wake sleepers in `futex`.
    pub fn is_futex_wake_op(self) -> bool {
        self.futex_operation() == Some(libc::FUTEX_WAKE_OP)
    }

    fn futex_operation(self) -> Option<i32> {
        match self {
            Stop::Entry { number: libc::SYS_futex, args } => Some(args[1] as i32 & libc::FUTEX_CMD_MASK),
            _ => None,
        }
    }
}

impl Stepper {
    /// Begins to trace a thread, which runs on.
    pub fn seize(tid: u32) -> Stepper {
        let tid = Pid::from_raw(tid as i32);
        ptrace::seize(tid, Options::PTRACE_O_EXITKILL | Options::PTRACE_O_TRACESYSGOOD).unwrap();
        Stepper { tid, of_one_thread: PhantomData }
    }

    /// Waits until the thread, which runs, comes to its next stop.
    pub fn stopped(&self) -> Stop {
        self.read(waitpid(self.tid, Some(WaitPidFlag::__WALL)).unwrap())
    }

    /// Lets the stopped thread run on to the next [`mark`].
    pub fn run_to_mark(&self) {
        ptrace::cont(self.tid, None).unwrap();
        assert_eq!(self.stopped(), Stop::Mark);
    }

    /// One instruction; a system call counts as one and must not sleep.
    pub fn step(&self) -> Stop {
        ptrace::step(self.tid, None).unwrap();
        self.stopped()
    }

    /// One instruction, or [`Stop::Asleep`] if it is a system call that sleeps on a futex.
    pub fn step_or_sleep(&self) -> Stop {
        if self.is_at_syscall() { self.step_call_or_sleep() } else { self.step() }
    }

    /// The same where the next instruction may be a system call.
    pub fn step_call_or_sleep(&self) -> Stop {
        ptrace::step(self.tid, None).unwrap();
        self.sleeps_or_stops().unwrap_or(Stop::Asleep)
    }

    /// The operation, if the next instruction is a `futex` call; `None` on machines where that can't be told.
    pub fn next_futex_operation(&self) -> Option<i32> {
        #[cfg(target_arch = "x86_64")]
        if self.is_at_syscall() {
            let registers = ptrace::getregs(self.tid).unwrap();
            let is_futex = registers.rax == libc::SYS_futex as u64;
            return is_futex.then_some(registers.rsi as i32 & libc::FUTEX_CMD_MASK);
        }
        None
    }

    /// The next instruction.
    pub fn next(&self) -> Next {
        #[cfg(target_arch = "x86_64")]
        {
            let registers = ptrace::getregs(self.tid).unwrap();
            let is_call = self.is_call_at(registers.rip);
            Next { address: registers.rip, is_call, number: is_call.then_some(registers.rax as i64) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        Next { address: 0, is_call: true, number: None }
    }

    /// Whether the system call that was just stepped through says that the time is up; `false` on machines where that can't
    /// be told.
    pub fn has_timed_out(&self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            let registers = ptrace::getregs(self.tid).unwrap();
            let result = -(registers.rax as i64);
            let of_semaphores = registers.orig_rax as i64 == libc::SYS_semtimedop && result == i64::from(libc::EAGAIN);
            result == i64::from(libc::ETIMEDOUT) || of_semaphores
        }
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// The address of the next instruction; 0 on machines where that can't be told.
    pub fn address(&self) -> u64 {
        #[cfg(target_arch = "x86_64")]
        return ptrace::getregs(self.tid).unwrap().rip;
        #[cfg(not(target_arch = "x86_64"))]
        0
    }

    /// Keeps the thread and its tracer on one processor, where a step takes a third of the time.
    pub fn beside(&self) -> [Pinned; 2] {
        let here = [nix::sched::sched_getcpu().unwrap()];
        [Pinned::to(0, &here), Pinned::to(self.tid.as_raw() as u32, &here)]
    }

    /// What its thread would leave if it were killed now.
    pub fn remains(&self) -> Remains {
        Remains::of(self.tid)
    }

    /// Lets the stopped thread run until it comes to an instruction for the `visit`th time, counting the one before which
    /// it stands. [`Stop::Stepped`] if it does; otherwise it comes to a mark or sleeps.
    #[cfg(target_arch = "x86_64")]
    pub fn run_to(&self, place: &Place, visit: usize) -> Stop {
        let at = place.address(self.tid);
        let mut visits = usize::from(self.address() == at);
        if visits == 1 && visit > 1 {
            // Past the instruction that a breakpoint would stop it before again.
            match self.step_or_sleep() {
                Stop::Stepped => {}
                other => return other,
            }
        }
        self.set_breakpoint(Some(at));
        let mut stop = Stop::Stepped;
        while visits < visit && stop == Stop::Stepped {
            ptrace::cont(self.tid, None).unwrap();
            stop = self.sleeps_or_stops().unwrap_or(Stop::Asleep);
            visits += 1;
        }
        if stop != Stop::Asleep {
            self.set_breakpoint(None);
        }
        stop
    }

    /// Lets the stopped thread run to its next mark, or until it sleeps.
    pub fn run_to_end(&self) -> Came {
        ptrace::cont(self.tid, None).unwrap();
        match self.sleeps_or_stops() {
            Some(Stop::Mark) => Came::ToTheEnd,
            None => Came::ToSleep,
            Some(other) => panic!("{other:?}"),
        }
    }

    /// The same where all addresses are said to be 0: every instruction is a visit.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn run_to(&self, _: &Place, visit: usize) -> Stop {
        (1..visit).map(|_| self.step_or_sleep()).find(|stop| *stop != Stop::Stepped).unwrap_or(Stop::Stepped)
    }

    /// Has the processor stop the thread before the instruction at that address, or nowhere.
    #[cfg(target_arch = "x86_64")]
    fn set_breakpoint(&self, at: Option<u64>) {
        self.set_debug_registers(at.unwrap_or(0), u64::from(at.is_some()));
    }

    /// An address, and what is to stop the thread there: local, and 0 in all other bits for the execution of one byte.
    #[cfg(target_arch = "x86_64")]
    fn set_debug_registers(&self, address: u64, control: u64) {
        let register = |number: usize| {
            let offset = std::mem::offset_of!(libc::user, u_debugreg) + number * size_of::<u64>();
            std::ptr::without_provenance_mut(offset)
        };
        if control != 0 {
            ptrace::write_user(self.tid, register(0), address as i64).unwrap();
        }
        ptrace::write_user(self.tid, register(7), control as i64).unwrap();
    }

    /// Lets the stopped thread run until it has just read or written the 8 bytes at this address of its memory.
    #[cfg(target_arch = "x86_64")]
    pub fn run_to_access(&self, address: usize) {
        self.set_debug_registers(address as u64, DR7_ACCESS_OF_8);
        ptrace::cont(self.tid, None).unwrap();
        assert_eq!(self.stopped(), Stop::Stepped);
        self.set_debug_registers(address as u64, 0);
    }

    /// Whether the next instruction may be a system call.
    pub fn is_at_syscall(&self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            self.is_call_at(ptrace::getregs(self.tid).unwrap().rip)
        }
        #[cfg(not(target_arch = "x86_64"))]
        true
    }

    #[cfg(target_arch = "x86_64")]
    fn is_call_at(&self, address: u64) -> bool {
        let code = ptrace::read(self.tid, std::ptr::without_provenance_mut(address as usize)).unwrap();
        code & 0xffff == 0x050f
    }

    /// Lets the stopped thread run to the next entry or exit of a system call, or mark.
    pub fn to_syscall(&self) -> Stop {
        self.run_to_syscall();
        self.stopped()
    }

    /// The same without waiting: ask [`stopped`](Stepper::stopped).
    pub fn run_to_syscall(&self) {
        ptrace::syscall(self.tid, None).unwrap();
    }

    /// Lets the stopped thread run until it sleeps in a lock; woken, it will stop as it leaves that call.
    pub fn run_until_asleep(&self) {
        loop {
            while !self.to_syscall().may_sleep() {}
            self.run_to_syscall();
            if self.sleeps_or_stops().is_none() {
                return;
            }
            // The call ended without a sleep, or after one that nobody was in time to see.
        }
    }

    /// Waits until the running thread sleeps on a futex, or comes to a stop first.
    fn sleeps_or_stops(&self) -> Option<Stop> {
        let mut stop = None;
        let look = || match waitpid(self.tid, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)).unwrap() {
            WaitStatus::StillAlive => None,
            status => Some(self.read(status)),
        };
        // Mostly it stops soon.
        for _ in 0..SOON {
            stop = look();
            if stop.is_some() {
                return stop;
            }
            std::thread::yield_now();
        }
        schedule::wait_until("the stepped thread stops or sleeps", || {
            stop = look();
            stop.is_some() || schedule::is_asleep(self.tid.as_raw() as u32)
        });
        stop
    }

    /// Lets the stopped thread run on, unobserved.
    pub fn detach(self) {
        ptrace::detach(self.tid, None).unwrap();
        std::mem::forget(self);
    }

    /// SIGKILL to its process, and waits until the thread is dead.
    pub fn kill(self) {
        drop(self);
    }

    fn read(&self, status: WaitStatus) -> Stop {
        match status {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                let is_mark = ptrace::getsiginfo(self.tid).unwrap().si_code == libc::SI_KERNEL;
                if is_mark { Stop::Mark } else { Stop::Stepped }
            }
            WaitStatus::Stopped(_, Signal::SIGSTOP) => Stop::Mark,
            WaitStatus::PtraceSyscall(_) => self.syscall(),
            other => panic!("the stepped process ended or was interrupted: {other:?}"),
        }
    }

    fn syscall(&self) -> Stop {
        let info = ptrace::syscall_info(self.tid).unwrap();
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => {
                // SAFETY: the kernel says that it filled this member.
                let entry = unsafe { info.u.entry };
                Stop::Entry { number: entry.nr as i64, args: entry.args }
            }
            // SAFETY: as above.
            libc::PTRACE_SYSCALL_INFO_EXIT => Stop::Exit { result: unsafe { info.u.exit.sval } },
            other => panic!("neither entry nor exit: {other}"),
        }
    }
}

impl Drop for Stepper {
    fn drop(&mut self) {
        // Fails only if it is dead already. A signal to one thread's id is for its whole process.
        let _ = kill(self.tid, Signal::SIGKILL);
        loop {
            match waitpid(self.tid, Some(WaitPidFlag::__WALL)) {
                Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(Errno::ECHILD | Errno::ESRCH) => return,
                _ => {}
            }
        }
    }
}
