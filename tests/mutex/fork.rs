//! Fork: the child holds nothing of what its parent holds.
//!
//! Forked from a test's own process, where nothing runs beside it: the test runner's thread waits for the only test.

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use pshared::Error;
use pshared::generic::{MappedMutexGuard, Mutex, MutexGuard};

use super::*;

use crate::support::claims::{in_processes, in_processes_with_private_memory};
use crate::support::state::wait_until_asleep_in_a_lock;

/// Runs `body` in a forked child, which must come to its end.
fn in_a_fork(body: impl FnOnce()) {
    // What another thread holds at this moment would stay held in the child.
    let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
    assert!(threads <= 2, "{threads} threads, but only the runner's waits for this test");
    if threads == 2 {
        wait_until_asleep_in_a_lock(std::process::id());
    }
    // SAFETY: the one other thread sleeps and holds nothing, so the child may do whatever its parent might.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            nix::unistd::alarm::set(30); // not inherited, and a hang is a failure
            let passed = catch_unwind(AssertUnwindSafe(body)).is_ok();
            // SAFETY: ends the child without running the parent's destructors.
            unsafe { libc::_exit(if passed { 0 } else { 1 }) }
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
        }
    }
}

in_processes!(
    /// U3 of the list of hazards.
    a_child_that_drops_an_inherited_guard_unlocks_nothing,
    Mutex<u64, B> = Mutex::new(0),
    workers = 1,
    |m, me| {
        let guard = m.lock().unwrap();
        let copies: [fn(MutexGuard<'_, u64, B>); 4] = [
            |copy| drop(copy),
            |copy| drop(MutexGuard::map(copy, |n| n)),
            |copy| drop(MappedMutexGuard::map(MutexGuard::map(copy, |n| n), |n| n)),
            |copy| {
                panicking(|| {
                    let _copy = copy;
                    panic_quietly();
                })
            },
        ];
        let mut guard = Some(guard);
        for drop_copy in copies {
            in_a_fork(|| {
                drop_copy(guard.take().unwrap());
                assert!(m.is_locked());
                assert_eq!(m.owner().unwrap().pid, nix::unistd::getppid().as_raw() as u32);
                assert!(matches!(m.try_lock(), Err(LockError::WouldBlock)));
                assert!(matches!(m.try_lock_for(Duration::from_millis(5)), Err(LockError::TimedOut)));
                assert!(!m.is_poisoned());
            });
            assert!(m.is_locked());
            assert_eq!(m.owner().unwrap().pid, std::process::id());
        }
        me.say("held");
        me.expect("let go");
        drop(guard);
        me.say("free");
    },
    |m, workers| {
        workers[0].expect("held");
        assert!(matches!(m.try_lock(), Err(LockError::WouldBlock)));
        workers[0].say("let go");
        workers[0].expect("free");
        assert_eq!(cause(m.lock()), None);
    }
);

in_processes!(
    a_child_locks_for_itself,
    [Mutex<u64, B>; 3] = [const { Mutex::new(0) }; 3],
    workers = 1,
    |all, me| {
        let mut mine = all[0].lock().unwrap();
        in_a_fork(|| {
            *all[1].lock().unwrap() += 1;
            assert_eq!(all[1].lock().map(|_| all[1].owner().unwrap().pid).unwrap(), std::process::id());
            // It dies with this one, and the parent with nothing.
            std::mem::forget(all[2].lock().unwrap());
        });
        assert_eq!(*all[1].lock().unwrap(), 1);
        assert_eq!(cause(all[2].lock()), Some(Cause::OwnerDied));
        *mine += 1;
        drop(mine);
        assert_eq!(cause(all[0].lock()), None);
        me.say("done");
    },
    |all, workers| {
        workers[0].expect("done");
        workers.finish();
        assert_eq!(*all[0].lock().unwrap(), 1);
    }
);

in_processes_with_private_memory!(
    a_childs_copy_of_a_private_lock_that_was_held_is_poisoned,
    Mutex<u64, B> = Mutex::new(0),
    workers = 1,
    |_, _| {
        let private: Mutex<u64, B> = Mutex::new(3);
        let guard = private.lock().unwrap();
        in_a_fork(|| {
            let (mut copy, cause) = private.lock().unwrap_err().recover().unwrap();
            assert_eq!(cause, Cause::OwnerDied);
            *copy = 4;
        });
        assert_eq!(*guard, 3);
        drop(guard);
        assert_eq!(cause(private.lock()), None);
    },
    |_, _| {}
);

/// How many of the locks this thread can hold at once.
fn holds_at_most<B: Backend>(all: &[Mutex<u64, B>]) -> usize {
    let mut guards = Vec::new();
    for m in all {
        match m.lock() {
            Ok(guard) => guards.push(guard),
            Err(LockError::Failed(Error::TooManyLocks { .. })) => break,
            Err(other) => panic!("{other}"),
        }
    }
    guards.len()
}

in_processes!(
    what_the_parent_holds_takes_no_room_in_the_child,
    [Mutex<u64, B>; 2100] = [const { Mutex::new(0) }; 2100],
    workers = 1,
    |all, _| {
        let (parents, others) = all.split_at(20);
        let room = holds_at_most(others);
        let held: Vec<_> = parents.iter().map(|m| m.lock().unwrap()).collect();
        assert_eq!(holds_at_most(others), if room < others.len() { room - held.len() } else { room });
        in_a_fork(|| assert_eq!(holds_at_most(others), room));
        drop(held);
        assert_eq!(holds_at_most(others), room);
    },
    |_, _| {}
);
