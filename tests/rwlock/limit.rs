//! E10 of the list of hazards: the kernel looks at no more than 2048 locks of a thread that has died.

use std::mem::forget;

use nix::sys::signal::{Signal, kill};
use pshared::{Cause, Error, LockError, LockResult, RwLock, RwLockWriteGuard, Shm};

use crate::cause;
use crate::support::child;
use crate::support::place::Scratch;
use crate::support::watchdog::watch;

const LIMIT: usize = 2048;

type Many = [RwLock<u32, 1>; LIMIT + 3];

fn is_refused<G>(result: LockResult<G>) -> bool {
    matches!(result, Err(LockError::Failed(Error::TooManyLocks { limit: LIMIT })))
}

/// Nobody gets one lock more, and what takes none goes on.
fn the_limit_holds(locks: &Many) {
    for lock in &locks[LIMIT..] {
        assert!(is_refused(lock.read()) && is_refused(lock.try_read()));
        assert!(is_refused(lock.write()) && is_refused(lock.try_write()));
        assert!(is_refused(lock.upgradable_read()) && is_refused(lock.try_upgradable_read()));
        assert!(!lock.is_locked() && !lock.is_poisoned());
    }
    assert!(locks[1].read().is_ok(), "a read inside a read takes no more room");
    assert!(locks[1].is_locked());
}

#[test]
fn e10_the_lock_beyond_the_kernels_limit_is_an_error_and_all_others_come_back() {
    const TEST: &str = "limit::e10_the_lock_beyond_the_kernels_limit_is_an_error_and_all_others_come_back";
    if let Some((_, args, peer)) = child::role() {
        let locks = Shm::<Many>::open(&args[0]).unwrap();
        for pair in locks[..LIMIT].chunks(2) {
            forget(pair[0].write().unwrap());
            forget(pair[1].read().unwrap());
        }
        the_limit_holds(&locks);
        peer.say("all held");
        peer.hear();
        kill(nix::unistd::getpid(), Signal::SIGKILL).unwrap();
    }
    let _watchdog = watch(TEST);
    let scratch = Scratch::new();
    let [_, name] = scratch.posix().words();
    let locks = Shm::<Many>::create_zeroed(&name).unwrap();
    let owner = child::spawn(TEST, "owner", &[&name]);
    owner.peer.expect("all held");
    assert!(locks[..LIMIT].iter().all(RwLock::is_locked));
    owner.kill();
    for (number, lock) in locks.iter().enumerate() {
        assert!(!lock.is_locked(), "lock {number} was not marked by the kernel");
        let written = number < LIMIT && number % 2 == 0;
        assert_eq!(cause(lock.try_write()), written.then_some(Cause::OwnerDied), "lock {number}");
    }
}

#[test]
fn e10_at_the_limit_guards_turn_into_others_and_go() {
    let _watchdog = watch("e10_at_the_limit_guards_turn_into_others_and_go");
    let scratch = Scratch::new();
    let locks = Shm::<Many>::create_zeroed_in(&*scratch.posix().region(None)).unwrap();
    let reads: Vec<_> = locks[1..LIMIT].iter().map(|lock| lock.read().unwrap()).collect();
    let other_thread_reads = || {
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(locks[0].try_read().is_ok()));
        });
    };

    let write = locks[0].write().unwrap();
    the_limit_holds(&locks);
    let read = RwLockWriteGuard::downgrade(write);
    the_limit_holds(&locks);
    other_thread_reads();
    assert!(matches!(locks[0].try_write(), Err(LockError::WouldBlock)));
    drop(read);
    drop(locks[0].try_write().unwrap());

    let upgradable = RwLockWriteGuard::downgrade_to_upgradable(locks[0].write().unwrap());
    the_limit_holds(&locks);
    other_thread_reads();
    let write = pshared::RwLockUpgradableReadGuard::upgrade(upgradable).unwrap_or_else(|_| panic!("nobody else reads"));
    assert!(locks[0].is_locked_exclusive());
    drop(write);

    drop(reads);
    assert!(locks.iter().all(|lock| lock.try_write().is_ok()));
}
