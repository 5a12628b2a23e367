//! Poison by death: an owner that ends while it holds the lock, in whatever way, passes it on with the news.

use std::os::unix::process::ExitStatusExt;
use std::process::exit;

use pshared::ShmSafe;

use super::*;
use crate::support::claims::{Named, in_processes, in_threads_and_processes};
use crate::support::state::{tid, wait_until_asleep_in_a_lock};

/// Takes the lock for good.
fn keep<B: Backend>(m: &Mutex<u64, B>) {
    std::mem::forget(m.lock().or_else(|e| e.recover().map(|(guard, _)| guard)).unwrap());
}

in_threads_and_processes!(
    who_ends_with_the_lock_leaves_it_to_the_next,
    Mutex<u64, B> = Mutex::new(0),
    workers = 1,
    |m, _| {
        *m.lock().unwrap() = 1;
        keep(m);
    },
    |m, workers| {
        workers.finish();
        assert_eq!(cause(m.lock()), Some(Cause::OwnerDied));
        assert_eq!(cause(m.lock()), Some(Cause::OwnerDied), "nobody has cleared it");
        assert_eq!(*m.lock_or_recover(|value, cause| *value += (cause == Cause::OwnerDied) as u64).unwrap(), 2);
        assert_eq!(cause(m.lock()), None);
    }
);

in_threads_and_processes!(
    a_blocked_waiter_learns_of_the_death,
    Mutex<u64, B> = Mutex::new(0),
    workers = 1,
    |m, me| {
        keep(m);
        me.say("held");
        wait_until_asleep_in_a_lock(me.hear().parse().unwrap());
    },
    |m, workers| {
        workers[0].expect("held");
        workers[0].say(&tid().to_string());
        assert_eq!(cause(m.lock()), Some(Cause::OwnerDied));
    }
);

in_processes!(
    every_blocked_waiter_gets_the_lock_of_the_dead_and_all_hear_of_it,
    Mutex<u64, B> = Mutex::new(0),
    workers = 4,
    |m, me| {
        if me.number == 0 {
            keep(m);
            me.say("held");
            me.hear();
        }
        me.say(&tid().to_string());
        me.expect("go");
        let result = if me.number.is_multiple_of(2) { m.lock() } else { m.try_lock_for(LONG) };
        let (mut guard, cause) = result.unwrap_err().recover().unwrap();
        assert_eq!(cause, Cause::OwnerDied);
        *guard += 1;
    },
    |m, workers| {
        workers[0].expect("held");
        for worker in &workers[1..] {
            let id = worker.hear().parse().unwrap();
            worker.say("go");
            wait_until_asleep_in_a_lock(id);
        }
        workers.take_process().kill();
        workers.finish();
        assert_eq!(*m.lock().unwrap_err().recover().unwrap().0, 3);
    }
);

/// Whether the system told of the death by itself, before anybody came and asked whether the owner lives.
fn is_marked<B: Backend>(m: &Mutex<u64, B>) -> bool {
    m.is_poisoned() && !m.is_locked()
}

/// A lock for each way to take one.
#[repr(C)]
#[derive(ShmSafe)]
struct Many<B: Backend> {
    each: [Mutex<u64, B>; 7],
}

in_processes!(
    every_way_to_take_the_lock_tells_of_the_death,
    Many<B> = Many { each: [const { Mutex::new(0) }; 7] },
    workers = 1,
    |many, me| {
        many.each.iter().for_each(keep);
        me.say("held");
        me.hear();
    },
    |many, workers| {
        workers[0].expect("held");
        workers.take_process().kill();
        for (m, (name, way)) in many.each.iter().zip(every_way()) {
            assert!(is_marked(m), "{name}");
            assert_eq!(cause(way(m)), Some(Cause::OwnerDied), "{name}");
            assert_eq!(cause(way(m)), Some(Cause::OwnerDied), "{name}, once more");
        }
    }
);

in_processes!(
    asking_repairs_nothing,
    Mutex<u64, B> = Mutex::new(0),
    workers = 1,
    |m, me| {
        keep(m);
        me.say("held");
        me.hear();
    },
    |m, workers| {
        workers[0].expect("held");
        assert!(m.is_locked());
        workers.take_process().kill();
        for _ in 0..3 {
            assert!(m.is_poisoned());
            assert!(!m.is_locked());
            assert_eq!(m.owner(), None);
            assert!(format!("{m:?}").contains("<owner died>"), "{m:?}");
        }
        assert_eq!(cause(m.try_lock()), Some(Cause::OwnerDied));
        assert!(m.is_poisoned());
    }
);

in_processes!(
    a_death_can_be_cleared_without_the_lock,
    Mutex<u64, B> = Mutex::new(0),
    workers = 1,
    |m, me| {
        keep(m);
        me.say("held");
        me.hear();
    },
    |m, workers| {
        workers[0].expect("held");
        workers.take_process().kill();
        m.clear_poison();
        assert!(!m.is_poisoned());
        assert_eq!(cause(m.lock()), None);
    }
);

in_processes!(
    clearing_the_poison_takes_the_lock_from_nobody,
    Mutex<u64, B> = Mutex::new(0),
    workers = 1,
    |m, me| {
        let guard = m.lock().unwrap();
        me.say("held");
        me.expect("let go");
        drop(guard);
        me.say("free");
        me.hear();
    },
    |m, workers| {
        workers[0].expect("held");
        m.clear_poison();
        assert!(m.is_locked());
        assert!(matches!(m.try_lock(), Err(LockError::WouldBlock)));
        workers[0].say("let go");
        workers[0].expect("free");
        assert_eq!(cause(m.lock()), None);
        workers[0].say("end");
    }
);

in_processes!(
    every_way_to_end_is_a_death,
    Many<B> = Many { each: [const { Mutex::new(0) }; 7] },
    workers = 5,
    |many, me| {
        let m = &many.each[me.number];
        let _guard = m.lock().unwrap();
        match me.number {
            0 => exit(3),
            1 => std::process::abort(),
            2 => {
                // As in a program that is built with panic = "abort".
                std::panic::set_hook(Box::new(|_| std::process::abort()));
                panic!("with the lock");
            }
            3 => {
                // SAFETY: ends the process without running anything.
                unsafe { libc::_exit(4) }
            }
            _ => {
                me.say("held");
                me.hear();
            }
        }
    },
    |many, workers| {
        for (number, end) in [Ok(3), Err(libc::SIGABRT), Err(libc::SIGABRT), Ok(4)].into_iter().enumerate() {
            let status = workers.take_process().wait();
            assert_eq!(status.code().ok_or_else(|| status.signal().unwrap()), end);
            assert_eq!(cause(many.each[number].lock()), Some(Cause::OwnerDied), "the end of worker {number}");
        }
        workers[0].expect("held");
        let killed = workers.take_process();
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(killed.id() as i32),
            nix::sys::signal::Signal::SIGTERM,
        )
        .unwrap();
        assert_eq!(killed.wait().signal(), Some(libc::SIGTERM));
        assert_eq!(cause(many.each[4].lock()), Some(Cause::OwnerDied), "terminated");
    }
);

in_processes!(
    a_death_weighs_more_than_a_panic,
    Mutex<u64, B> = Mutex::new(0),
    workers = 1,
    |m, me| {
        poison(m);
        assert_eq!(cause(m.lock()), Some(Cause::Panicked));
        keep(m);
        me.say("held");
        me.hear();
    },
    |m, workers| {
        workers[0].expect("held");
        workers.take_process().kill();
        assert_eq!(cause(m.lock()), Some(Cause::OwnerDied));
        poison(m);
        assert_eq!(cause(m.lock()), Some(Cause::OwnerDied));
    }
);

in_processes!(
    who_dies_without_the_lock_leaves_no_poison,
    Mutex<u64, B> = Mutex::new(0),
    workers = 2,
    |m, me| {
        *m.lock().unwrap() += 1;
        me.say(&tid().to_string());
        me.expect("go");
        let _guard = m.lock();
    },
    |m, workers| {
        let id = workers[0].hear().parse().unwrap();
        workers[1].hear();
        let guard = m.lock().unwrap();
        workers[0].say("go");
        wait_until_asleep_in_a_lock(id);
        workers.take_process().kill(); // waiting
        workers.take_process().kill(); // not even that
        assert_eq!(*guard, 2);
        drop(guard);
        assert_eq!(cause(m.lock()), None);
    }
);

in_processes!(
    a_lock_got_by_waiting_is_marked_as_well,
    Many<B> = Many { each: [const { Mutex::new(0) }; 7] },
    workers = 1,
    |many, me| {
        me.say(&tid().to_string());
        me.expect("go");
        many.each.iter().for_each(keep);
        me.say("held");
        me.hear();
    },
    |many, workers| {
        let guard = many.each[1].lock().unwrap();
        let id = workers[0].hear().parse().unwrap();
        workers[0].say("go");
        wait_until_asleep_in_a_lock(id);
        drop(guard);
        workers[0].expect("held");
        workers.take_process().kill();
        many.each.iter().for_each(|m| assert!(is_marked(m)));
    }
);

in_processes!(
    /// Were one of the others still on the list, the kernel would not get past the memory that is gone.
    locks_given_back_in_any_order_leave_nothing_behind,
    Many<B> = Many { each: [const { Mutex::new(0) }; 7] },
    workers = 3,
    |many, me| {
        let m = &many.each[me.number];
        keep(m);
        let others = Named::create(|| [const { Mutex::<u64, B>::new(0) }; 12]);
        let mut guards: Vec<_> = others.shm.iter().map(|other| Some(other.lock().unwrap())).collect();
        for i in 0..12 {
            guards[[i, 11 - i, (i * 5 + 3) % 12][me.number]] = None;
        }
        drop(guards);
        drop(others);
        me.say("held");
        me.hear();
    },
    |many, workers| {
        for m in &many.each[..3] {
            workers[0].expect("held");
            workers.take_process().kill();
            assert!(is_marked(m));
        }
    }
);

in_processes!(
    a_panic_in_the_repair_makes_no_panic_of_a_death,
    Mutex<u64, B> = Mutex::new(0),
    workers = 1,
    |m, me| {
        keep(m);
        me.say("held");
        me.hear();
    },
    |m, workers| {
        workers[0].expect("held");
        workers.take_process().kill();
        panicking(|| _ = m.lock_or_recover(|_, _| panic_quietly()));
        assert_eq!(cause(m.lock()), Some(Cause::OwnerDied));
    }
);
