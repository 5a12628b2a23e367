//! Fork: what the parent has begun stays the parent's.

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use super::*;
use crate::support::claims::{in_processes, in_processes_with_private_memory};

/// Runs `body` in a forked child, which must come to its end.
fn in_a_fork(body: impl FnOnce()) {
    // SAFETY: the other threads of this process wait for this one and hold nothing, so the child may do whatever its
    // parent might.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            nix::unistd::alarm::set(30); // not inherited, and a hang is a failure
            let passed = catch_unwind(AssertUnwindSafe(body)).is_ok();
            // SAFETY: ends the child without running the parent's destructors.
            unsafe { libc::_exit(if passed { 0 } else { 1 }) }
        }
        ForkResult::Parent { child } => assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0)),
    }
}

/// Forks: the child comes back at once, the parent when the child is gone. Says which it is.
fn split() -> ForkResult {
    // SAFETY: as above.
    let which = unsafe { fork() }.unwrap();
    if let ForkResult::Parent { child } = which {
        assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
    }
    which
}

/// The end of a child that came back from [`split`].
fn end(passed: bool) -> ! {
    // SAFETY: ends the child without running the parent's destructors.
    unsafe { libc::_exit(if passed { 0 } else { 1 }) }
}

#[repr(C)]
#[derive(ShmSafe)]
struct Both<B: Backend> {
    once: Once<B>,
    lock: OnceLock<[u64; 2], B>,
}

in_processes!(
    a_child_that_comes_back_from_the_initialiser_has_done_nothing,
    Both<B> = Both { once: Once::new(), lock: OnceLock::new() },
    workers = 1,
    |both, me| {
        let mut is_child = false;
        let done = both.once.call_once(|| is_child = split().is_child());
        if is_child {
            end(done == Err(Error::Inherited) && !both.once.is_completed());
        }
        assert_eq!(done, Ok(()));

        let made = both.lock.get_or_init(|| {
            is_child = split().is_child();
            [1 + u64::from(is_child); 2]
        });
        if is_child {
            end(made == Err(Error::Inherited) && both.lock.get().is_none());
        }
        assert_eq!(made, Ok(&[1; 2]));
        me.say("done");
    },
    |both, workers| {
        workers[0].expect("done");
        assert!(both.once.is_completed());
        assert_eq!(both.lock.get(), Some(&[1; 2]));
    }
);

in_processes!(
    a_child_that_panics_in_the_initialiser_spoils_nothing,
    Once<B> = Once::new(),
    workers = 1,
    |once, _| {
        let mut is_child = false;
        let ended = catch_unwind(AssertUnwindSafe(|| {
            once.call_once(|| {
                is_child = split().is_child();
                if is_child {
                    panic_quietly();
                }
            })
        }));
        if is_child {
            end(ended.is_err() && !once.is_poisoned());
        }
        assert_eq!(ended.unwrap(), Ok(()));
    },
    |once, workers| {
        workers.finish();
        assert!(once.is_completed());
    }
);

in_processes!(
    a_child_may_do_what_nobody_has_begun_and_wait_for_what_its_parent_has,
    [Once<B>; 2] = [const { Once::new() }; 2],
    workers = 1,
    |[own, parents], _| {
        in_a_fork(|| own.call_once(|| {}).unwrap());
        assert!(own.is_completed());
        parents
            .call_once(|| {
                in_a_fork(|| assert_eq!(parents.wait_timeout(Duration::from_millis(20)), Err(Error::TimedOut)));
            })
            .unwrap();
    },
    |[own, parents], workers| {
        workers.finish();
        assert!(own.is_completed() && parents.is_completed());
    }
);

in_processes_with_private_memory!(
    /// The one at work doesn't exist in the child, whose copy of the memory is its own.
    a_childs_copy_of_a_private_one_that_was_begun_is_begun_anew,
    Once<B> = Once::new(),
    workers = 1,
    |_, _| {
        let (once, lock) = (Once::<B>::new(), OnceLock::<u64, B>::new());
        once.call_once(|| {
            let made = lock.get_or_init(|| {
                in_a_fork(|| {
                    let mut told = None;
                    once.call_once_force(|state| told = state.cause()).unwrap();
                    assert_eq!(told, Some(Cause::OwnerDied));
                    assert_eq!(lock.get_or_init(|| 2), Ok(&2));
                });
                1
            });
            assert_eq!(made, Ok(&1));
        })
        .unwrap();
        assert!(once.is_completed());
        assert_eq!(lock.get(), Some(&1));
    },
    |_, _| {}
);
