//! Fork: the child holds nothing of what its parent holds.
//!
//! Forked from a test's own process, where nothing runs beside it: the test runner's thread waits for the only test.

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use pshared::{RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard, UpgradeError};

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
    a_child_that_drops_inherited_guards_unlocks_nothing,
    [RwLock<u64, B>; 2] = [const { RwLock::new(0) }; 2],
    workers = 1,
    |l, me| {
        let mut held = Some((l[0].write().unwrap(), l[1].read().unwrap(), l[1].read().unwrap()));
        for narrowed in [false, true] {
            in_a_fork(|| {
                let (write, read, again) = held.take().unwrap();
                if narrowed {
                    drop((WriteGuard::map(write, |n| n), ReadGuard::map(read, |n| n)));
                } else {
                    drop((write, read));
                }
                drop(again);
                assert!(matches!(l[0].try_read(), Err(LockError::WouldBlock)));
                assert!(matches!(l[1].try_write_for(Duration::from_millis(5)), Err(LockError::TimedOut)));
                assert_eq!(*l[1].read().unwrap(), 0, "the child reads for itself");
                assert!(!l[0].is_poisoned());
            });
            assert!(l[0].is_locked_exclusive() && l[1].is_locked());
        }
        me.say("held");
        me.expect("let go");
        drop(held);
        me.say("free");
    },
    |l, workers| {
        workers[0].expect("held");
        assert!(matches!(l[0].try_read(), Err(LockError::WouldBlock)));
        assert!(matches!(l[1].try_write(), Err(LockError::WouldBlock)));
        workers[0].say("let go");
        workers[0].expect("free");
        assert_eq!((cause(l[0].write()), cause(l[1].write())), (None, None));
    }
);

#[test]
fn a_child_turns_no_inherited_guard() {
    // In a process of its own, as the others.
    const TEST: &str = "fork::a_child_turns_no_inherited_guard";
    if crate::support::child::role().is_none() {
        return crate::support::child::spawn(TEST, "worker", &[]).finish();
    }
    let name = format!("pshared-rwlock-fork-{}", std::process::id());
    let shm = pshared::Shm::create(&name, || Ok([const { pshared::RwLock::new(0_u64) }; 3])).unwrap();
    pshared::Shm::<[pshared::RwLock<u64>; 3]>::remove(&name).unwrap();
    let [a, b, c] = &*shm;
    let mut held = Some((a.write().unwrap(), b.write().unwrap(), c.upgradable_read().unwrap()));
    in_a_fork(|| {
        let (down, open, up) = held.take().unwrap();
        let read: RwLockReadGuard<'_, u64> = RwLockWriteGuard::downgrade(down);
        drop(read);
        drop(RwLockWriteGuard::downgrade_to_upgradable(open));
        let Err(UpgradeError::Refused { guard, .. }) = RwLockUpgradableReadGuard::upgrade(up) else {
            panic!("upgraded what the parent has")
        };
        drop(RwLockUpgradableReadGuard::downgrade(guard));
    });
    assert!(a.is_locked_exclusive() && b.is_locked_exclusive() && c.is_locked());
    let (down, open, up) = held.take().unwrap();
    drop((RwLockWriteGuard::downgrade(down), RwLockWriteGuard::downgrade_to_upgradable(open)));
    drop(RwLockUpgradableReadGuard::upgrade(up).unwrap());
    assert!(shm.iter().all(|l| cause(l.try_write()).is_none()));
}

in_processes_with_private_memory!(
    a_childs_copy_of_a_private_lock_that_was_held_is_its_own,
    RwLock<u64, B> = RwLock::new(0),
    workers = 1,
    |_, _| {
        let private: [RwLock<u64, B>; 2] = [const { RwLock::new(3) }; 2];
        let (write, read) = (private[0].write().unwrap(), private[1].read().unwrap());
        in_a_fork(|| {
            assert_eq!(cause(private[0].write()), Some(Cause::OwnerDied));
            assert_eq!(cause(private[1].write()), None);
        });
        drop((write, read));
        assert_eq!((cause(private[0].write()), cause(private[1].write())), (None, None));
    },
    |_, _| {}
);
