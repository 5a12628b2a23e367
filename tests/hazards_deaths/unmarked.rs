//! Deaths that the kernel doesn't tell of: waiters find out by asking whether the owner lives.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::actor::{Found, Lonely, Stage, TEST};
use crate::staged;
use crate::support::schedule::{self, Pinned, Spinner, state};

#[test]
fn e15_an_owner_whose_memory_is_reaped_before_its_exit_walk() {
    let [first, second, ..] = schedule::processors()[..] else {
        return println!("skipped: it takes two processors");
    };
    staged("e15", || {
        let stage = Stage::new();
        let _here = Pinned::to(0, &[first]);
        let [owner, waiter] = [(); 2].map(|()| stage.actor());
        assert_eq!(owner.takes("lock 0"), Found::Clean);
        waiter.sleep_on("lock 0");
        assert_eq!(owner.ask(&format!("pin {second}")), "done");
        assert_eq!(owner.ask("spin"), "done");
        let process = pidfd(owner.id());
        let Some(spinner) = Spinner::start(TEST, second) else {
            println!("skipped: it takes the right to real-time priorities");
            return Some(());
        };
        kill(Pid::from_raw(owner.id() as i32), Signal::SIGKILL).unwrap();
        let reaped = release_memory(&process);
        drop(spinner); // only now the owner gets to its exit walk
        let dead = owner.tid;
        owner.kill();
        let unmarked = stage.owner(0) == dead;
        println!("process_mrelease: {reaped:?}, the word afterwards: {:#x}", stage.word(0));
        assert_eq!(waiter.found(), Found::Poisoned);
        ((unmarked || crate::SLEEPERS_ARE_KNOWN) && reaped.is_ok()).then_some(())
    });
}

/// `pidfd_open`.
fn pidfd(pid: u32) -> OwnedFd {
    // SAFETY: takes numbers only.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) }).unwrap();
    // SAFETY: new, and nobody else's.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// `process_mrelease`.
fn release_memory(process: &OwnedFd) -> Result<(), Errno> {
    // SAFETY: takes numbers only, and the process is dying.
    let done = unsafe { libc::syscall(libc::SYS_process_mrelease, process.as_raw_fd(), 0) };
    Errno::result(done).map(drop)
}

#[test]
fn e15_an_owner_whose_list_the_kernel_does_not_know() {
    let stage = Stage::new();
    let [owner, waiter, later] = [(); 3].map(|()| stage.actor());
    assert_eq!(owner.takes("lock 0"), Found::Clean);
    assert_eq!(owner.takes("lock 1"), Found::Clean);
    assert_eq!(owner.ask("forget-list"), "done");
    waiter.sleep_on("lock 0");
    let dead = owner.tid;
    owner.kill();
    assert_eq!(stage.owner(1), dead, "the kernel was not to mark it");
    assert_eq!(waiter.found(), Found::Poisoned);
    assert_eq!(later.takes("lock 1"), Found::Poisoned);
}

#[test]
fn an_unmarked_owner_that_nobody_reaps_is_dead_all_the_same() {
    let stage = Stage::new();
    let (owner, waiter) = (stage.lonely(Lonely::LeftAsZombie), stage.actor());
    for lock in ["lock 0", "lock 1", "lock 2"] {
        assert_eq!(owner.takes(lock), Found::Clean);
    }
    assert_eq!(owner.ask("forget-list"), "done");
    waiter.sleep_on("lock 0");
    owner.kill_acting();
    assert_eq!(stage.owner(1), owner.tid, "the kernel was not to mark it");
    assert_eq!(waiter.found(), Found::Poisoned);
    assert_eq!(waiter.takes("timed 1"), Found::Poisoned);
    assert_eq!(stage.must_be_free(2), Found::Poisoned);
    assert_eq!(state(owner.tid), Some('Z'), "it was to stay a zombie");
}

#[test]
fn a_marked_owner_that_nobody_reaps_is_dead_at_once() {
    let stage = Stage::new();
    let (owner, waiter) = (stage.lonely(Lonely::LeftAsZombie), stage.actor());
    assert_eq!(owner.takes("lock 0"), Found::Clean);
    waiter.sleep_on("lock 0");
    owner.kill_acting();
    assert_ne!(stage.owner(0), owner.tid, "not marked by the kernel");
    assert!(!stage.is_stranded(&waiter, 0, &[owner.tid]));
    assert_eq!(waiter.found(), Found::Poisoned);
    assert_eq!(state(owner.tid), Some('Z'), "it was to stay a zombie");
}

/// An owner dies unmarked, and another thread gets its id: nobody may take the one for the other.
#[test]
fn the_next_thread_of_a_dead_owners_id_locks_nobody_out() {
    staged("id used again", || {
        let stage = Stage::new();
        let [reuser, waiter] = [(); 2].map(|()| stage.actor());
        let owner = stage.lonely(Lonely::Reaped);
        for lock in ["lock 0", "lock 1", "lock 2", "lock 3"] {
            assert_eq!(owner.takes(lock), Found::Clean);
        }
        assert_eq!(owner.ask("forget-list"), "done");
        let seen = tenths();
        owner.kill_acting();
        schedule::wait_until("the dead one is reaped", || state(owner.tid).is_none());
        // Start times are told apart by tenths of a second.
        schedule::wait_until("another tenth of a second", || tenths() > seen + 1);

        match reuser.ask(&format!("become {}", owner.tid)).as_str() {
            here if here == format!("{} here", owner.tid) => {}
            "EPERM" => {
                println!("skipped: it takes the right to choose ids");
                return Some(());
            }
            "EEXIST" => return None, // somebody else has got it meanwhile
            other => panic!("{other}"),
        }
        assert!(matches!(state(owner.tid), Some('S' | 'R')), "a living thread was to have the id");
        // Others beside the living thread, and itself by every way to lock.
        assert_eq!(waiter.takes("lock 2"), Found::Poisoned);
        assert_eq!(stage.must_be_free(3), Found::Poisoned);
        if !crate::LOCKS_AFTER_BARE_CLONE {
            assert!(reuser.ask("lock 0").contains("clone"), "it was to be refused");
            assert_eq!(waiter.takes("try 0"), Found::Poisoned);
            return Some(());
        }
        assert_eq!(reuser.takes("lock 0"), Found::Poisoned);
        assert_eq!(reuser.takes("try 1"), Found::Poisoned);
        // What it took is its own now, as with any owner.
        assert_eq!(reuser.ask("lock 0"), "WouldDeadlock");
        assert_eq!(waiter.ask("try 0"), "WouldBlock");
        reuser.unlock(0);
        assert_eq!(waiter.takes("lock 0"), Found::Poisoned);
        Some(())
    });
}

fn tenths() -> i64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap();
    now.tv_sec() * 10 + now.tv_nsec() / 100_000_000
}
