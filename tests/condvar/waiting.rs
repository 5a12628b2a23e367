//! Who waits, and who is woken.

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};

in_threads_and_processes!(
    a_notification_of_one_wakes_a_waiter,
    Room<B> = Room::new(),
    workers = 1,
    |room, me| {
        let guard = room.lock();
        tell_tid(me);
        let guard = room.changed.wait_while(guard, |value| *value == 0).unwrap();
        assert_eq!(*guard, 1);
    },
    |room, workers| {
        let_all_sleep(workers);
        *room.lock() = 1;
        room.changed.notify_one();
        workers.finish();
    }
);

in_threads_and_processes!(
    /// As std's own test has it.
    a_notification_of_all_wakes_every_waiter,
    Room<B> = Room::new(),
    workers = 6,
    |room, me| {
        tell_tid(me);
        let guard = room.changed.wait_while(room.lock(), |value| *value == 0).unwrap();
        assert_eq!(*guard, 1);
        room.came_back();
    },
    |room, workers| {
        let_all_sleep(workers);
        assert_eq!(room.back(), 0);
        let mut guard = room.lock();
        *guard = 1;
        room.changed.notify_all();
        assert_eq!(room.back(), 0, "somebody is back who hasn't got the lock");
        drop(guard);
        workers.finish();
        assert_eq!(room.back(), 6);
    }
);

in_threads_and_processes!(
    /// Within the second after which sleepers look up, so that nobody comes back by himself.
    as_many_come_back_as_were_notified,
    Room<B> = Room::new(),
    workers = 4,
    |room, me| {
        tell_tid(me);
        let guard = room.lock();
        drop(room.changed.wait(guard).unwrap());
        room.came_back();
    },
    |room, workers| {
        let_all_sleep(workers);
        for count in 1..=4 {
            assert!(room.back() >= count - 1);
            room.changed.notify_one();
            wait_until("one more is back", || room.back() >= count);
        }
        workers.finish();
    }
);

in_threads_and_processes!(
    two_notifications_under_the_lock_wake_two,
    Room<B> = Room::new(),
    workers = 3,
    |room, me| {
        tell_tid(me);
        let mut guard = room.changed.wait_while(room.lock(), |value| *value == 0).unwrap();
        *guard -= 1;
        room.came_back();
    },
    |room, workers| {
        let_all_sleep(workers);
        let mut guard = room.lock();
        *guard = 2;
        room.changed.notify_one();
        room.changed.notify_one();
        drop(guard);
        room.wait_until_back(2);
        assert_eq!(*room.lock(), 0);
        *room.lock() = 1;
        room.changed.notify_one();
        workers.finish();
    }
);

anywhere!(
    /// As std's own test has it.
    notifying_nobody_is_not_remembered,
    Room<B> = Room::new(),
    |room| {
        for _ in 0..3 {
            room.changed.notify_one();
            room.changed.notify_all();
        }
        let (_guard, result) = room.changed.wait_timeout(room.lock(), Duration::from_millis(30)).unwrap();
        assert!(result.timed_out());
    }
);

anywhere!(
    a_condition_that_does_not_hold_is_not_waited_for,
    Room<B> = Room::new(),
    |room| {
        let mut asked = 0;
        let mut no = |_: &mut u64| {
            asked += 1;
            false
        };
        drop(room.changed.wait_while(room.lock(), &mut no).unwrap());
        for time in [Duration::ZERO, LONG] {
            let (guard, result) = room.changed.wait_timeout_while(room.lock(), time, &mut no).unwrap();
            assert!(!result.timed_out());
            drop(guard);
            let (_guard, result) = room.changed.wait_while_until(room.lock(), Instant::now() + time, &mut no).unwrap();
            assert!(!result.timed_out());
        }
        assert_eq!(asked, 5);
    }
);

in_threads_and_processes!(
    the_lock_is_free_during_the_wait_and_held_after_it,
    Room<B> = Room::new(),
    workers = 1,
    |room, me| {
        let guard = room.lock();
        tell_tid(me);
        let guard = room.changed.wait_while(guard, |value| *value == 0).unwrap();
        assert_eq!(room.value.owner().unwrap().tid, tid());
        me.say("held");
        me.expect("let go");
        drop(guard);
    },
    |room, workers| {
        let_all_sleep(workers);
        *room.value.try_lock().unwrap() = 1;
        room.changed.notify_all();
        workers[0].expect("held");
        assert!(matches!(room.value.try_lock(), Err(LockError::WouldBlock)));
        workers[0].say("let go");
    }
);

const ROUNDS: u64 = 3000;

in_threads_and_processes!(
    /// Neither sleeps while it is its turn: a lost wake-up costs a second, and there are more rounds than the watchdog has.
    a_ball_thrown_to_and_fro_is_never_dropped,
    Room<B> = Room::new(),
    workers = 2,
    |room, me| {
        me.expect("go");
        let mut value = room.lock();
        while *value < ROUNDS {
            if *value % 2 == me.number as u64 {
                *value += 1;
                room.changed.notify_one();
            } else {
                value = room.changed.wait(value).unwrap();
            }
        }
    },
    |room, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        assert_eq!(*room.lock(), ROUNDS);
    }
);

/// How many a bounded buffer takes.
const CAPACITY: u64 = 3;

/// A buffer that only counts, with a condition variable for either end.
#[repr(C)]
#[derive(ShmSafe)]
struct Buffer<B: Backend> {
    filled: Mutex<u64, B>,
    not_full: Condvar<B>,
    not_empty: Condvar<B>,
}

in_threads_and_processes!(
    /// Many on both sides; a lost notification of either kind leaves somebody asleep.
    what_is_put_into_a_bounded_buffer_is_taken_out,
    Buffer<B> = Buffer { filled: Mutex::new(0), not_full: Condvar::new(), not_empty: Condvar::new() },
    workers = 6,
    |buffer, me| {
        me.expect("go");
        let puts = me.number.is_multiple_of(2);
        for _ in 0..ROUNDS / 3 {
            let filled = buffer.filled.lock().unwrap();
            if puts {
                *buffer.not_full.wait_while(filled, |filled| *filled == CAPACITY).unwrap() += 1;
                buffer.not_empty.notify_one();
            } else {
                *buffer.not_empty.wait_while(filled, |filled| *filled == 0).unwrap() -= 1;
                buffer.not_full.notify_one();
            }
        }
    },
    |buffer, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        assert_eq!(*buffer.filled.lock().unwrap(), 0);
    }
);

in_threads_and_processes!(
    /// A barrier made of it: everybody waits for the last, round after round.
    nobody_is_left_behind_when_all_are_notified_again_and_again,
    Room<B> = Room::new(),
    workers = 5,
    |room, me| {
        me.expect("go");
        for round in 1..=200 {
            let mut value = room.lock();
            *value += 1;
            if *value == round * 5 {
                room.changed.notify_all();
            } else {
                drop(room.changed.wait_while(value, |value| *value < round * 5).unwrap());
            }
        }
    },
    |room, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        assert_eq!(*room.lock(), 1000);
    }
);
