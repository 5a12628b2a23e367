//! Child processes: this test binary again, running one test only, which finds itself in a role there.
//!
//! A bare fork of the threaded test runner would copy locks that nobody unlocks. The child's standard input is a Unix
//! socket to the parent, for lines in both directions. A child never outlives its test: its parent's death kills it,
//! and so does an alarm, which also turns a hang into a failure.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use nix::sys::signal::Signal;

use super::watchdog::PATIENCE;

const ROLE: &str = "PSHARED_TEST_ROLE";
const ARGS: &str = "PSHARED_TEST_ARGS";
const PARENT: &str = "PSHARED_TEST_PARENT";

/// Lines to and from the process at the other end.
pub struct Peer {
    socket: UnixStream,
}

impl Peer {
    pub fn new(socket: UnixStream) -> Peer {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer { socket }
    }

    /// Writes a line.
    pub fn say(&self, line: &str) {
        (&self.socket).write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Reads a line, byte by byte: more would swallow descriptors that come after it.
    pub fn hear(&self) -> String {
        let mut line = Vec::new();
        loop {
            let mut byte = [0];
            (&self.socket).read_exact(&mut byte).expect("the other process said nothing more");
            match byte[0] {
                b'\n' => return String::from_utf8(line).unwrap(),
                byte => line.push(byte),
            }
        }
    }

    /// Reads a line, which must be this one.
    pub fn expect(&self, line: &str) {
        assert_eq!(self.hear(), line);
    }

    pub fn socket(&self) -> &UnixStream {
        &self.socket
    }
}

/// The parent's side of a child; dropped, the child is killed.
pub struct Child {
    process: std::process::Child,
    pub peer: Peer,
}

/// Starts `test` again in another process, where [`role`] returns `role` and `args`.
///
/// The child dies with the thread that calls this.
pub fn spawn(test: &str, role: &str, args: &[&str]) -> Child {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let process = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(ARGS, args.join("\n"))
        .env(PARENT, std::process::id().to_string())
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let child = Child { process, peer: Peer::new(ours) };
    child.peer.expect("started");
    child
}

impl Child {
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL, which must find it alive, and waits for the end.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        let status = self.process.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "the child ended before it was killed: {status}");
    }

    /// Waits for the child to end by itself.
    pub fn wait(mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }

    /// Waits for the child, whose test must have passed.
    pub fn finish(self) {
        let status = self.wait();
        assert!(status.success(), "the child failed: {status}");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only for a child that was waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The role of this process, its arguments and its parent, if it is a child.
pub fn role() -> Option<(String, Vec<String>, Peer)> {
    let role = std::env::var(ROLE).ok()?;
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
    let parent = std::env::var(PARENT).unwrap();
    assert_eq!(nix::unistd::getppid().to_string(), parent, "the parent died before it was watched");
    nix::unistd::alarm::set(PATIENCE.as_secs() as u32);

    let args = std::env::var(ARGS).unwrap();
    let args = args.lines().map(str::to_owned).collect();
    let peer = Peer::new(UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap()));
    peer.say("started");
    Some((role, args, peer))
}
