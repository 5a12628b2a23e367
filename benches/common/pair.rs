//! Two processes: this one, and this program again in a role.

use std::hint::spin_loop;
use std::io::{Read, Write, stdin};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;
use pshared::{Shm, ShmSafe};

use super::memory::Name;
use super::{Shared, is_test};

const ROLE: &str = "PSHARED_BENCH_ROLE";

/// What takes longer hangs.
const WATCHDOG: Duration = Duration::from_secs(120);

/// How the two talk about a round. Numbers of rounds count from 1; a byte through a pipe asks for one, so that whoever
/// has nothing to do sleeps.
#[repr(C)]
#[derive(ShmSafe)]
struct Talk {
    accepted: AtomicU64,
    started: AtomicU64,
    finished: AtomicU64,
    /// What the round is about.
    parameter: AtomicU64,
    /// The other process's result.
    result: AtomicU64,
}

/// What the second process does in a round.
pub struct Role {
    name: String,
    play: Box<Play>,
}

/// Plays with the subject of this name.
type Play = dyn Fn(&str, &Talk);

impl Role {
    /// Does `part` with an `S` and the round's parameter.
    pub fn new<S: Shared>(name: &str, part: impl Fn(&S, u64) -> u64 + 'static) -> Role {
        let play = move |subject: &str, talk: &Talk| {
            let subject = S::open(subject);
            play(talk, |parameter| part(&subject, parameter));
        };
        Role { name: full_name::<S>(name), play: Box::new(play) }
    }

    /// Waits as `wait` says; the result is the CPU time that it took, in microseconds.
    pub fn waiter<S: Shared>(name: &str, wait: impl Fn(&S) + 'static) -> Role {
        Role::new(name, move |subject: &S, _| {
            let before = cpu_time();
            wait(subject);
            cpu_time() - before
        })
    }
}

fn full_name<S: Shared>(role: &str) -> String {
    format!("{role}: {}", S::NAME)
}

/// A subject, and another process that has it too.
pub struct Pair<S: Shared> {
    pub subject: S,
    pub other: Other,
    _names: [Name; 2],
}

/// The other process.
pub struct Other {
    talk: Shm<Talk>,
    process: Child,
    round: u64,
}

impl<S: Shared> Pair<S> {
    pub fn start(role: &str) -> Pair<S> {
        let names = [Name::new("subject"), Name::new("talk")];
        let subject = S::create(&names[0].0);
        let talk = Shm::<Talk>::create_zeroed(&names[1].0).unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
            .env(ROLE, [&full_name::<S>(role), &names[0].0, &names[1].0].map(String::as_str).join("\n"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        Pair { subject, other: Other { talk, process, round: 0 }, _names: names }
    }

    /// Both at once, this one by `ours`; how long until both were ready, and what came of it here and there.
    pub fn together(&mut self, parameter: u64, ours: impl FnOnce(&S) -> u64) -> (Duration, u64, u64) {
        self.other.prepare(parameter);
        let started = Instant::now();
        self.other.start();
        let here = ours(&self.subject);
        let there = self.other.finish();
        (started.elapsed(), here, there)
    }
}

/// The CPU time that a process needs that waits for a second, or for less if this is only a test. `role` is one of
/// [`Role::waiter`], and `hold` makes it wait while it runs what it is given.
pub fn blocked<S: Shared>(role: &str, hold: impl FnOnce(&S, &mut dyn FnMut())) -> Duration {
    let time = Duration::from_millis(if is_test() { 10 } else { 1000 });
    let Pair { subject, mut other, _names } = Pair::<S>::start(role);
    hold(&subject, &mut || {
        other.prepare(0);
        other.start();
        std::thread::sleep(time);
    });
    Duration::from_micros(other.finish())
}

impl Other {
    /// Returns when the other process is about to start.
    fn prepare(&mut self, parameter: u64) {
        self.round += 1;
        self.talk.parameter.store(parameter, Ordering::Relaxed);
        self.process.stdin.as_mut().unwrap().write_all(&[0]).unwrap();
        await_value(&self.talk.accepted, self.round, &mut self.process);
    }

    fn start(&self) {
        self.talk.started.store(self.round, Ordering::Release);
    }

    fn finish(&mut self) -> u64 {
        await_value(&self.talk.finished, self.round, &mut self.process);
        self.talk.result.load(Ordering::Relaxed)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.process.kill(); // wherever it waits; fails only if it has ended
            let _ = self.process.wait();
            return;
        }
        drop(self.process.stdin.take()); // no more rounds
        let status = self.process.wait().unwrap();
        assert!(status.success(), "the other process failed: {status}");
    }
}

fn await_value(word: &AtomicU64, value: u64, other: &mut Child) {
    let since = Instant::now();
    while !is_seen(word, value) {
        assert!(other.try_wait().unwrap().is_none(), "the other process ended");
        if since.elapsed() > WATCHDOG {
            other.kill().unwrap();
            panic!("the other process hangs");
        }
    }
}

/// Looks for a while, and lets others run if they share this processor.
fn is_seen(word: &AtomicU64, value: u64) -> bool {
    for _ in 0..1000 {
        if word.load(Ordering::Acquire) == value {
            return true;
        }
        spin_loop();
    }
    std::thread::yield_now();
    false
}

/// Plays the role that this process was started for; `false` if it was started by a user.
pub fn play_role(roles: &[Role]) -> bool {
    let Ok(role) = std::env::var(ROLE) else { return false };
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
    let [role, subject, talk] = role.split('\n').collect::<Vec<_>>().try_into().unwrap();
    let talk = Shm::<Talk>::open(talk).unwrap();
    let known = roles.iter().find(|known| known.name == role);
    let known = known.unwrap_or_else(|| panic!("no role is called {role}"));
    (known.play)(subject, &talk);
    true
}

fn play(talk: &Talk, part: impl Fn(u64) -> u64) {
    let mut asked = [0];
    for round in 1.. {
        if stdin().lock().read(&mut asked).unwrap() == 0 {
            return;
        }
        talk.accepted.store(round, Ordering::Release);
        while !is_seen(&talk.started, round) {}
        let result = part(talk.parameter.load(Ordering::Relaxed));
        talk.result.store(result, Ordering::Relaxed);
        talk.finished.store(round, Ordering::Release);
    }
}

/// What this process has used so far, in microseconds.
fn cpu_time() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as u64
}

/// Runs `f`, and the processes that it starts, on one processor.
pub fn on_one_core<R>(f: impl FnOnce() -> R) -> R {
    let this = Pid::from_raw(0);
    let all = sched_getaffinity(this).unwrap();
    let last = (0..CpuSet::count()).rev().find(|cpu| all.is_set(*cpu).unwrap()).unwrap();
    let mut one = CpuSet::new();
    one.set(last).unwrap();
    sched_setaffinity(this, &one).unwrap();
    let result = f();
    sched_setaffinity(this, &all).unwrap();
    result
}
