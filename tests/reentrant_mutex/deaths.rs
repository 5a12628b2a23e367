//! Ends of all kinds: of a thread or process with several guards, at any instruction, and forks with them.

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, alarm, fork, gettid};
use pshared::Shm;

use super::*;
use crate::support::child;
use crate::support::claims::{Named, in_processes, in_threads_and_processes};
use crate::support::kill_points::KillPoints;
use crate::support::state::{tid, wait_until_asleep_in_a_lock};
use crate::support::stepper::{Stepper, Stop, mark};

in_threads_and_processes!(
    /// However many guards the dead had, the next one begins at one.
    who_ends_with_guards_leaves_it_to_the_next,
    Lock<B> = lock_around(0),
    workers = 1,
    |m, _| {
        (0..5).for_each(|_| std::mem::forget(m.lock().unwrap()));
    },
    |m, workers| {
        workers.finish();
        assert_eq!(cause(m.lock()), Some(Cause::OwnerDied));
        assert!(!m.is_locked() && m.is_poisoned());
        drop(m.lock_or_recover(|_, cause| assert_eq!(cause, Cause::OwnerDied)).unwrap());
        assert!(!m.is_locked() && !m.is_poisoned());
    }
);

in_processes!(
    a_blocked_waiter_gets_the_lock_of_the_dead_and_takes_it_again,
    Lock<B> = lock_around(0),
    workers = 2,
    |m, me| {
        me.say(&tid().to_string());
        me.expect("go");
        if me.number == 0 {
            let _guards = (m.lock().unwrap(), m.lock().unwrap());
            me.say("held");
            me.hear();
        }
        let (first, why) = m.lock().unwrap_err().recover().unwrap();
        assert_eq!(why, Cause::OwnerDied);
        m.clear_poison();
        let second = m.lock().unwrap();
        drop(first);
        assert!(m.is_owned_by_current_thread());
        drop(second);
        assert!(!m.is_locked());
    },
    |m, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        workers[0].say("go");
        workers[0].expect("held");
        workers[1].say("go");
        wait_until_asleep_in_a_lock(ids[1]);
        workers.take_process().kill();
        workers.finish();
        assert_eq!(cause(m.lock()), None);
    }
);

in_processes!(
    /// U3 of the list of hazards: neither lock nor count is the child's.
    a_child_that_drops_inherited_guards_unlocks_nothing,
    [Lock<B>; 2] = [const { lock_around(0) }; 2],
    workers = 1,
    |[m, own], me| {
        let mut guards = vec![m.lock().unwrap(), m.lock().unwrap()];
        // SAFETY: the other threads of this process wait for this one and hold nothing.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                alarm::set(30); // not inherited, and a hang is a failure
                let passed = catch_unwind(AssertUnwindSafe(|| {
                    assert!(!m.is_owned_by_current_thread());
                    guards.clear();
                    assert!(m.is_locked());
                    assert!(matches!(m.try_lock(), Err(LockError::WouldBlock)));
                    assert!(matches!(m.try_lock_for(Duration::from_millis(5)), Err(LockError::TimedOut)));
                    drop((own.lock().unwrap(), own.lock().unwrap()));
                    assert!(!own.is_locked());
                }));
                // SAFETY: ends the child without running the parent's destructors.
                unsafe { libc::_exit(i32::from(passed.is_err())) }
            }
            ForkResult::Parent { child } => assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0)),
        }
        guards.pop();
        assert!(m.is_owned_by_current_thread());
        me.say("one guard left");
        me.expect("let go");
        guards.pop();
        assert!(!m.is_locked());
    },
    |[m, _], workers| {
        workers[0].expect("one guard left");
        assert!(matches!(m.try_lock(), Err(LockError::WouldBlock)));
        workers[0].say("let go");
        workers.finish();
        assert_eq!(cause(m.lock()), None);
    }
);

// Killed after each instruction.

type Two = [pshared::ReentrantMutex<AtomicU64>; 2];

const TEST: &str = "deaths::the_process_that_is_stepped_through";

/// Not a test by itself: the process of the next one.
#[test]
fn the_process_that_is_stepped_through() {
    let Some((_, args, peer)) = child::role() else { return };
    let [m, other] = &*Shm::<Two>::open(&args[0]).unwrap();
    drop(other.lock().unwrap()); // a thread's first lock prepares it
    peer.say(&gettid().to_string());
    peer.expect("go");
    mark();
    let first = m.lock();
    let second = m.lock();
    drop(first);
    drop(second);
    mark();
    peer.hear();
}

#[test]
fn killed_while_it_takes_it_twice_and_gives_it_back_twice() {
    let named = Named::<Two>::create(|| [const { pshared::ReentrantMutex::new(AtomicU64::new(0)) }; 2]);
    let m = &named.shm[0];
    let (mut clean, mut poisoned) = (0, 0);
    let mut points = KillPoints::each();
    while points.are_left() {
        let victim = child::spawn(TEST, "victim", &[&named.name]);
        let id: u32 = victim.peer.hear().parse().unwrap();
        let stepper = Stepper::seize(id);
        victim.peer.say("go");
        assert_eq!(stepper.stopped(), Stop::Mark);
        points.send(&stepper);
        let owned = m.owner().is_some_and(|owner| owner.tid == id);
        stepper.kill();
        victim.kill();
        assert!(!m.is_locked(), "not marked by the kernel");
        assert_eq!(m.is_poisoned(), owned, "{points}");
        // Whatever count it left, one guard is one guard, and two are two.
        m.clear_poison();
        let first = m.try_lock().unwrap();
        let second = m.try_lock().unwrap();
        drop(first);
        assert!(m.is_owned_by_current_thread());
        drop(second);
        assert!(!m.is_locked());
        *(if owned { &mut poisoned } else { &mut clean }) += 1;
    }
    println!("futex reentrant mutex: {points}, {poisoned} poisoned");
    assert!(clean > 10 && poisoned > 30);
}
