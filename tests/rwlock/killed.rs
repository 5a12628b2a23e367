//! Processes killed while they hold the lock or wait for it, each in its staged schedule: those that are left come through,
//! and hear of a death if it was a writer's with the data.
//!
//! Every worker is an actor that does as it is told; those that are killed are the first ones.

use std::hash::{BuildHasher, RandomState};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;
use crate::support::child::Child;
use crate::support::claims::{Me, Workers, in_processes};
use crate::support::state::{state, tid, wait_until_asleep_in_a_lock};

type Lock<B, const READERS: usize> = generic::RwLock<u64, B, READERS>;

fn told<G>(result: LockResult<G>, me: &Me) -> G {
    match result {
        Ok(guard) => {
            me.say("clean");
            guard
        }
        Err(error) => {
            let (guard, cause) = error.recover().expect("it was to be taken");
            me.say(&format!("{cause:?}"));
            guard
        }
    }
}

/// Takes the lock as it is told, and lets go when it is told.
fn act<B: Backend, const READERS: usize>(l: &Lock<B, READERS>, me: &Me) {
    let let_go = || me.expect("let go");
    me.say(&tid().to_string());
    loop {
        match me.hear().as_str() {
            "read" => {
                let _guard = told(l.read(), me);
                let_go();
            }
            "write" => {
                let _guard = told(l.write(), me);
                let_go();
            }
            "upgradable" => {
                let _guard = told(l.upgradable_read(), me);
                let_go();
            }
            "upgrade" => {
                let guard = told(l.upgradable_read(), me);
                me.expect("now");
                let _guard = generic::RwLockUpgradableReadGuard::upgrade(guard);
                me.say("upgraded");
                let_go();
            }
            "pass-read" => drop(told(l.read(), me)),
            "pass-write" => drop(told(l.write(), me)),
            "pass-upgradable" => drop(told(l.upgradable_read(), me)),
            "timed-write" => drop(told(l.try_write_for(LONG), me)),
            "end" => return,
            other => panic!("no command is called {other}"),
        }
    }
}

/// The threads that act.
fn introduced(workers: &Workers) -> Vec<u32> {
    workers.iter().map(|worker| worker.hear().parse().unwrap()).collect()
}

/// Has each sleep for the lock in turn.
fn sleep<'a>(workers: &Workers, ids: &[u32], commands: impl IntoIterator<Item = (usize, &'a str)>) {
    for (number, command) in commands {
        workers[number].say(command);
        wait_until_asleep_in_a_lock(ids[number]);
    }
}

/// Stops the first one where it is.
fn stopped(workers: &mut Workers, id: u32) -> Child {
    let victim = workers.take_process();
    kill(Pid::from_raw(victim.id() as i32), Signal::SIGSTOP).unwrap();
    wait_until("the victim stands still", || state(id) == Some('T'));
    victim
}

/// Those that are left come through, whose lock it is then, and nothing is left in it.
fn all_come_through<B: Backend, const READERS: usize>(l: &Lock<B, READERS>, workers: &mut Workers, heard: &str) {
    workers.iter().for_each(|worker| worker.expect(heard));
    finish(l, workers, heard);
}

fn finish<B: Backend, const READERS: usize>(l: &Lock<B, READERS>, workers: &mut Workers, heard: &str) {
    workers.iter().for_each(|worker| worker.say("end"));
    workers.finish();
    let expected = (heard != "clean").then_some(Cause::OwnerDied);
    find_out::<B, _>(|| l.try_write());
    assert_eq!((cause(l.try_write()), cause(l.try_read())), (expected, expected));
    l.clear_poison();
    for _ in 0..2 {
        assert_eq!((cause(l.try_write()), cause(l.try_read()), cause(l.try_upgradable_read())), (None, None, None));
    }
}

in_processes!(
    e2_readers_killed_holding_let_everybody_in_without_poison,
    Lock<B, 64> = Lock::with_readers(0),
    workers = 6,
    |l, me| {
        act(l, me);
    },
    |l, workers| {
        let ids = introduced(workers);
        for worker in &workers[..3] {
            worker.say("read");
            worker.expect("clean");
        }
        sleep(workers, &ids, [(3, "pass-write"), (4, "pass-read"), (5, "timed-write")]);
        for left in (0..3).rev() {
            workers.take_process().kill();
            assert!(left == 0 || matches!(l.try_write(), Err(LockError::WouldBlock)), "{left} readers are left");
        }
        all_come_through(l, workers, "clean");
    }
);

in_processes!(
    e2w_a_writer_killed_holding_passes_the_lock_on_with_poison,
    Lock<B, 64> = Lock::with_readers(0),
    workers = 5,
    |l, me| {
        act(l, me);
    },
    |l, workers| {
        let ids = introduced(workers);
        workers[0].say("write");
        workers[0].expect("clean");
        sleep(workers, &ids, [(1, "pass-read"), (2, "pass-write"), (3, "pass-upgradable"), (4, "timed-write")]);
        workers.take_process().kill();
        all_come_through(l, workers, "OwnerDied");
    }
);

in_processes!(
    e12_a_recoverer_that_is_killed_leaves_the_poison,
    Lock<B, 64> = Lock::with_readers(0),
    workers = 3,
    |l, me| {
        act(l, me);
    },
    |l, workers| {
        introduced(workers);
        for heard in ["clean", "OwnerDied"] {
            workers[0].say("write");
            workers[0].expect(heard);
            workers.take_process().kill();
        }
        workers[0].say("pass-read");
        all_come_through(l, workers, "OwnerDied");
    }
);

in_processes!(
    e16_a_writer_killed_while_it_waits_for_readers_leaves_no_poison,
    Lock<B, 64> = Lock::with_readers(0),
    workers = 4,
    |l, me| {
        act(l, me);
    },
    |l, workers| {
        let ids = introduced(workers);
        workers[1].say("read");
        workers[1].expect("clean");
        sleep(workers, &ids, [(0, "write")]);
        assert!(matches!(l.try_read(), Err(LockError::WouldBlock)), "it has the gate");
        let victim = stopped(workers, ids[0]);
        sleep(workers, &ids[1..], [(1, "pass-read"), (2, "pass-write")]);
        victim.kill();
        workers[0].say("let go");
        workers[1..].iter().for_each(|worker| worker.expect("clean"));
        finish(l, workers, "clean");
    }
);

in_processes!(
    /// E16 of the list of hazards once more: the last reader has gone, and the writer hasn't noticed yet.
    e16_a_writer_killed_when_it_could_have_gone_on_leaves_no_poison,
    Lock<B, 64> = Lock::with_readers(0),
    workers = 2,
    |l, me| {
        act(l, me);
    },
    |l, workers| {
        let ids = introduced(workers);
        workers[1].say("read");
        workers[1].expect("clean");
        sleep(workers, &ids, [(0, "write")]);
        let victim = stopped(workers, ids[0]);
        workers[0].say("let go");
        sleep(workers, &ids[1..], [(0, "pass-write")]);
        victim.kill();
        all_come_through(l, workers, "clean");
    }
);

in_processes!(
    e16_an_upgrade_killed_while_it_waits_for_readers_leaves_no_poison,
    Lock<B, 64> = Lock::with_readers(0),
    workers = 4,
    |l, me| {
        act(l, me);
    },
    |l, workers| {
        let ids = introduced(workers);
        workers[1].say("read");
        workers[0].say("upgrade");
        workers[..2].iter().for_each(|worker| worker.expect("clean"));
        sleep(workers, &ids, [(0, "now"), (2, "pass-read"), (3, "pass-write")]);
        workers.take_process().kill();
        workers[0].say("let go"); // the writer may have the gate by now
        workers[1..].iter().for_each(|worker| worker.expect("clean"));
        finish(l, workers, "clean");
    }
);

in_processes!(
    r5_a_waiting_writer_that_is_killed_has_no_effect_on_others,
    [Lock<B, 64>; 3] = [const { Lock::with_readers(0) }; 3],
    workers = 9,
    |l, me| {
        act(&l[me.number % 3], me);
    },
    |l, workers| {
        let ids = introduced(workers);
        let held = (boxed(l[0].write()), boxed(l[1].read()), l[2].upgradable_read());
        let behind = [(3, "pass-read"), (4, "pass-read"), (6, "pass-write"), (7, "pass-write"), (8, "pass-write")];
        sleep(workers, &ids, [(0, "write"), (1, "timed-write"), (2, "upgradable")].into_iter().chain(behind));
        workers[5].say("pass-read"); // beside an upgradable one
        workers[5].expect("clean");
        (0..3).for_each(|_| workers.take_process().kill());
        drop(held);
        for number in [0, 1, 3, 4, 5] {
            workers[number].expect("clean");
        }
        workers.iter().for_each(|worker| worker.say("end"));
        workers.finish();
        for lock in l {
            finish(lock, workers, "clean");
        }
    }
);

in_processes!(
    /// R2 of the list of hazards, for both kinds: the second victim was let in and hasn't run since.
    r2_waiters_that_are_killed_before_or_after_they_are_woken_take_nothing_along,
    Lock<B, 64> = Lock::with_readers(0),
    workers = 6,
    |l, me| {
        act(l, me);
    },
    |l, workers| {
        let ids = introduced(workers);
        let guard = l.write().unwrap();
        let waiters = [(0, "read"), (1, "read"), (2, "write"), (3, "pass-read"), (4, "pass-write"), (5, "pass-upgradable")];
        sleep(workers, &ids, waiters);
        workers.take_process().kill();
        let victims = [stopped(workers, ids[1]), stopped(workers, ids[2])];
        drop(guard);
        victims.into_iter().for_each(Child::kill);
        all_come_through(l, workers, "clean");
    }
);

in_processes!(
    a_reader_too_many_that_is_killed_lets_the_others_in,
    Lock<B, 1> = Lock::with_readers(0),
    workers = 5,
    |l, me| {
        act(l, me);
    },
    |l, workers| {
        let ids = introduced(workers);
        workers[1].say("read");
        workers[1].expect("clean");
        // The first has the gate, and waits for the one place there is; when it is dead, the place's reader is killed too.
        sleep(workers, &ids, [(0, "read"), (2, "pass-read"), (3, "pass-write"), (4, "pass-read")]);
        workers.take_process().kill();
        workers.take_process().kill();
        all_come_through(l, workers, "clean");
    }
);

in_processes!(
    /// Whoever is left finds a lock that works, and two numbers that are equal unless it is told that they may not be.
    workers_killed_at_any_time_leave_a_lock_that_works,
    generic::RwLock<[u64; 2], B, 3> = generic::RwLock::with_readers([0; 2]),
    workers = 8,
    |l, me| {
        me.say("here");
        me.expect("go");
        for round in me.number.. {
            if round % 3 == 0 {
                let mut numbers = l.write_or_recover(|numbers, _| *numbers = [0; 2]).unwrap();
                numbers[0] += 1;
                (0..round % 50).for_each(|_| std::hint::spin_loop());
                numbers[1] += 1;
            } else if let Ok(numbers) = l.read() {
                let first = numbers[0];
                (0..round % 50).for_each(|_| std::hint::spin_loop());
                assert_eq!(first, numbers[1]);
            }
        }
    },
    |l, workers| {
        workers.iter().for_each(|worker| worker.expect("here"));
        workers.iter().for_each(|worker| worker.say("go"));
        for number in 0..8_u32 {
            let pause = RandomState::new().hash_one(number) % 3000;
            std::thread::sleep(Duration::from_micros(pause));
            workers.take_process().kill();
            let numbers = l.write_or_recover(|numbers, _| *numbers = [0; 2]).unwrap();
            assert_eq!(numbers[0], numbers[1]);
        }
        assert_eq!((cause(l.try_write()), cause(l.try_read())), (None, None));
    }
);
