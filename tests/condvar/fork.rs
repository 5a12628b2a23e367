//! Fork: a guard that the child finds in its copy of the memory is no lock to give up.

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use pshared::Error;

use super::*;
use crate::support::claims::in_processes;

in_processes!(
    waiting_with_an_inherited_guard_is_refused_and_unlocks_nothing,
    Room<B> = Room::new(),
    workers = 1,
    |room, _| {
        let mut guard = Some(room.lock());
        for way in 0..3 {
            // SAFETY: the test runner's only other thread waits for this one and holds nothing.
            match unsafe { fork() }.unwrap() {
                ForkResult::Child => {
                    nix::unistd::alarm::set(30); // a hang is a failure
                    let guard = guard.take().unwrap();
                    let refused = match way {
                        0 => room.changed.wait(guard).err(),
                        1 => room.changed.wait_while(guard, |_| true).err(),
                        _ => {
                            let timed = room.changed.wait_timeout(guard, LONG).map(|(guard, _)| guard);
                            timed.map_err(|error| error.map(|(guard, _)| guard)).err()
                        }
                    };
                    let fine = matches!(refused, Some(LockError::Failed(Error::Inherited)))
                        && room.value.owner().is_some_and(|owner| owner.pid == nix::unistd::getppid().as_raw() as u32);
                    // SAFETY: ends the child without running the parent's destructors.
                    unsafe { libc::_exit(if fine { 0 } else { 1 }) }
                }
                ForkResult::Parent { child } => {
                    assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
                }
            }
        }
        let (_guard, result) = room.changed.wait_timeout(guard.unwrap(), Duration::from_millis(5)).unwrap();
        assert!(result.timed_out());
    },
    |_, workers| {
        workers.finish();
    }
);

in_processes!(
    a_child_waits_with_a_lock_of_its_own,
    Room<B> = Room::new(),
    workers = 1,
    |room, me| {
        drop(room.changed.wait_timeout(room.lock(), Duration::from_millis(5)).unwrap());
        // SAFETY: as above.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                nix::unistd::alarm::set(30);
                tell_tid(me);
                let woken = room.changed.wait_while(room.lock(), |value| *value == 0).is_ok_and(|value| *value == 1);
                // SAFETY: as above.
                unsafe { libc::_exit(if woken { 0 } else { 1 }) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
            }
        }
    },
    |room, workers| {
        let_all_sleep(workers);
        *room.lock() = 1;
        room.changed.notify_one();
        workers.finish();
    }
);
