//! Owners that end: the next one gets the lock at once, and is told.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pshared::{Cause, Error, LockError, Shm};

use crate::Mutex;
use crate::actor::{Actor, Found, Lonely, Stage, TEST};
use crate::support::child::{self, Peer};
use crate::support::place::Scratch;
use crate::support::schedule::{self, state};

/// Takes and gives back until everybody has had the lock: all of them with this finding.
fn each_finds(stage: &Stage, mut waiting: Vec<&Actor>, found: Found) {
    while !waiting.is_empty() {
        schedule::wait_until("the next one has it", || stage.owner(0) != 0);
        let next = waiting.iter().position(|waiter| waiter.tid == stage.owner(0)).unwrap();
        let next = waiting.remove(next);
        assert_eq!(next.found(), found);
        next.unlock(0);
    }
}

#[test]
fn e2w_an_owner_killed_with_others_waiting() {
    let stage = Stage::new();
    let [owner, a, b, c] = [(); 4].map(|()| stage.actor());
    assert_eq!(owner.takes("lock 0"), Found::Clean);
    for waiter in [&a, &b, &c] {
        waiter.sleep_on("lock 0");
    }
    let dead = owner.tid;
    owner.kill();
    assert_ne!(stage.owner(0), dead, "not marked by the kernel");
    assert!([&a, &b, &c].iter().any(|waiter| !stage.is_stranded(waiter, 0, &[])), "nobody was woken");
    each_finds(&stage, vec![&a, &b, &c], Found::Poisoned);
    assert_eq!(stage.must_be_free(0), Found::Poisoned);
    assert_eq!(stage.must_be_free(0), Found::Clean);
}

#[test]
fn e2w_an_owner_killed_with_nobody_waiting() {
    let stage = Stage::new();
    let owner = stage.actor();
    assert_eq!(owner.takes("lock 0"), Found::Clean);
    owner.kill();
    assert_eq!(stage.owner(0), 0, "not marked by the kernel");
    assert!(stage.table.locks[0].is_poisoned() && !stage.table.locks[0].is_locked());
    assert_eq!(stage.must_be_free(0), Found::Poisoned);
}

#[test]
fn e9_an_owner_killed_while_a_forked_child_lives() {
    let stage = Stage::new();
    let [owner, waiter] = [(); 2].map(|()| stage.actor());
    assert_eq!(owner.takes("lock 0"), Found::Clean);
    let child: u32 = owner.ask("fork").parse().unwrap();
    waiter.sleep_on("lock 0");
    let dead = owner.tid;
    owner.kill();
    assert_ne!(stage.owner(0), dead, "not marked by the kernel");
    assert!(!stage.is_stranded(&waiter, 0, &[dead]));
    assert_eq!(waiter.found(), Found::Poisoned);
    assert!(matches!(state(child), Some('S' | 'R')), "the child was to outlive its parent");
    kill(Pid::from_raw(child as i32), Signal::SIGKILL).unwrap();
}

const WANTED: usize = 3000;
const LIMIT: usize = 2048;

type Many = [Mutex<u32>; WANTED];

#[test]
fn e10_three_thousand_locks_wanted_and_all_that_are_had_come_back() {
    let scratch = Scratch::new();
    let [_, name] = scratch.posix().words();
    let locks = Shm::<Many>::create_zeroed(&name).unwrap();
    let owner = child::spawn(TEST, "many", &[&name]);
    assert_eq!(owner.peer.hear(), format!("{LIMIT} held, {:?}", Error::TooManyLocks { limit: LIMIT }));
    assert!(locks[..LIMIT].iter().all(|lock| lock.is_locked()));
    owner.kill();

    for (number, lock) in locks.iter().enumerate() {
        assert!(!lock.is_locked(), "lock {number} was not marked by the kernel");
        let cause = lock.try_lock().err().map(|error| error.recover().unwrap().1);
        assert_eq!(cause, (number < LIMIT).then_some(Cause::OwnerDied), "lock {number}");
    }
}

/// The other process of the test above.
pub fn take_many(args: &[String], peer: &Peer) {
    let locks = Shm::<Many>::open(&args[0]).unwrap();
    let mut guards = Vec::new();
    let refused = locks.iter().find_map(|lock| match lock.lock() {
        Ok(guard) => {
            guards.push(guard);
            None
        }
        Err(error) => Some(error),
    });
    // Refused again, and still the limit holds for those that wait and those that try.
    assert!(matches!(locks[WANTED - 1].try_lock(), Err(LockError::Failed(Error::TooManyLocks { .. }))));
    let Some(LockError::Failed(error)) = refused else { panic!("{refused:?}") };
    peer.say(&format!("{} held, {error:?}", guards.len()));
    peer.hear();
}

#[test]
fn e11_exec_from_the_first_thread() {
    let stage = Stage::new();
    let (owner, waiter) = (stage.lonely(Lonely::Reaped), stage.actor());
    assert_eq!(owner.takes("lock 0"), Found::Clean);
    waiter.sleep_on("lock 0");
    owner.tell("exec");
    assert_eq!(waiter.found(), Found::Poisoned);
    schedule::wait_until("the new program runs", || program(owner.tid) == "sleep\n");
}

#[test]
fn e11_exec_from_another_thread() {
    let stage = Stage::new();
    let [owner, waiter] = [(); 2].map(|()| stage.actor());
    let thread: u32 = owner.ask("lock-and-exec-from-thread 0").parse().unwrap();
    assert_eq!(stage.owner(0), thread);
    waiter.sleep_on("lock 0");
    owner.tell("exec");
    // The exec'ing thread took over the id of the first one; its own is nobody's now, and the kernel has marked nothing.
    schedule::wait_until("the new program runs", || program(owner.id()) == "sleep\n" && state(thread).is_none());
    println!("the word when the new program ran: {:#x}, the owner was {thread}", stage.word(0));
    assert_eq!(waiter.found(), Found::Poisoned);
    assert_eq!(program(owner.id()), "sleep\n");
}

#[test]
fn e11_a_lock_that_a_thread_left_by_exec_is_found_by_trying() {
    let stage = Stage::new();
    let owner = stage.actor();
    let thread: u32 = owner.ask("lock-and-exec-from-thread 0").parse().unwrap();
    owner.tell("exec");
    schedule::wait_until("the new program runs", || program(owner.id()) == "sleep\n" && state(thread).is_none());
    assert_eq!(stage.owner(0), thread, "nobody looked yet");
    assert_eq!(stage.must_be_free(0), Found::Poisoned);
}

fn program(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()
}

#[test]
fn e12_a_recoverer_killed_before_it_is_done() {
    let stage = Stage::new();
    let [owner, first, second, next] = [(); 4].map(|()| stage.actor());
    assert_eq!(owner.takes("lock 0"), Found::Clean);
    owner.kill();
    for recoverer in [first, second] {
        assert_eq!(recoverer.ask("recover-slowly 0"), "repairing");
        recoverer.kill();
        assert_eq!(stage.owner(0), 0, "not marked by the kernel");
        assert!(stage.table.locks[0].is_poisoned());
    }
    assert_eq!(next.takes("lock 0"), Found::Poisoned);
    next.unlock(0);
    assert_eq!(next.ask("recover 0"), "done");
    assert_eq!(next.takes("lock 0"), Found::Clean);
}
