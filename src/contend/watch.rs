//! Watching the processes of a plan until they end, or hang.

use std::io::{PipeReader, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::report::Error;
use crate::sys::process::{Times, times};

/// The processes of a plan that haven't been waited for; dropped, they are killed.
pub(super) struct Children {
    /// With the number of the worker, if it is one.
    pub(super) each: Vec<(Option<usize>, Pid)>,
}

impl Children {
    pub(super) fn kill(&self) {
        for (_, pid) in &self.each {
            // It may have ended, and stays a zombie until it is waited for.
            let _ = kill(*pid, Signal::SIGKILL);
        }
    }

    pub(super) fn wait(&mut self) -> Result<Vec<(Option<usize>, WaitStatus)>, Error> {
        let mut statuses = Vec::new();
        while let Some((worker, pid)) = self.each.pop() {
            match waitpid(pid, None) {
                Ok(status) => statuses.push((worker, status)),
                Err(Errno::EINTR) => self.each.push((worker, pid)),
                Err(errno) => return Err(Error::system("waitpid", errno)),
            }
        }
        Ok(statuses)
    }

    /// Whether all have ended; they stay to be waited for.
    fn have_ended(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let has_ended = |pid| waitid(Id::Pid(pid), flags) != Ok(WaitStatus::StillAlive);
        self.each.iter().all(|(_, pid)| has_ended(*pid))
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.kill();
        let _ = self.wait();
    }
}

/// How watching came to its end.
pub(super) enum Watched {
    Ended,
    Hung,
    Panicked,
}

/// How often it is looked whether something went on.
const GLANCE: Duration = Duration::from_millis(20);

/// How much longer than the deadline is enough for processes that are never given a processor.
const AT_MOST: u32 = 10;

/// How long a run of a plan may take in which nothing goes on: of its workers, and of who looks at what they left.
pub(super) fn longest(deadline: Duration) -> Duration {
    deadline * AT_MOST * 2
}

/// Waits until the last process that has the other end of `reader` is gone, or `progress` stays the same for as long as
/// `deadline`, or is `None`. What they write goes to `said`.
pub(super) fn watch(
    mut reader: &PipeReader,
    said: &mut Vec<u8>,
    deadline: Duration,
    children: &Children,
    progress: impl Fn() -> Option<u64>,
) -> Result<Watched, Error> {
    let mut idle = Idle::since_now(None, children);
    let mut bytes = [0; 4096];
    loop {
        let mut fds = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(GLANCE.min(deadline)).unwrap_or(PollTimeout::ZERO);
        match poll(&mut fds, timeout) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => match reader.read(&mut bytes).map_err(|error| Error::system("read", error))? {
                0 => return Ok(Watched::Ended),
                len => {
                    said.extend_from_slice(&bytes[..len]);
                    continue;
                }
            },
            Err(errno) => return Err(Error::system("poll", errno)),
        }
        // Whoever an operation has forked may keep the pipe open.
        if children.have_ended() {
            return Ok(Watched::Ended);
        }
        let Some(now) = progress() else { return Ok(Watched::Panicked) };
        if idle.last != Some(now) {
            idle = Idle::since_now(Some(now), children);
        } else if idle.since.elapsed() >= deadline && idle.is_longer_than(deadline, children) {
            return Ok(Watched::Hung);
        }
    }
}

/// A time in which nothing went on.
struct Idle {
    last: Option<u64>,
    since: Instant,
    times: Vec<Option<Times>>,
}

impl Idle {
    fn since_now(last: Option<u64>, children: &Children) -> Idle {
        let times = children.each.iter().map(|(_, pid)| times(*pid)).collect();
        Idle { last, since: Instant::now(), times }
    }

    /// Whether it is that long for each of the processes that are left, not counting what they wait for a processor.
    fn is_longer_than(&self, deadline: Duration, children: &Children) -> bool {
        let elapsed = self.since.elapsed();
        let could_act = |before: Option<Times>, now: Option<Times>| match (before, now) {
            (Some(before), Some(now)) if now.is_running => now.ran.saturating_sub(before.ran),
            (Some(before), Some(now)) => elapsed.saturating_sub(now.waited.saturating_sub(before.waited)),
            _ => elapsed,
        };
        elapsed >= deadline * AT_MOST
            || self
                .times
                .iter()
                .zip(&children.each)
                .all(|(before, (_, pid))| could_act(*before, times(*pid)) >= deadline)
    }
}
