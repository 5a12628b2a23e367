//! The other process: does as it is told.

use std::ffi::CString;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, alarm, execv, getpid, gettid, pause};
use pshared::{LockResult, Shm};

use crate::MutexGuard;
use crate::actor::{BRIEF, LONG, Table};
use crate::support::child::{self, Peer};
use crate::support::schedule::{self, Pinned};
use crate::support::stepper::mark;

/// Not a test by itself: the processes that the others start.
#[test]
fn the_process_that_acts() {
    let Some((role, args, peer)) = child::role() else { return };
    match role.as_str() {
        "actor" => act(&args[0], &peer),
        "reaped" | "zombie" => fork_actor(&role, &args[0], &peer),
        "many" => crate::owners::take_many(&args, &peer),
        schedule::SPINNER => schedule::spin(&args, &peer),
        other => crate::play(other, &args, &peer),
    }
}

fn fork_actor(role: &str, name: &str, peer: &Peer) {
    // SAFETY: the test runner's only other thread waits for this one and holds no lock.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Child => {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
            act(name, peer);
            std::process::exit(0);
        }
        nix::unistd::ForkResult::Parent { child } => {
            // Until that or the watchdog ends this process.
            if role == "reaped" {
                nix::sys::wait::waitpid(child, None).unwrap();
            }
            loop {
                pause();
            }
        }
    }
}

fn act(name: &str, peer: &Peer) {
    let table = Shm::<Table>::open(name).unwrap();
    let mut hands = Hands { table: &table, guards: [const { None }; 4], pinned: None };
    peer.say(&gettid().to_string());
    loop {
        let line = peer.hear();
        alarm::set(60); // the watchdog, wound up again
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] == "bye" {
            return;
        }
        let answer = hands.do_as_told(&words, peer);
        peer.say(&answer);
    }
}

type Guard<'a> = MutexGuard<'a, u32>;

struct Hands<'a> {
    table: &'a Table,
    guards: [Option<Guard<'a>>; 4],
    pinned: Option<Pinned>,
}

impl<'a> Hands<'a> {
    fn do_as_told(&mut self, words: &[&str], peer: &Peer) -> String {
        let number = words.get(1).and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
        let first = &self.table.locks[number.min(3)];
        match words[0] {
            "lock" => return self.got(number, first.lock()),
            "try" => return self.got(number, first.try_lock()),
            "timed" => return self.got(number, first.try_lock_for(LONG)),
            "unlock" => self.guards[number] = None,
            "recover" => drop(first.lock_or_recover(|_, _| {}).unwrap()),
            // Stepped through, so with nothing in between that the test isn't about.
            "step-lock" => {
                mark();
                let guard = first.lock();
                mark();
                return self.got(number, guard);
            }
            "step-timed" => {
                mark();
                let guard = first.try_lock_for(LONG);
                mark();
                return self.got(number, guard);
            }
            "step-briefly" => {
                mark(); // the only one: the stepper lets go
                return self.got(number, first.try_lock_for(BRIEF));
            }
            "step-unlock" => {
                let guard = self.guards[number].take();
                mark();
                drop(guard);
                mark();
            }
            "recover-slowly" => {
                let guard = first.lock_or_recover(|_, _| {
                    peer.say("repairing");
                    peer.expect("go on");
                });
                drop(guard.unwrap());
            }
            "fork" => return fork_idle(),
            "exec" => return exec(),
            "lock-and-exec-from-thread" => return self.exec_from_thread(number, peer),
            "forget-list" => forget_robust_list(),
            "pin" => self.pinned = Some(Pinned::to(0, &[number])),
            "spin" => {
                peer.say("done");
                loop {
                    std::hint::spin_loop();
                }
            }
            "become" => return self.fork_as(words[1].parse().unwrap(), peer),
            other => panic!("no command is called {other}"),
        }
        "done".into()
    }

    fn got(&mut self, lock: usize, result: LockResult<Guard<'a>>) -> String {
        let (guard, answer) = match result {
            Ok(guard) => (guard, "clean".into()),
            Err(error) => match error.recover() {
                Ok((guard, cause)) => (guard, format!("poisoned {cause:?}")),
                Err(error) => return format!("{error:?}"),
            },
        };
        self.guards[lock] = Some(guard);
        answer
    }

    fn exec_from_thread(&self, lock: usize, peer: &Peer) -> String {
        let lock = &self.table.locks[lock];
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let _guard = lock.lock().unwrap();
                assert_ne!(gettid(), getpid());
                peer.say(&gettid().to_string());
                peer.expect("exec");
                exec()
            });
            thread.join().unwrap()
        })
    }

    /// Forks a process with that id, which acts; this one waits for its end.
    fn fork_as(&mut self, tid: u32, peer: &Peer) -> String {
        match clone_with_tid(tid) {
            Err(errno) => errno.to_string(),
            Ok(0) => {
                nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
                self.guards = [const { None }; 4];
                alarm::set(60);
                peer.say(&format!("{} here", gettid()));
                loop {
                    let line = peer.hear();
                    let answer = self.do_as_told(&line.split(' ').collect::<Vec<_>>(), peer);
                    peer.say(&answer);
                }
            }
            Ok(child) => {
                nix::sys::wait::waitpid(Pid::from_raw(child as i32), None).unwrap();
                "ended".into()
            }
        }
    }
}

/// A process that only lives; its id.
fn fork_idle() -> String {
    // SAFETY: the test runner's only other thread waits for this one and holds no lock.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Child => loop {
            alarm::set(60);
            pause();
        },
        nix::unistd::ForkResult::Parent { child } => child.to_string(),
    }
}

/// Another program in this process.
fn exec() -> String {
    let words = [c"sleep", c"60"].map(CString::from);
    format!("exec: {:?}", execv(c"/bin/sleep", &words))
}

/// `set_robust_list(NULL)`: from now on the kernel marks nothing at this thread's end.
fn forget_robust_list() {
    // SAFETY: a null list is none, and the length is the one that the kernel asks for.
    let done = unsafe { libc::syscall(libc::SYS_set_robust_list, std::ptr::null::<u8>(), 3 * size_of::<usize>()) };
    Errno::result(done).unwrap();
}

/// `clone3(CLONE_SETTID…)`: fork, where the child gets an id that is free.
fn clone_with_tid(tid: u32) -> Result<u32, Errno> {
    let tid = tid as i32;
    // SAFETY: all its fields are integers, of which 0 asks for nothing.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.exit_signal = libc::SIGCHLD as u64;
    args.set_tid = (&raw const tid).addr() as u64;
    args.set_tid_size = 1;
    // SAFETY: as fork in a process whose only other thread waits for this one: the child has its own memory.
    let child = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    Errno::result(child).map(|child| child as u32)
}
