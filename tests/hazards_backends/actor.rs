//! The other processes: do as they are told.

use std::ffi::CString;
use std::time::{Duration, Instant};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, alarm, execv, fork, getpid, gettid, pause};
use pshared::backend::Backend;
use pshared::generic::{MutexGuard, Permit};
use pshared::{Error, LockResult, Shm};

use crate::stage::Table;
use crate::support::child::Peer;
use crate::support::stepper::mark;

/// As long as any wait of these tests may last; longer is a hang.
const LONG: Duration = Duration::from_secs(55);

/// Long enough to fall asleep in, and short enough to let pass.
pub const BRIEF: Duration = Duration::from_millis(400);

/// For many waits in a row.
const SHORT: Duration = Duration::from_millis(20);

pub fn act<B: Backend>(name: &str, peer: &Peer) {
    extern "C" fn nothing(_: i32) {}
    let handler = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGUSR1, &handler) }.unwrap();

    let table = Shm::<Table<B>>::open(name).unwrap();
    let mut hands = Hands { table: &table, guard: None, permits: Vec::new() };
    peer.say(&gettid().to_string());
    loop {
        let line = peer.hear();
        alarm::set(60); // the watchdog, wound up again
        let (command, kind) = line.split_once(' ').unwrap_or((&line, ""));
        if command == "exit" {
            return;
        }
        let answer = hands.do_as_told(command, kind, peer);
        peer.say(&answer);
    }
}

struct Hands<'a, B: Backend> {
    table: &'a Table<B>,
    guard: Option<MutexGuard<'a, u32, B>>,
    permits: Vec<Permit<'a, B, 2>>,
}

impl<'a, B: Backend> Hands<'a, B> {
    fn do_as_told(&mut self, command: &str, kind: &str, peer: &Peer) -> String {
        match command {
            "take" => return self.take(kind, None),
            "take-timed" => return self.take(kind, Some(LONG)),
            "take-briefly" => return self.take(kind, Some(BRIEF)),
            "take-shortly" => return self.take_shortly(kind),
            "give" => self.give(kind),
            // Stepped through from here.
            "step-take" => {
                mark();
                return self.take(kind, None);
            }
            "step-take-timed" => {
                mark();
                return self.take(kind, Some(LONG));
            }
            "step-take-briefly" => {
                mark();
                return self.take(kind, Some(BRIEF));
            }
            "step-give" => {
                mark();
                self.give(kind);
                mark();
            }
            "recover-slowly" => {
                let guard = self.table.lock.lock_or_recover(|_, _| {
                    peer.say("repairing");
                    peer.expect("go on");
                });
                drop(guard.unwrap());
            }
            "thread-takes" => thread_takes(self.table, kind, peer),
            "thread-takes-and-execs" => thread_takes_and_execs(self.table, peer),
            "fork" => return fork_idle(),
            "fork-drops" => self.fork_drops(),
            "fork-takes-and-execs" => self.fork_takes_and_execs(peer),
            other => panic!("no command is called {other}"),
        }
        "done".into()
    }

    fn take(&mut self, kind: &str, timeout: Option<Duration>) -> String {
        let Table { lock, jobs, permits, changed, .. } = self.table;
        let started = Instant::now();
        let outcome = match (kind, timeout) {
            ("lock", None) => return self.locked(lock.lock()),
            ("lock", Some(time)) => return self.locked(lock.try_lock_for(time)),
            ("job", None) => jobs.wait(),
            ("job", Some(time)) => jobs.wait_timeout(time),
            ("permit", None) => permits.acquire().map(|permit| self.permits.push(permit)),
            ("permit", Some(time)) => permits.acquire_timeout(time).map(|permit| self.permits.push(permit)),
            ("change", None) => changed.wait(lock.lock().unwrap()).map(drop).map_err(Error::from),
            ("change", Some(time)) => match changed.wait_timeout(lock.lock().unwrap(), time) {
                Ok((_, result)) if result.timed_out() => Err(Error::TimedOut),
                other => other.map(drop).map_err(Error::from),
            },
            other => panic!("there is no {other:?}"),
        };
        match outcome {
            Err(Error::TimedOut) if timeout.is_some_and(|time| started.elapsed() < time) => "early".into(),
            other => said(other),
        }
    }

    fn locked(&mut self, result: LockResult<MutexGuard<'a, u32, B>>) -> String {
        let (guard, answer) = match result {
            Ok(guard) => (guard, "done".into()),
            Err(error) => match error.recover() {
                Ok((guard, cause)) => (guard, format!("{cause:?}")),
                Err(error) => return format!("{error:?}"),
            },
        };
        self.guard = Some(guard);
        answer
    }

    /// Many waits in vain.
    fn take_shortly(&mut self, kind: &str) -> String {
        for _ in 0..25 {
            let started = Instant::now();
            let answer = self.take(kind, Some(SHORT));
            if answer != "TimedOut" || started.elapsed() < SHORT {
                return format!("{answer} after {:?}", started.elapsed());
            }
        }
        "done".into()
    }

    fn give(&mut self, kind: &str) {
        match kind {
            "lock" => self.guard = None,
            "job" => self.table.jobs.post().unwrap(),
            "permit" => drop(self.permits.pop()),
            "change" => self.table.changed.notify_one(),
            other => panic!("there is no {other}"),
        }
    }

    /// A child drops its copies of what this thread holds, and ends.
    fn fork_drops(&mut self) {
        // SAFETY: the test runner's only other thread waits for this one and holds no lock.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                self.guard = None;
                self.permits.clear();
                // SAFETY: ends the child without running the parent's destructors.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0)),
        }
    }

    /// A child, which has one thread only, takes the lock and becomes another program when it is told to; it lives as long
    /// as this process.
    fn fork_takes_and_execs(&mut self, peer: &Peer) {
        // SAFETY: as above.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
                std::mem::forget(self.table.lock.lock().unwrap());
                assert_eq!(gettid(), getpid());
                peer.say(&getpid().to_string());
                peer.expect("go on");
                exec();
            }
            ForkResult::Parent { child } => assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0)),
        }
    }
}

fn said(result: pshared::Result<()>) -> String {
    result.map_or_else(|error| format!("{error:?}"), |()| "done".into())
}

/// A thread takes a thing and ends with it when it is told to.
fn thread_takes<B: Backend>(table: &Table<B>, kind: &str, peer: &Peer) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            match kind {
                "lock" => std::mem::forget(table.lock.lock().unwrap()),
                _ => (0..2).for_each(|_| table.permits.acquire().unwrap().forget()),
            }
            peer.say("held");
            peer.expect("go on");
        });
    });
}

fn thread_takes_and_execs<B: Backend>(table: &Table<B>, peer: &Peer) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::mem::forget(table.lock.lock().unwrap());
            assert_ne!(gettid(), getpid());
            peer.say(&gettid().to_string());
            peer.expect("go on");
            exec();
        });
    });
}

/// Another program in this process.
fn exec() -> ! {
    let words = [c"sleep", c"60"].map(CString::from);
    panic!("exec: {:?}", execv(c"/bin/sleep", &words))
}

/// A process that only lives; its id.
fn fork_idle() -> String {
    // SAFETY: the test runner's only other thread waits for this one and holds no lock.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => loop {
            alarm::set(60);
            pause();
        },
        ForkResult::Parent { child } => child.to_string(),
    }
}
