//! Priority inversion, staged on one processor: somebody unimportant has the lock, somebody important waits for it, and
//! somebody in between would keep the first one from running for ever.

use std::time::Duration;

use nix::errno::Errno;
use pshared::generic::Mutex;
use pshared::pthread::{Pthread, PthreadPi};
use pshared::{Shm, ShmSafe, backend::Backend};

use crate::actor::TEST;
use crate::support::child::{self, Child, Peer};
use crate::support::place::Scratch;
use crate::support::schedule::{self, Pinned};
use crate::support::state::{state, tid, wait_until, wait_until_asleep_in_a_lock};

const LOW: i32 = 10;
const MIDDLE: i32 = 20;
const HIGH: i32 = 30;
/// Of the test itself, on another processor.
const OBSERVER: i32 = 40;

#[repr(C)]
#[derive(ShmSafe)]
struct Both {
    inherits: Mutex<u32, PthreadPi>,
    plain: Mutex<u32, Pthread>,
}

/// The roles: who has the lock, who keeps the processor busy, who wants the lock.
pub fn play(role: &str, args: &[String], peer: &Peer) {
    let both = Shm::<Both>::open(&args[0]).unwrap();
    let _pinned = Pinned::to(0, &[args[1].parse().unwrap()]);
    match args[2].as_str() {
        "inherits" => play_with(role, &both.inherits, peer),
        _ => play_with(role, &both.plain, peer),
    }
}

fn play_with<B: Backend>(role: &str, lock: &Mutex<u32, B>, peer: &Peer) {
    let priority = match role {
        "low" => LOW,
        "middle" => MIDDLE,
        "high" => HIGH,
        other => panic!("no role is called {other}"),
    };
    match become_real_time(priority) {
        Err(Errno::EPERM) => return peer.say("EPERM"),
        done => done.unwrap(),
    }
    match role {
        "low" => {
            let mut guard = lock.lock().unwrap();
            peer.say(&tid().to_string());
            peer.expect("unlock");
            *guard += 1;
            drop(guard);
            peer.say("unlocked");
            peer.hear();
        }
        "middle" => {
            peer.say(&tid().to_string());
            peer.expect("spin");
            loop {
                std::hint::spin_loop();
            }
        }
        _ => {
            peer.say(&tid().to_string());
            peer.expect("lock");
            let guard = lock.lock().unwrap();
            peer.say(&guard.to_string());
            peer.hear();
        }
    }
}

/// SCHED_FIFO for this thread.
fn become_real_time(priority: i32) -> Result<(), Errno> {
    let priority = libc::sched_param { sched_priority: priority };
    // SAFETY: the parameter outlives the call.
    Errno::result(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &priority) }).map(drop)
}

/// The priority that a thread runs with: field 18 of proc_pid_stat(5), which counts real-time ones down from -1.
fn priority(tid: u32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{tid}/stat")).unwrap();
    let mut fields = stat[stat.rfind(')').unwrap() + 1..].split_ascii_whitespace();
    let priority: i32 = fields.nth(15).unwrap().parse().unwrap();
    -1 - priority
}

/// Whether this thread, which must get a word in, is ahead of everybody in the play; put back when dropped.
struct Observing(Pinned);

impl Observing {
    fn on(cpu: usize) -> Option<Observing> {
        become_real_time(OBSERVER).is_ok().then(|| Observing(Pinned::to(0, &[cpu])))
    }
}

impl Drop for Observing {
    fn drop(&mut self) {
        let ordinary = libc::sched_param { sched_priority: 0 };
        // SAFETY: the parameter outlives the call.
        Errno::result(unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &ordinary) }).unwrap();
        let _ = &self.0;
    }
}

/// The three, the first with the lock, the second spinning, the third asleep in the lock.
struct Play {
    /// The first to be killed: nobody else dies while it spins.
    _middle: Child,
    high: Child,
    low: Child,
    low_tid: u32,
    middle_tid: u32,
}

/// `None` where this user has no right to real-time priorities.
fn stage(name: &str, cpu: usize, kind: &str) -> Option<Play> {
    let cpu = cpu.to_string();
    let start = |role| {
        let child = child::spawn(TEST, role, &[name, &cpu, kind]);
        match child.peer.hear().as_str() {
            "EPERM" => None,
            id => Some((child, id.parse().unwrap())),
        }
    };
    let (high, high_tid) = start("high")?;
    let (middle, middle_tid) = start("middle")?;
    let (low, low_tid) = start("low")?;
    assert_eq!(priority(low_tid), LOW);
    high.peer.say("lock");
    wait_until_asleep_in_a_lock(high_tid);
    middle.peer.say("spin");
    let before = schedule::runs(middle_tid);
    wait_until("the one in the middle spins", || {
        schedule::runs(middle_tid) >= before && priority(middle_tid) == MIDDLE
    });
    Some(Play { low, _middle: middle, high, low_tid, middle_tid })
}

fn with_stage(play: impl FnOnce(&str, usize)) {
    let [first, second, ..] = schedule::processors()[..] else {
        return println!("skipped: it takes two processors");
    };
    let scratch = Scratch::new();
    let [_, name] = scratch.posix().words();
    let _both = Shm::create(&name, || Ok(Both { inherits: Mutex::new(0), plain: Mutex::new(0) })).unwrap();
    match Observing::on(first) {
        Some(_observing) => play(&name, second),
        None => println!("skipped: it takes the right to real-time priorities"),
    }
}

#[test]
fn the_holder_runs_with_the_priority_of_the_waiter_ahead_of_who_is_in_between() {
    with_stage(|name, cpu| {
        let Some(play) = stage(name, cpu, "inherits") else {
            return println!("skipped: it takes the right to real-time priorities");
        };
        // The waiter looks up every now and then; asleep, it lends its priority.
        wait_until("the holder is raised", || priority(play.low_tid) == HIGH);
        play.low.peer.say("unlock");
        play.high.peer.expect("1");
        assert_eq!(
            (priority(play.middle_tid), state(play.middle_tid)),
            (MIDDLE, Some('R')),
            "the one in the middle was to spin all the while"
        );
        play.high.peer.say("end");
        wait_until("the holder is what it was", || priority(play.low_tid) == LOW);
    });
}

/// The other half of the claim: the staging is one in which only inheritance raises anybody.
#[test]
fn without_inheritance_the_holder_runs_with_its_own_priority() {
    with_stage(|name, cpu| {
        let Some(play) = stage(name, cpu, "plain") else {
            return println!("skipped: it takes the right to real-time priorities");
        };
        for _ in 0..60 {
            assert_eq!(priority(play.low_tid), LOW);
            std::thread::sleep(Duration::from_millis(5)); // several slices of the waiter in all
        }
        assert_eq!(state(play.middle_tid), Some('R'));
    });
}
