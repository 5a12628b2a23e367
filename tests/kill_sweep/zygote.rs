//! Processes for a fraction of a millisecond each: forks of one that has a single thread and the scene open.
//!
//! A zygote is this program again. It is asked over a Unix socket, its standard input: for an actor, with the actor's end of
//! a socket, or to open another scene. All of its actors have the same addresses, other than the sweep's own process. They end with it, as it does with the
//! thread that started it; it lets the system bury them.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use nix::unistd::{ForkResult, Pid, fork, getppid};
use pshared::Shm;
use pshared::backend::Backend;

use crate::acts::{Act, Answer, Hands, Pace};
use crate::problem::Problem;
use crate::scene::{Scene, Stage, made_name};
use crate::support::schedule;
use crate::support::stepper::{Stepper, Stop};

const BACKEND: &str = "KILL_SWEEP_ZYGOTE";

/// To the zygote: an actor, please.
const FORK: u8 = b'f';
/// To the zygote: a name follows, of so many bytes as the byte after this says.
const OPEN: u8 = b'o';

/// How long somebody who doesn't wait for anybody may take for an answer.
const SOON: Duration = Duration::from_secs(20);

/// How long a survivor may take where deaths have to be found out.
const PATIENCE: Duration = Duration::from_secs(10);

/// The backend that this process is the zygote of, if it is one.
pub fn role() -> Option<String> {
    std::env::var(BACKEND).ok()
}

pub struct Zygote {
    process: std::process::Child,
    socket: UnixStream,
}

impl Zygote {
    pub fn start(backend: &str) -> Zygote {
        let (socket, theirs) = UnixStream::pair().expect("a socket");
        let process = Command::new(std::env::current_exe().expect("this program"))
            .env(BACKEND, backend)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .expect("a zygote");
        socket.set_read_timeout(Some(SOON)).expect("a socket");
        Zygote { process, socket }
    }

    pub fn open<B: Backend>(&self, stage: &Stage<B>) {
        let name = stage.name.as_bytes();
        let message = [&[OPEN, name.len() as u8], name].concat();
        (&self.socket).write_all(&message).expect("the zygote hears");
        let mut done = [0];
        (&self.socket).read_exact(&mut done).expect("the zygote opens the scene");
    }

    pub fn fork(&self) -> Actor {
        let (ours, theirs) = UnixStream::pair().expect("a socket");
        let fds = [theirs.as_raw_fd()];
        let message = [IoSlice::new(&[FORK])];
        sendmsg::<()>(self.socket.as_raw_fd(), &message, &[ControlMessage::ScmRights(&fds)], MsgFlags::empty(), None)
            .expect("the zygote hears");
        let mut tid = [0; 4];
        (&self.socket).read_exact(&mut tid).expect("the zygote forks");
        ours.set_read_timeout(Some(SOON)).expect("a socket");
        Actor { tid: u32::from_ne_bytes(tid), socket: ours }
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        // Both fail only for a process that was waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The zygote's side. Never comes back but by the end of who asks.
pub fn serve<B: Backend>() {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).expect("a signal");
    // SAFETY: no handler: children are reaped by the system.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }.expect("SIGCHLD is ignored");
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().expect("a socket"));
    let me = nix::unistd::getpid();
    let mut scene = None;
    while let Some((what, fd)) = hear(&socket) {
        if what == OPEN {
            let mut length = [0];
            (&socket).read_exact(&mut length).expect("a length");
            let mut name = vec![0; usize::from(length[0])];
            (&socket).read_exact(&mut name).expect("a name");
            let name = String::from_utf8(name).expect("a name");
            scene = Some((Shm::<Scene<B>>::open(&name).expect("the scene"), made_name(&name)));
            (&socket).write_all(&[0]).expect("who asks hears");
            continue;
        }
        let fd = fd.expect("an actor's socket");
        let (scene, name) = scene.as_ref().expect("a scene was opened");
        // SAFETY: this process has one thread.
        match unsafe { fork() }.expect("an actor") {
            ForkResult::Child => {
                nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).expect("a signal");
                if getppid() == me {
                    act(scene, name, &UnixStream::from(fd));
                }
                // SAFETY: ends the child, without what the zygote has put off until its own end.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => {
                (&socket).write_all(&child.as_raw().to_ne_bytes()).expect("who asks hears");
            }
        }
    }
}

/// One byte, and a descriptor if one comes with it; `None` at the end.
fn hear(socket: &UnixStream) -> Option<(u8, Option<OwnedFd>)> {
    let mut byte = [0];
    let mut room = nix::cmsg_space!(RawFd);
    let mut into = [IoSliceMut::new(&mut byte)];
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut into, Some(&mut room), MsgFlags::MSG_CMSG_CLOEXEC).expect("a message");
    let count = message.bytes;
    let fd = message.cmsgs().expect("room for it").find_map(|message| match message {
        // SAFETY: just received, and nobody else's.
        ControlMessageOwned::ScmRights(fds) => Some(unsafe { OwnedFd::from_raw_fd(fds[0]) }),
        _ => None,
    });
    (count == 1).then_some((byte[0], fd))
}

/// The actor's side: does as it is told until nobody tells it anything.
fn act<B: Backend>(scene: &Scene<B>, name: &str, socket: &UnixStream) {
    let mut hands = Hands::new(scene, name);
    let mut told = [0; 2];
    while (&*socket).read_exact(&mut told).is_ok() {
        let pace = if told[1] == 0 { Pace::Free } else { Pace::Stepped };
        let answer = hands.act(Act::from_byte(told[0]), pace);
        (&*socket).write_all(&[answer.byte()]).expect("who told it hears");
    }
}

/// The sweep's side of an actor. Dropped, it is killed.
pub struct Actor {
    pub tid: u32,
    socket: UnixStream,
}

impl Actor {
    fn tell(&self, act: Act, pace: Pace) {
        (&self.socket).write_all(&[act.byte(), u8::from(pace == Pace::Stepped)]).expect("the actor hears");
    }

    fn hear(&self) -> Answer {
        let mut answer = [0];
        (&self.socket).read_exact(&mut answer).unwrap_or_else(|error| panic!("an actor says nothing: {error}"));
        Answer::from_byte(answer[0])
    }

    /// Lets it begin something that may take a while; [`come_through`] hears the answer.
    pub fn begins(&self, act: Act) {
        self.tell(act, Pace::Free);
    }

    /// Lets it do something that it can do at once.
    pub fn does(&self, act: Act) -> Answer {
        self.tell(act, Pace::Free);
        self.hear()
    }

    /// Lets it do something that it has to wait for, and waits until it sleeps.
    pub fn sleeps_in(&self, act: Act) {
        self.tell(act, Pace::Free);
        let mut looks = 0;
        while !self.is_asleep() {
            assert!(self.answered(PollTimeout::ZERO).is_empty(), "{act:?} didn't sleep");
            looks += 1;
            assert!(looks < 100_000, "{act:?} came to no sleep");
            if looks < 4 { std::thread::yield_now() } else { std::thread::sleep(Duration::from_micros(20)) }
        }
    }

    /// Begins to trace it, and lets it come to the first mark.
    pub fn step_through(&self, act: Act) -> Stepper {
        let stepper = Stepper::seize(self.tid);
        self.tell(act, Pace::Stepped);
        assert_eq!(stepper.stopped(), Stop::Mark);
        stepper
    }

    /// Whether it sleeps in something that it was told to do.
    pub fn is_asleep(&self) -> bool {
        schedule::is_asleep(self.tid)
    }

    fn answered(&self, timeout: PollTimeout) -> Vec<usize> {
        answered(&[self], timeout)
    }

    /// SIGKILL, and waits until it is dead.
    pub fn kill(self) {
        let tid = self.tid;
        drop(self);
        schedule::wait_until_dead(tid);
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // Fails only if it is dead.
        let _ = kill(Pid::from_raw(self.tid as i32), Signal::SIGKILL);
    }
}

/// Which of them have said something by now, or say something before the time is up.
fn answered(actors: &[&Actor], timeout: PollTimeout) -> Vec<usize> {
    let mut all: Vec<PollFd<'_>> =
        actors.iter().map(|actor| PollFd::new(actor.socket.as_fd(), PollFlags::POLLIN)).collect();
    // Interrupted is the same as nothing.
    let _ = poll(&mut all, timeout);
    (0..all.len()).filter(|at| all[*at].any() == Some(true)).collect()
}

/// How it is noticed that somebody never comes through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Noticed {
    /// All sleep, and nobody is there to wake them: whoever looks up by himself, later, isn't counted on.
    ByState,
    /// They look up by themselves, and should have long ago.
    ByTime,
}

/// What all of them say. A problem if they don't.
pub fn come_through(actors: &[&Actor], noticed: Noticed) -> Result<Vec<Answer>, Problem> {
    let mut answers = vec![None; actors.len()];
    let started = std::time::Instant::now();
    loop {
        let waiting: Vec<usize> = (0..actors.len()).filter(|at| answers[*at].is_none()).collect();
        if waiting.is_empty() {
            return Ok(answers.into_iter().flatten().collect());
        }
        let those: Vec<&Actor> = waiting.iter().map(|at| actors[*at]).collect();
        let said = answered(&those, PollTimeout::from(1_u8));
        if said.is_empty() {
            let stuck = match noticed {
                Noticed::ByState => are_stranded(&those),
                Noticed::ByTime => started.elapsed() > PATIENCE,
            };
            if stuck || started.elapsed() > SOON {
                return Err(Problem::Stuck(format!("{} of {} survivors", those.len(), actors.len())));
            }
        }
        for at in said {
            answers[waiting[at]] = Some(those[at].hear());
        }
    }
}

/// Waits until so many of them have said something. A problem if they don't.
pub fn wait_for(actors: &[&Actor], count: usize, noticed: Noticed) -> Result<(), Problem> {
    let started = std::time::Instant::now();
    loop {
        let said = answered(actors, PollTimeout::from(u8::from(count > 0)));
        if said.len() >= count {
            return Ok(());
        }
        let waiting: Vec<&Actor> = (0..actors.len()).filter(|at| !said.contains(at)).map(|at| actors[at]).collect();
        let stuck = match noticed {
            Noticed::ByState => are_stranded(&waiting),
            Noticed::ByTime => started.elapsed() > PATIENCE,
        };
        if stuck || started.elapsed() > SOON {
            return Err(Problem::Stuck(format!("{} survivors, of whom {count} had reason to go on", waiting.len())));
        }
        if !said.is_empty() {
            std::thread::sleep(Duration::from_micros(100)); // the poll doesn't wait any more
        }
    }
}

/// Whether all of them were asleep at one moment: nobody went to sleep between two looks at all, nor has anybody answered.
pub fn are_stranded(actors: &[&Actor]) -> bool {
    let counts = || actors.iter().map(|actor| schedule::sleeps(actor.tid)).collect::<Vec<_>>();
    let all_asleep = || actors.iter().all(|actor| actor.is_asleep());
    let before = counts();
    let still = || all_asleep() && counts() == before && answered(actors, PollTimeout::ZERO).is_empty();
    // Who only takes a nap looks up meanwhile.
    let nap = Duration::from_millis(5);
    all_asleep() && still() && {
        std::thread::sleep(nap);
        still()
    }
}
