//! Two processes: this one, and this program again in a role.

use std::hint::spin_loop;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;
use nix::sys::time::TimeValLike;
use pshared::{Shm, ShmSafe};

use crate::subjects::{InCell, Name, Pthread, Shared};

const ROLE: &str = "PSHARED_BENCH_ROLE";

/// What takes longer hangs.
const WATCHDOG: Duration = Duration::from_secs(120);

/// The round number that ends the other process.
const NO_MORE: u64 = u64::MAX;

/// How the two talk about a round. Numbers of rounds count from 1.
#[repr(C)]
#[derive(ShmSafe)]
struct Talk {
    offered: AtomicU64,
    accepted: AtomicU64,
    started: AtomicU64,
    finished: AtomicU64,
    /// What the sum may become in this round.
    most: AtomicU64,
    /// The other process's result.
    result: AtomicU64,
}

/// The other process, and the lock between it and this one.
pub struct Pair<S: Shared> {
    subject: S,
    talk: Shm<Talk>,
    other: Child,
    round: u64,
    most: u64,
    _names: [Name; 2],
}

/// What came of one round.
#[derive(Clone, Copy)]
pub struct Round {
    pub time: Duration,
    /// The sections of the process that got fewer, divided by the other's.
    pub share: f64,
}

impl<S: Shared> Pair<S> {
    pub fn start(role: &str) -> Pair<S> {
        let names = [Name::new("lock"), Name::new("talk")];
        let subject = S::create(&names[0].0);
        let talk = Shm::<Talk>::create_zeroed(&names[1].0).unwrap();
        let other = Command::new(std::env::current_exe().unwrap())
            .env(ROLE, [role, S::NAME, &names[0].0, &names[1].0].join("\n"))
            .spawn()
            .unwrap();
        Pair { subject, talk, other, round: 0, most: 0, _names: names }
    }

    /// Both add to the sum as fast as they can until it has grown by `sections`.
    pub fn hammer(&mut self, sections: u64) -> Round {
        self.most += sections;
        self.talk.most.store(self.most, Ordering::Relaxed);
        self.offer();
        let started = Instant::now();
        self.talk.started.store(self.round, Ordering::Release);
        let ours = sections_until(&self.subject, self.most);
        self.await_finish();
        let time = started.elapsed();
        let theirs = self.talk.result.load(Ordering::Relaxed);
        assert_eq!(ours + theirs, sections, "{} let two in at once", S::NAME);
        Round { time, share: ours.min(theirs) as f64 / ours.max(theirs).max(1) as f64 }
    }

    /// How much CPU time the other process uses while it waits for the lock for as long as that.
    pub fn blocked_for(&mut self, time: Duration) -> Duration {
        self.subject.hold(|| {
            self.round += 1;
            self.talk.offered.store(self.round, Ordering::Release);
            await_value(&self.talk.accepted, self.round, &mut self.other);
            std::thread::sleep(time);
        });
        self.await_finish();
        Duration::from_micros(self.talk.result.load(Ordering::Relaxed))
    }

    fn offer(&mut self) {
        self.round += 1;
        self.talk.offered.store(self.round, Ordering::Release);
        await_value(&self.talk.accepted, self.round, &mut self.other);
    }

    fn await_finish(&mut self) {
        await_value(&self.talk.finished, self.round, &mut self.other);
    }
}

impl<S: Shared> Drop for Pair<S> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.other.kill(); // wherever it waits; fails only if it has ended
            let _ = self.other.wait();
            return;
        }
        self.talk.offered.store(NO_MORE, Ordering::Release);
        let status = self.other.wait().unwrap();
        assert!(status.success(), "the other process failed: {status}");
    }
}

fn await_value(word: &AtomicU64, value: u64, other: &mut Child) {
    let since = Instant::now();
    while word.load(Ordering::Acquire) != value {
        for _ in 0..1000 {
            spin_loop();
        }
        assert!(other.try_wait().unwrap().is_none(), "the other process ended");
        if since.elapsed() > WATCHDOG {
            other.kill().unwrap();
            panic!("the other process hangs");
        }
    }
}

fn sections_until<S: Shared>(subject: &S, most: u64) -> u64 {
    let mut sections = 0;
    while subject.add(most) {
        sections += 1;
    }
    sections
}

/// Plays the role that this process was started for; `false` if it was started by a user.
pub fn play_role() -> bool {
    let Ok(role) = std::env::var(ROLE) else { return false };
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
    let [role, subject, lock, talk] = role.split('\n').collect::<Vec<_>>().try_into().unwrap();
    let talk = Shm::<Talk>::open(talk).unwrap();
    play::<InCell>(role, subject, lock, &talk);
    play::<Pthread<false>>(role, subject, lock, &talk);
    play::<Pthread<true>>(role, subject, lock, &talk);
    true
}

fn play<S: Shared>(role: &str, subject: &str, lock: &str, talk: &Talk) {
    if subject != S::NAME {
        return;
    }
    let subject = S::open(lock);
    for round in 1.. {
        while talk.offered.load(Ordering::Acquire) < round {
            spin_loop();
        }
        if talk.offered.load(Ordering::Acquire) == NO_MORE {
            return;
        }
        let result = match role {
            "hammer" => {
                talk.accepted.store(round, Ordering::Release);
                while talk.started.load(Ordering::Acquire) < round {
                    spin_loop();
                }
                sections_until(&subject, talk.most.load(Ordering::Relaxed))
            }
            "wait" => {
                let before = cpu_time();
                talk.accepted.store(round, Ordering::Release);
                subject.hold(|| {});
                cpu_time() - before
            }
            other => panic!("no role is called {other}"),
        };
        talk.result.store(result, Ordering::Relaxed);
        talk.finished.store(round, Ordering::Release);
    }
}

/// What this process has used so far, in microseconds.
fn cpu_time() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as u64
}
