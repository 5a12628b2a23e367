//! Owners that end, in every way: the next one gets it, and is told.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pshared::LockError;

use crate::hazard;
use crate::support::schedule::{self, state};

hazard!(
    /// E2w, E12: and one that dies while it repairs what another left is no better.
    e2w_e12_an_owner_and_a_recoverer_are_killed,
    |stage| {
        let [owner, waiter, first, second, next] = [(); 5].map(|()| stage.actor());
        owner.takes("lock");
        waiter.sleeps_in("take lock");
        owner.kill();
        waiter.says("OwnerDied");
        waiter.does("give lock");
        for recoverer in [first, second] {
            recoverer.tell("recover-slowly");
            recoverer.says("repairing");
            recoverer.kill();
            assert!(stage.table.lock.is_poisoned());
        }
        next.tell("take lock");
        next.says("OwnerDied");
        next.does("give lock");
        next.tell("recover-slowly");
        next.says("repairing");
        next.does("go on");
        next.takes("lock");
        Some(())
    }
);

hazard!(
    /// E4: permits come back, to those who wait and to those who come.
    e4_a_holder_of_permits_is_killed,
    |stage| {
        let holder = stage.holder("permit");
        let [first, second] = [(); 2].map(|()| stage.actor());
        first.sleeps_in("take permit");
        second.sleeps_in("take-timed permit");
        holder.kill();
        first.says("done");
        second.says("done");
        assert_eq!(stage.table.permits.available(), 0);
        first.kill();
        assert_eq!(stage.table.permits.available(), 1);
        second.kill();
        let both = [(); 2].map(|()| stage.table.permits.acquire().unwrap());
        assert!(stage.table.permits.try_acquire().is_err(), "minted");
        drop(both);
        Some(())
    }
);

hazard!(
    /// E8: the owner is the thread, not its process.
    e8_a_thread_ends_with_it_and_its_process_lives,
    |stage| {
        for (kind, found) in [("lock", "OwnerDied"), ("permit", "done")] {
            let [owner, waiter] = [(); 2].map(|()| stage.actor());
            owner.tell(&format!("thread-takes {kind}"));
            owner.says("held");
            waiter.sleeps_in(&format!("take {kind}"));
            owner.does("go on");
            waiter.says(found);
            waiter.does(&format!("give {kind}"));
            owner.does("give job"); // it lives
        }
        Some(())
    }
);

hazard!(
    /// E8, U3: what a forked child gives back of its parent's stays where it is.
    e8_a_release_by_a_forked_child_releases_nothing,
    |stage| {
        let owner = stage.actor();
        owner.takes("lock");
        owner.takes("permit");
        owner.does("fork-drops");
        assert!(matches!(stage.table.lock.try_lock(), Err(LockError::WouldBlock)));
        assert_eq!(stage.table.permits.available(), 1);
        owner.does("give lock");
        owner.does("give permit");
        assert!(stage.table.lock.try_lock().is_ok());
        assert_eq!(stage.table.permits.available(), 2);
        Some(())
    }
);

hazard!(
    /// E9: the child has the memory and all descriptors, and not the lock.
    e9_an_owner_is_killed_and_a_forked_child_lives,
    |stage| {
        let [owner, waiter] = [(); 2].map(|()| stage.actor());
        owner.takes("lock");
        owner.tell("fork");
        let child: u32 = owner.hear().parse().unwrap();
        waiter.sleeps_in("take lock");
        owner.kill();
        waiter.says("OwnerDied");
        assert!(matches!(state(child), Some('S' | 'R')), "the child was to outlive its parent");
        kill(Pid::from_raw(child as i32), Signal::SIGKILL).unwrap();
        Some(())
    }
);

fn program(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()
}

hazard!(
    /// E11: the id lives on, and is another program's.
    e11_exec_from_the_first_thread,
    |stage| {
        let [owner, waiter] = [(); 2].map(|()| stage.actor());
        owner.tell("fork-takes-and-execs");
        let process: u32 = owner.hear().parse().unwrap();
        waiter.sleeps_in("take-timed lock");
        owner.tell("go on");
        waiter.says("OwnerDied");
        schedule::wait_until("the new program runs", || program(process) == "sleep\n");
        Some(())
    }
);

hazard!(
    /// E11: the process lives on, and the owner's id is nobody's.
    e11_exec_from_another_thread,
    |stage| {
        let [owner, waiter] = [(); 2].map(|()| stage.actor());
        owner.tell("thread-takes-and-execs");
        let thread: u32 = owner.hear().parse().unwrap();
        assert_ne!(thread, owner.child.id());
        waiter.sleeps_in("take lock");
        owner.tell("go on");
        waiter.says("OwnerDied");
        schedule::wait_until("the new program runs", || program(owner.child.id()) == "sleep\n");
        Some(())
    }
);
