//! E7: thread ids mean other threads in another pid namespace, so a lock could get two owners there.

use std::ptr::NonNull;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::WaitStatus;
use pshared::region::{Anonymous, Region};
use pshared::{Error, LockError, Mutex, Shm, ShmCell};

use crate::scene::{Locks, alone, anonymous, exit, fork, locks, open, pid_namespace, use_up};
use crate::support::place::Scratch;

const NOT_ALLOWED: i32 = 77;

/// Does `body` in the first process of a new pid namespace.
fn in_another_pid_namespace(body: impl FnOnce()) {
    let outside = fork(|| {
        // SAFETY: changes where this process's children are made.
        let unshare = |flags| Errno::result(unsafe { libc::unshare(flags) });
        if unshare(libc::CLONE_NEWPID).or_else(|_| unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWPID)).is_err() {
            exit(NOT_ALLOWED);
        }
        let ours = pid_namespace();
        fork(|| {
            assert_ne!(pid_namespace(), ours);
            body();
        })
        .finish();
    });
    match outside.wait() {
        WaitStatus::Exited(_, 0) => {}
        WaitStatus::Exited(_, NOT_ALLOWED) => eprintln!("skipped: this user may not make pid namespaces"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, Error>, made_in: u64) {
    match result {
        Err(Error::PidNamespace { theirs, ours, .. }) => assert_eq!((theirs, ours), (made_in, pid_namespace())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn e7_a_process_of_another_pid_namespace_is_refused_at_attach() {
    alone(|| {
        let made_in = pid_namespace();
        let scratch = Scratch::new();
        for place in &scratch.places {
            let region = place.region(None);
            let shm = Shm::create_in(&*region, locks).unwrap();
            in_another_pid_namespace(|| {
                assert_refused(Shm::<Locks>::open_in(&*region).map(drop), made_in);
                assert_refused(Shm::open_or_create_in(&*region, locks).map(drop), made_in);
                assert!(Shm::create_in(&*region, locks).is_err());
            });
            shm.locks.iter().for_each(use_up);
            use_up(&open(&*region).locks[0]);
        }
    });
}

#[test]
fn e7_memory_mapped_before_the_namespace_was_left_is_refused_at_attach() {
    alone(|| {
        let made_in = pid_namespace();
        let staged = Anonymous::new().stage(ShmCell::<Locks>::size()).unwrap();
        let memory = || NonNull::slice_from_raw_parts(staged.mapping().as_ptr(), staged.mapping().len());
        // SAFETY: zeros at first, mapped until the end of the test, for this cell only.
        unsafe { ShmCell::init(memory(), locks) }.unwrap();
        in_another_pid_namespace(|| {
            // SAFETY: as above.
            assert_refused(unsafe { ShmCell::<Locks>::attach(memory()) }.map(drop), made_in);
            // SAFETY: as above.
            assert_refused(unsafe { ShmCell::init(memory(), locks) }.map(drop), made_in);
        });
    });
}

/// `used`: whether the process has locked before, and so knows its namespace.
fn attached_before(used: bool) {
    alone(|| {
        let made_in = pid_namespace();
        let shm = anonymous();
        let movable = Mutex::new(1);
        if used {
            use_up(&shm.locks[0]);
            use_up(&movable);
        }
        let held = used.then(|| shm.locks[1].lock().unwrap());
        in_another_pid_namespace(|| {
            for lock in &shm.locks[..2] {
                let was_locked = lock.is_locked();
                let refused = |error: LockError<_>| Error::from(error.map(drop));
                assert_refused(lock.lock().map(drop).map_err(refused), made_in);
                assert_refused(lock.try_lock().map(drop).map_err(refused), made_in);
                assert_refused(lock.try_lock_for(Duration::from_millis(5)).map(drop).map_err(refused), made_in);
                assert_eq!(lock.is_locked(), was_locked);
                assert!(!lock.is_poisoned());
            }
            // SAFETY: a fork has copied the guard: what stays in the parent is another value.
            drop(unsafe { std::ptr::read(&held) });
            assert_eq!(shm.locks[1].is_locked(), used);
            use_up(&movable); // of this process alone, as everything that is not in shared memory
        });
        shm.locks[2..].iter().for_each(use_up);
    });
}

#[test]
fn e7_a_process_that_attached_before_unshare_and_fork_is_refused_at_lock() {
    attached_before(true);
}

#[test]
fn e7_so_is_one_that_never_locked_before() {
    attached_before(false);
}
