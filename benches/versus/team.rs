//! Teams: several processes of this program that have the same subject, each in a role, blocked on a pipe between rounds.
//!
//! # How to use one
//!
//! What a member does in a round is a [`Role`] of a name and a subject type: `Role::new::<S>("hammer", |subject, seat| …)`.
//! The scenario's `roles` lists it, since members are new processes that have to find it. `Team::<S>::new(&["hammer"; 2])`
//! starts two of them (threads, if `S` is only for threads), and [`Crew::play`] runs a round for a given time:
//! whoever partakes starts at once, works until [`Seat::is_over`], and returns a few numbers. Where a round isn't that simple,
//! [`Crew::ask`], [`Crew::start`] and [`Crew::answer`] are its parts.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe, stderr, stdin, stdout};
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};

use crate::place::{Made, Name, Placed};
use crate::subjects::{Reach, Subject};

const ROLE: &str = "PSHARED_VERSUS_ROLE";

/// Members of a team at most.
pub const SEATS: usize = 16;

/// What a member says in the end of a round.
pub type Answer = [u64; 4];

/// What a team shares. Numbers of rounds count from 1.
#[repr(C)]
struct Talk {
    round: AtomicU64,
    parameters: [AtomicU64; 4],
    started: Apart,
    over: Apart,
    seats: [Place; SEATS],
}

#[repr(C, align(128))]
struct Apart(AtomicU64);

#[repr(C, align(128))]
struct Place {
    accepted: AtomicU64,
    answer: [AtomicU64; 4],
    mark: AtomicU64,
}

/// What a member knows of its round.
pub struct Seat<'a> {
    talk: &'a Talk,
    round: u64,
    /// Its place in the team, from 0.
    pub number: usize,
}

impl Seat<'_> {
    /// What the round is about.
    pub fn parameter(&self, at: usize) -> u64 {
        self.talk.parameters[at].load(Ordering::Relaxed)
    }

    /// Whether the time of this round is up.
    #[inline(always)]
    pub fn is_over(&self) -> bool {
        self.talk.over.0.load(Ordering::Relaxed) >= self.round
    }

    /// Tells the others in the middle of a round how far this one is.
    pub fn mark(&self, value: u64) {
        self.talk.seats[self.number].mark.store(value, Ordering::Release);
    }
}

/// What the members of a team that have this role do.
pub struct Role {
    name: String,
    play: Box<Play>,
}

/// Plays as this member with the subject of this name: the rounds that are asked for, until nobody asks any more.
type Play = dyn Fn(&str, &Talk, usize, &mut dyn Read, &mut dyn Write) + Send;

impl Role {
    pub fn new<S: Subject>(name: &str, part: impl Fn(&S, &Seat<'_>) -> Answer + Send + 'static) -> Role {
        let play = move |subject: &str, talk: &Talk, number, asked: &mut dyn Read, answers: &mut dyn Write| {
            let subject = S::open(subject);
            go_behind_lead();
            while asked.read(&mut [0]).unwrap() > 0 {
                let seat = Seat { talk, round: talk.round.load(Ordering::Acquire), number };
                let place = &talk.seats[number];
                place.accepted.store(seat.round, Ordering::Release);
                while !is_seen(&talk.started.0, seat.round) {}
                let answer = part(&subject, &seat);
                place.answer.iter().zip(answer).for_each(|(to, value)| to.store(value, Ordering::Relaxed));
                answers.write_all(&[0]).unwrap();
            }
        };
        Role { name: full_name::<S>(name), play: Box::new(play) }
    }
}

/// Under a real-time policy the lead couldn't end a round whose members spin, if they weren't a bit less urgent.
fn go_behind_lead() {
    // SAFETY: 0 is this thread; an integer, written by the kernel and read by it.
    unsafe {
        let policy = libc::sched_getscheduler(0);
        let mut parameters: libc::sched_param = std::mem::zeroed();
        assert_eq!(libc::sched_getparam(0, &mut parameters), 0);
        if [libc::SCHED_FIFO, libc::SCHED_RR].contains(&policy) && parameters.sched_priority > 1 {
            parameters.sched_priority -= 1;
            assert_eq!(libc::sched_setscheduler(0, policy, &parameters), 0);
        }
    }
}

fn full_name<S: Subject>(role: &str) -> String {
    format!("{role}: {}", S::NAME)
}

/// Plays the role that this process was started for; `false` if it was started by a user.
pub fn play_role(mut roles: impl Iterator<Item = Role>) -> bool {
    let Ok(role) = std::env::var(ROLE) else { return false };
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
    let [name, subject, talk, number, lead] = role.split('\n').collect::<Vec<_>>().try_into().unwrap();
    if std::os::unix::process::parent_id().to_string() != lead {
        return true; // it died before that
    }
    let role = roles.find(|known| known.name == name).unwrap_or_else(|| panic!("no role is called {name}"));
    // SAFETY: a team made it.
    let talk = unsafe { Placed::<Talk>::open(talk) };
    // What a subject prints must not be taken for an answer.
    let mut answers = File::from(stdout().as_fd().try_clone_to_owned().unwrap());
    nix::unistd::dup2_stdout(stderr()).unwrap();
    (role.play)(subject, &talk, number.parse().unwrap(), &mut stdin().lock(), &mut answers);
    true
}

/// A subject, and others that have it too.
pub struct Team<S: Subject> {
    /// First, as who is killed may have it.
    pub crew: Crew,
    pub subject: Made<S>,
}

impl<S: Subject> Team<S> {
    /// A member for each of `roles`, which the scenario knows. `known` are those of the scenario, for teams of threads.
    pub fn new(roles: &[&str], known: fn() -> Vec<Role>) -> Team<S> {
        assert!(roles.len() <= SEATS);
        let (subject, name) = (Made::<S>::new(), Name::new());
        // SAFETY: zeroes are atomics of 0.
        let talk = unsafe { Placed::<Talk>::create(&name, |_| {}) };
        let members = roles.iter().enumerate().map(|(number, role)| {
            let (asked, asks) = pipe().unwrap();
            let (answers, answering) = pipe().unwrap();
            let role = full_name::<S>(role);
            let body = match S::REACH {
                Reach::Processes => {
                    let role =
                        [&role, subject.name(), &name, &number.to_string(), &std::process::id().to_string()].join("\n");
                    let mut command = Command::new(std::env::current_exe().unwrap());
                    Body::Process(command.env(ROLE, role).stdin(asked).stdout(answering).spawn().unwrap())
                }
                Reach::Threads => {
                    let role = known().into_iter().find(|known| known.name == role).unwrap();
                    let (subject, talk) = (subject.name().to_owned(), name.to_owned());
                    Body::Thread(Some(std::thread::spawn(move || {
                        // SAFETY: made above.
                        let talk = unsafe { Placed::<Talk>::open(&talk) };
                        (role.play)(&subject, &talk, number, &mut { asked }, &mut { answering });
                    })))
                }
            };
            Member { body, asks: Some(asks), answers }
        });
        let members = members.collect();
        Team { crew: Crew { members, talk, round: 0, is_stuck: false, _name: name }, subject }
    }
}

/// The others.
pub struct Crew {
    members: Vec<Member>,
    talk: Placed<Talk>,
    round: u64,
    is_stuck: bool,
    _name: Name,
}

struct Member {
    body: Body,
    asks: Option<PipeWriter>,
    answers: PipeReader,
}

enum Body {
    Process(Child),
    Thread(Option<JoinHandle<()>>),
}

/// What takes longer hangs.
pub const WATCHDOG: Duration = Duration::from_secs(60);

impl Crew {
    /// The first `partake` members do their part for `time`. How long it was, and what they say.
    pub fn play(
        &mut self,
        partake: usize,
        parameters: &[u64],
        time: Duration,
    ) -> Result<(Duration, Vec<Answer>), String> {
        self.next_round(parameters);
        for member in 0..partake {
            self.ask(member);
        }
        let started = Instant::now();
        self.start();
        std::thread::sleep(time);
        self.end();
        let took = started.elapsed();
        let answers = (0..partake).map(|member| self.answer(member, WATCHDOG).ok_or("hangs".into()));
        Ok((took, answers.collect::<Result<_, String>>()?))
    }

    /// Begins a round, in which nobody partakes yet.
    pub fn next_round(&mut self, parameters: &[u64]) {
        self.round += 1;
        self.talk.parameters.iter().zip(parameters).for_each(|(to, value)| to.store(*value, Ordering::Relaxed));
        self.talk.seats.iter().for_each(|seat| seat.mark.store(0, Ordering::Relaxed));
        self.talk.round.store(self.round, Ordering::Release);
    }

    /// Returns when the member is about to start.
    pub fn ask(&mut self, member: usize) {
        let Member { body, asks, .. } = &mut self.members[member];
        asks.as_mut().unwrap().write_all(&[0]).unwrap();
        let since = Instant::now();
        while !is_seen(&self.talk.seats[member].accepted, self.round) {
            if let Body::Process(child) = body {
                assert!(child.try_wait().unwrap().is_none(), "a member of the team ended");
            }
            assert!(since.elapsed() < WATCHDOG, "a member of the team doesn't start");
            std::thread::sleep(Duration::from_micros(20)); // where this is more urgent, the member may need this processor
        }
    }

    /// Those who were asked start; who is asked later starts at once.
    pub fn start(&self) {
        self.talk.started.0.store(self.round, Ordering::Release);
    }

    /// The time is up.
    pub fn end(&self) {
        self.talk.over.0.store(self.round, Ordering::Release);
    }

    /// What a member says in the end; `None` if it doesn't come to its end, and then the team is of no more use.
    pub fn answer(&mut self, member: usize, timeout: Duration) -> Option<Answer> {
        let answers = &mut self.members[member].answers;
        let timeout = PollTimeout::try_from(timeout).unwrap();
        let mut fds = [PollFd::new(answers.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, timeout).unwrap() == 0 {
            self.is_stuck = true;
            return None;
        }
        assert_eq!(answers.read(&mut [0]).unwrap(), 1, "a member of the team ended");
        let answer = &self.talk.seats[member].answer;
        Some(std::array::from_fn(|at| answer[at].load(Ordering::Relaxed)))
    }

    /// Waits until a member has marked that it is as far as `value`.
    pub fn await_mark(&self, member: usize, value: u64) {
        let since = Instant::now();
        while self.talk.seats[member].mark.load(Ordering::Acquire) != value {
            assert!(since.elapsed() < WATCHDOG, "a member of the team doesn't come to its mark");
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Kills a process, and returns when nothing is left of it; the moment is that of the signal.
    pub fn kill(&mut self, member: usize) -> u64 {
        let Body::Process(child) = &mut self.members[member].body else { panic!("threads can't be killed") };
        let moment = now();
        child.kill().unwrap();
        child.wait().unwrap();
        moment
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        let kill = self.is_stuck || std::thread::panicking();
        for member in &mut self.members {
            drop(member.asks.take()); // no more rounds
        }
        for member in &mut self.members {
            match &mut member.body {
                Body::Process(child) => {
                    if kill {
                        let _ = child.kill(); // fails only if it has ended
                    }
                    let _ = child.wait();
                }
                Body::Thread(thread) if !kill => thread.take().unwrap().join().unwrap(),
                Body::Thread(_) => {} // can't be ended
            }
        }
    }
}

/// Looks for a while, and lets others run if they share this processor.
fn is_seen(word: &AtomicU64, round: u64) -> bool {
    for _ in 0..1000 {
        if word.load(Ordering::Acquire) >= round {
            return true;
        }
        std::hint::spin_loop();
    }
    std::thread::yield_now();
    false
}

/// Nanoseconds of a clock that all processes have in common.
pub fn now() -> u64 {
    nanos(ClockId::CLOCK_MONOTONIC)
}

/// Nanoseconds of a processor that this thread has used so far.
pub fn cpu_time() -> u64 {
    nanos(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).unwrap();
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}
