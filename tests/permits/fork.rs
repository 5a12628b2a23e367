//! Fork: the child has none of what its parent has.

use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use super::*;
use crate::support::claims::in_processes;
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
    u3_a_child_that_drops_an_inherited_permit_gives_nothing_back,
    Permits<B, 2> = Permits::new(),
    workers = 1,
    |p, me| {
        let mut permit = Some(p.acquire().unwrap());
        in_a_fork(|| {
            drop(permit.take());
            assert_eq!(p.available(), 1);
            let mine = p.acquire().unwrap();
            assert!(matches!(p.try_acquire(), Err(Error::WouldBlock)));
            assert!(matches!(p.acquire_timeout(Duration::from_millis(5)), Err(Error::TimedOut)));
            drop(mine);
            // It dies with this one, and the permit comes back.
            p.acquire().unwrap().forget();
        });
        assert_eq!(p.available(), 1);
        me.say("held");
        me.expect("let go");
        drop(permit);
        me.say("free");
    },
    |p, workers| {
        workers[0].expect("held");
        assert_eq!(p.available(), 1);
        workers[0].say("let go");
        workers[0].expect("free");
        assert_eq!(p.available(), 2);
    }
);
