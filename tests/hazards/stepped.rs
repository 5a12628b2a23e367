//! A forked child that goes from system call to system call, or an instruction at a time, as its parent says.

use nix::errno::Errno;
use nix::sys::signal::{Signal, raise};

use crate::scene::{Forked, fork};

pub struct Stepped(Forked);

/// Why a child stopped.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// It has come where it was to go.
    There,
    /// It has ended.
    Ended,
}

impl Stepped {
    /// Forks a child that stands in front of `body`.
    pub fn start(body: impl FnOnce()) -> Stepped {
        let child = fork(|| {
            ptrace(libc::PTRACE_TRACEME, 0, 0).unwrap();
            raise(Signal::SIGSTOP).unwrap();
            body();
        });
        let stepped = Stepped(child);
        assert_eq!(stepped.stop(Signal::SIGSTOP), Stop::There);
        stepped.ask(libc::PTRACE_SETOPTIONS, libc::PTRACE_O_EXITKILL as usize);
        stepped
    }

    /// To the next entry into a system call or exit from one.
    pub fn to_system_call(&self) -> Stop {
        self.ask(libc::PTRACE_SYSCALL, 0);
        self.stop(Signal::SIGTRAP)
    }

    /// One instruction.
    pub fn step(&self) -> Stop {
        self.ask(libc::PTRACE_SINGLESTEP, 0);
        self.stop(Signal::SIGTRAP)
    }

    /// Lets it run.
    pub fn let_go(self) -> Forked {
        self.ask(libc::PTRACE_DETACH, 0);
        self.0
    }

    pub fn kill(self) {
        self.0.kill();
    }

    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    fn ask(&self, request: libc::c_uint, data: usize) {
        ptrace(request, self.pid() as i32, data).unwrap();
    }

    fn stop(&self, expected: Signal) -> Stop {
        let mut status = 0;
        // SAFETY: a place for the status of a child of this process.
        Errno::result(unsafe { libc::waitpid(self.pid() as i32, &mut status, 0) }).unwrap();
        if libc::WIFEXITED(status) {
            assert_eq!(libc::WEXITSTATUS(status), 0, "the child failed");
            return Stop::Ended;
        }
        assert!(libc::WIFSTOPPED(status), "the child was killed: {status:#x}");
        assert_eq!(libc::WSTOPSIG(status), expected as i32, "a signal came in between");
        Stop::There
    }
}

fn ptrace(request: libc::c_uint, pid: i32, data: usize) -> Result<(), Errno> {
    // SAFETY: the requests used here take a number or nothing as data, and no address.
    Errno::result(unsafe { libc::ptrace(request, pid, std::ptr::null_mut::<u8>(), data) }).map(drop)
}
