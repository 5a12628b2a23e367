//! What the memory orderings of the locks are to see to.

#![cfg(loom)]

mod weakened;

use pshared::{futex, posix};
use pshared_loom::{Both, Interruptions, Shared, check, join, spawn};

/// The same body for the locks of both families: those that the kernel helps, and those that are watched.
macro_rules! for_both {
    ($($name:ident($backend:ident, $interruptions:ident) $body:block)*) => {
        mod on_futexes {
            use super::*;
            use super::futex as backend;
            $(#[test] fn $name() { use backend as $backend; check(concat!("futex ", stringify!($name)), Interruptions::$interruptions, || $body); })*
        }
        mod watched {
            use super::*;
            use super::posix as backend;
            $(#[test] fn $name() { use backend as $backend; check(concat!("watched ", stringify!($name)), Interruptions::$interruptions, || $body); })*
        }
    };
}

for_both! {
    a_mutex_hands_on_what_was_written(b, ForTwoThreads) {
        let it = Shared::new(b::Mutex::new(()));
        let work = move || {
            let _held = it.lock.lock().unwrap();
            it.write();
        };
        let threads = [spawn(work), spawn(work)];
        join(threads);
        assert_eq!(it.read(), 2);
    }

    three_sleep_at_a_mutex_and_all_get_it(b, ForThreeThreads) {
        let it = Shared::new(b::Mutex::new(()));
        let work = move || {
            let _held = it.lock.lock().unwrap();
            it.write();
        };
        let threads = [spawn(work), spawn(work), spawn(work)];
        join(threads);
        assert_eq!(it.read(), 3);
    }

    a_reader_and_a_writer_see_each_other(b, ForTwoThreads) {
        let it = Shared::new(b::RwLock::<(), 1>::with_readers(()));
        // Twice: the second time the slot is the reader's own, and claimed at once.
        let reader = spawn(move || (0..2).for_each(|_| {
            let _held = it.lock.read().unwrap();
            it.read();
        }));
        let writer = spawn(move || {
            let _held = it.lock.write().unwrap();
            it.write();
        });
        join([reader, writer]);
    }

    a_mutex_hands_on_what_was_written_by_who_holds_others(b, ForTwoThreads) {
        let it = Shared::new(b::Mutex::new(()));
        let others = [Shared::new(b::Mutex::new(())), Shared::new(b::Mutex::new(()))];
        let threads = others.map(|other| spawn(move || {
            let _other = other.lock.lock().unwrap();
            let _held = it.lock.lock().unwrap();
            it.write();
        }));
        join(threads);
        assert_eq!(it.read(), 2);
    }

    a_reader_and_a_writer_that_hold_other_locks_see_each_other(b, ForTwoThreads) {
        let it = Shared::new(b::RwLock::<(), 1>::with_readers(()));
        let [readers, writers] = [Shared::new(b::Mutex::new(())), Shared::new(b::Mutex::new(()))];
        let reader = spawn(move || {
            let _other = readers.lock.lock().unwrap();
            (0..2).for_each(|_| {
                let _held = it.lock.read().unwrap();
                it.read();
            });
        });
        let writer = spawn(move || {
            let _other = writers.lock.lock().unwrap();
            let _held = it.lock.write().unwrap();
            it.write();
        });
        join([reader, writer]);
    }

    two_writers_and_a_reader_see_each_other(b, ForThreeThreads) {
        let it = Shared::new(b::RwLock::<(), 1>::with_readers(()));
        let write = move || {
            let _held = it.lock.write().unwrap();
            it.write();
        };
        let reader = spawn(move || {
            let _held = it.lock.read().unwrap();
            it.read();
        });
        join([spawn(write), spawn(write), reader]);
    }

    two_readers_share_a_slot_and_a_writer_comes(b, ForThreeThreads) {
        let it = Shared::new(b::RwLock::<(), 1>::with_readers(()));
        let read = move || {
            let _held = it.lock.read().unwrap();
            it.read();
        };
        let writer = spawn(move || {
            let _held = it.lock.write().unwrap();
            it.write();
        });
        join([spawn(read), spawn(read), writer]);
    }

    an_upgradable_reader_closes_the_gate(b, ForTwoThreads) {
        let it = Shared::new(b::RwLock::<(), 1>::with_readers(()));
        let reader = spawn(move || {
            let _held = it.lock.read().unwrap();
            it.read();
        });
        let upgrader = spawn(move || {
            let held = it.lock.upgradable_read().unwrap();
            it.read();
            let _held = pshared::generic::RwLockUpgradableReadGuard::upgrade(held).unwrap();
            it.write();
        });
        join([reader, upgrader]);
    }

    a_reader_gets_in_beside_an_upgradable_one(b, ForTwoThreads) {
        let it = Shared::new(b::RwLock::<(), 1>::with_readers(()));
        let reader = spawn(move || drop(it.lock.read().unwrap()));
        let held = it.lock.upgradable_read().unwrap();
        join([reader]);
        drop(held);
    }

    a_writer_that_downgrades_lets_readers_in(b, ForTwoThreads) {
        let it = Shared::new(b::RwLock::<(), 2>::with_readers(()));
        let reader = spawn(move || {
            let _held = it.lock.read().unwrap();
            it.read();
        });
        let writer = spawn(move || {
            let held = it.lock.write().unwrap();
            it.write();
            let _held = pshared::generic::RwLockWriteGuard::downgrade(held);
            it.read();
        });
        join([reader, writer]);
    }

    a_permit_hands_on_what_was_written(b, ForTwoThreads) {
        let it = Shared::new(b::Permits::<1>::new());
        let work = move || {
            let _permit = it.lock.acquire().unwrap();
            it.write();
        };
        join([spawn(work), spawn(work)]);
    }

    nobody_sleeps_beside_a_permit(b, ForThreeThreads) {
        let it = Shared::new(b::Permits::<2>::new());
        let work = move || drop(it.lock.acquire().unwrap());
        join([spawn(work), spawn(work), spawn(work)]);
    }

    a_semaphore_hands_on_what_was_written(b, ForTwoThreads) {
        let it = Shared::new(b::Semaphore::counting(0).unwrap());
        let poster = spawn(move || {
            it.write();
            it.lock.post().unwrap();
        });
        it.lock.wait().unwrap();
        it.read();
        join([poster]);
    }

    two_wait_at_a_semaphore_and_two_post(b, ForThreeThreads) {
        let it = Shared::new(b::Semaphore::counting(0).unwrap());
        let post = move || it.lock.post().unwrap();
        let waiter = spawn(move || it.lock.wait().unwrap());
        let threads = [spawn(post), spawn(post), waiter];
        it.lock.wait().unwrap();
        join(threads);
    }

    a_limited_semaphore_wakes_who_waits(b, ForTwoThreads) {
        let it = Shared::new(b::Semaphore::counting_with_max(1, 1).unwrap());
        let work = move || {
            it.lock.wait().unwrap();
            it.write();
            it.lock.post().unwrap();
        };
        join([spawn(work), spawn(work)]);
    }

    a_binary_semaphore_wakes_who_waits(b, ForTwoThreads) {
        let it = Shared::new(b::Semaphore::binary(true));
        let work = move || {
            it.lock.wait().unwrap();
            it.write();
            it.lock.post().unwrap();
        };
        join([spawn(work), spawn(work)]);
    }

    an_event_hands_on_what_was_written(b, ForTwoThreads) {
        let it = Shared::new(b::Event::manual(false));
        let setter = spawn(move || {
            it.write();
            it.lock.set().unwrap();
        });
        it.lock.wait().unwrap();
        it.read();
        join([setter]);
    }

    who_is_notified_under_the_mutex_sees_what_was_written(b, ForTwoThreads) {
        let it = Shared::new(Both(b::Mutex::new(0), b::Condvar::new()));
        let notifier = spawn(move || {
            let (mutex, condvar) = (&it.lock.0, &it.lock.1);
            *mutex.lock().unwrap() = 1;
            condvar.notify_one();
        });
        let (mutex, condvar) = (&it.lock.0, &it.lock.1);
        let mut held = mutex.lock().unwrap();
        while *held == 0 {
            held = condvar.wait(held).unwrap();
        }
        drop(held);
        join([notifier]);
    }

    who_is_notified_without_the_mutex_sees_what_was_written(b, ForTwoThreads) {
        let it = Shared::new(Both(b::Mutex::new(()), b::Condvar::new()));
        let (mutex, condvar) = (&it.lock.0, &it.lock.1);
        let held = mutex.lock().unwrap();
        let notifier = spawn(move || {
            drop(mutex.lock().unwrap()); // so the other waits by now
            it.write();
            condvar.notify_one();
        });
        drop(condvar.wait(held).unwrap());
        it.read();
        join([notifier]);
    }

    who_waits_sees_what_another_does_once(b, ForTwoThreads) {
        let it = Shared::new(b::Once::new());
        let other = spawn(move || {
            it.lock.call_once(|| it.write()).unwrap();
        });
        it.lock.wait().unwrap();
        it.read();
        join([other]);
    }

    what_is_done_once_is_seen_by_all(b, ForThreeThreads) {
        let it = Shared::new(b::Once::new());
        let work = move || {
            it.lock.call_once(|| it.write()).unwrap();
            it.read();
        };
        let waiter = spawn(move || {
            it.lock.wait().unwrap();
            it.read();
        });
        join([spawn(work), spawn(work), waiter]);
    }

    who_came_to_a_barrier_is_seen_by_the_other(b, ForTwoThreads) {
        let it = Shared::new(b::Barrier::<2>::full());
        let other = spawn(move || {
            it.write();
            it.lock.wait().unwrap();
        });
        it.lock.wait().unwrap();
        it.read();
        join([other]);
    }
}
