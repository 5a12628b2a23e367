//! Death: a writer passes the lock on with the news, a reader without.

use pshared::ShmSafe;

use super::*;
use crate::support::claims::{in_processes, in_threads_and_processes};
use crate::support::state::{tid, wait_until_asleep_in_a_lock};

/// Writes for good.
fn keep_writing<B: Backend>(l: &RwLock<u64, B>) {
    std::mem::forget(l.write().or_else(|e| e.recover().map(|(guard, _)| guard)).unwrap());
}

/// Reads for good.
fn keep_reading<B: Backend>(l: &RwLock<u64, B>) {
    std::mem::forget(l.read().or_else(|e| e.recover().map(|(guard, _)| guard)).unwrap());
}

in_threads_and_processes!(
    /// E2w of the list of hazards, alone.
    who_ends_writing_leaves_the_lock_to_the_next,
    RwLock<u64, B> = RwLock::new(0),
    workers = 1,
    |l, _| {
        *l.write().unwrap() = 1;
        keep_writing(l);
    },
    |l, workers| {
        workers.finish();
        find_out::<B, _>(|| l.try_read());
        for (name, way) in every_way() {
            assert_eq!(cause(way(l)), Some(Cause::OwnerDied), "{name}");
        }
        assert_eq!(*l.write_or_recover(|value, cause| *value += (cause == Cause::OwnerDied) as u64).unwrap(), 2);
        assert_eq!(cause(l.read()), None);
    }
);

in_threads_and_processes!(
    /// E2 of the list of hazards, alone: also for reads inside reads.
    who_ends_reading_leaves_no_trace,
    RwLock<u64, B> = RwLock::new(0),
    workers = 3,
    |l, me| {
        (0..=me.number).for_each(|_| keep_reading(l));
    },
    |l, workers| {
        workers.finish();
        assert!(!l.is_poisoned());
        assert_eq!(cause(l.write()), None);
        for _ in 0..3 {
            assert_eq!(cause(l.read()), None);
            assert_eq!(cause(l.try_write()), None);
        }
    }
);

in_threads_and_processes!(
    a_blocked_waiter_learns_of_the_writers_death,
    [RwLock<u64, B>; 2] = [const { RwLock::new(0) }; 2],
    workers = 2,
    |l, me| {
        keep_writing(&l[me.number]);
        me.say("held");
        wait_until_asleep_in_a_lock(me.hear().parse().unwrap());
    },
    |l, workers| {
        workers.iter().for_each(|worker| worker.expect("held"));
        workers[0].say(&tid().to_string());
        assert_eq!(cause(l[0].read()), Some(Cause::OwnerDied));
        workers[1].say(&tid().to_string());
        assert_eq!(cause(l[1].write()), Some(Cause::OwnerDied));
    }
);

in_threads_and_processes!(
    a_blocked_writer_gets_what_a_dead_reader_had,
    RwLock<u64, B> = RwLock::new(0),
    workers = 1,
    |l, me| {
        keep_reading(l);
        me.say("held");
        wait_until_asleep_in_a_lock(me.hear().parse().unwrap());
    },
    |l, workers| {
        workers[0].expect("held");
        workers[0].say(&tid().to_string());
        assert_eq!(cause(l.write()), None);
    }
);

/// A lock for each way to take one.
#[repr(C)]
#[derive(ShmSafe)]
struct Many<B: Backend> {
    each: [RwLock<u64, B>; 14],
}

in_processes!(
    every_way_to_take_the_lock_tells_of_the_death,
    Many<B> = Many { each: [const { RwLock::new(0) }; 14] },
    workers = 1,
    |many, me| {
        many.each.iter().for_each(keep_writing);
        me.say("held");
        me.hear();
    },
    |many, workers| {
        workers[0].expect("held");
        workers.take_process().kill();
        for (l, (name, way)) in many.each.iter().zip(every_way()) {
            find_out::<B, _>(|| l.try_read());
            assert!(l.is_poisoned() && !l.is_locked(), "{name}: the system didn't tell");
            assert_eq!(cause(way(l)), Some(Cause::OwnerDied), "{name}");
            assert_eq!(cause(way(l)), Some(Cause::OwnerDied), "{name}, once more");
        }
    }
);

in_processes!(
    the_places_of_dead_readers_are_free,
    generic::RwLock<u64, B, 2> = generic::RwLock::with_readers(0),
    workers = 6,
    |l, me| {
        me.expect("read");
        std::mem::forget((l.read().unwrap(), l.read().unwrap()));
        me.say("reads");
        me.hear();
    },
    |l, workers| {
        for _ in 0..3 {
            for worker in &workers[..2] {
                worker.say("read");
                worker.expect("reads");
            }
            assert!(matches!(l.try_read(), Err(LockError::WouldBlock)));
            workers.take_process().kill();
            find_out::<B, _>(|| l.try_read());
            assert_eq!(cause(l.try_read()), None);
            assert!(matches!(l.try_write(), Err(LockError::WouldBlock)));
            workers.take_process().kill();
            find_out::<B, _>(|| l.try_write());
            assert_eq!(cause(l.try_write()), None);
        }
    }
);

in_processes!(
    asking_repairs_nothing,
    RwLock<u64, B> = RwLock::new(0),
    workers = 1,
    |l, me| {
        keep_writing(l);
        me.say("held");
        me.hear();
    },
    |l, workers| {
        workers[0].expect("held");
        workers.take_process().kill();
        find_out::<B, _>(|| l.try_read());
        for _ in 0..3 {
            assert!(l.is_poisoned());
            assert!(!l.is_locked() && !l.is_locked_exclusive());
            assert!(format!("{l:?}").contains("<writer died>"), "{l:?}");
        }
        assert_eq!(cause(l.try_read()), Some(Cause::OwnerDied));
        assert!(l.is_poisoned());
    }
);

in_processes!(
    a_death_can_be_cleared_with_and_without_the_lock,
    [RwLock<u64, B>; 3] = [const { RwLock::new(0) }; 3],
    workers = 1,
    |l, me| {
        l.iter().for_each(keep_writing);
        me.say("held");
        me.hear();
    },
    |l, workers| {
        workers[0].expect("held");
        workers.take_process().kill();
        find_out::<B, _>(|| l[0].try_read());
        l[0].clear_poison();
        let (reader, _) = l[1].read().unwrap_err().recover().unwrap();
        l[1].clear_poison();
        drop(reader);
        let (writer, _) = l[2].write().unwrap_err().recover().unwrap();
        l[2].clear_poison();
        drop(writer);
        for lock in l {
            assert!(!lock.is_poisoned());
            assert_eq!(cause(lock.read()), None);
            assert_eq!(cause(lock.write()), None);
        }
    }
);

in_processes!(
    /// R5 and E16 of the list of hazards: a writer behind a writer, behind a reader, a reader behind a writer.
    who_dies_waiting_leaves_no_poison,
    [RwLock<u64, B>; 2] = [const { RwLock::new(0) }; 2],
    workers = 3,
    |l, me| {
        me.say(&tid().to_string());
        me.expect("go");
        match me.number {
            0 => drop(l[0].write()),
            1 => drop(l[0].read()),
            _ => drop(l[1].write()),
        }
    },
    |l, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        let (writing, reading) = (l[0].write().unwrap(), l[1].read().unwrap());
        for (worker, id) in workers.iter().zip(ids) {
            worker.say("go");
            wait_until_asleep_in_a_lock(id);
        }
        (0..3).for_each(|_| workers.take_process().kill());
        assert!(!l[0].is_poisoned() && !l[1].is_poisoned());
        drop(writing);
        assert_eq!(cause(l[0].try_read()), None);
        find_out::<B, _>(|| l[0].try_write());
        assert_eq!(cause(l[0].try_write()), None);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                find_out::<B, _>(|| l[1].try_read());
                assert_eq!(cause(l[1].try_read()), None);
            });
        });
        drop(reading);
        assert_eq!(cause(l[1].try_write()), None);
    }
);

in_processes!(
    a_death_weighs_more_than_a_panic,
    RwLock<u64, B> = RwLock::new(0),
    workers = 1,
    |l, me| {
        poison(l);
        assert_eq!(cause(l.read()), Some(Cause::Panicked));
        keep_writing(l);
        me.say("held");
        me.hear();
    },
    |l, workers| {
        workers[0].expect("held");
        workers.take_process().kill();
        assert_eq!(cause(l.read()), Some(Cause::OwnerDied));
        poison(l);
        assert_eq!(cause(l.read()), Some(Cause::OwnerDied));
    }
);
