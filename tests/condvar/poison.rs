//! What a wait says of the lock that it takes again.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::*;
use crate::support::claims::{anywhere, in_processes, in_threads_and_processes};

/// The cause that a wait tells of.
fn cause<G>(result: LockResult<G>) -> Option<Cause> {
    result.err().map(|error| error.recover().unwrap_or_else(|error| panic!("{error}")).1)
}

fn panic_inside<B: Backend>(room: &Room<B>) {
    let inside = catch_unwind(AssertUnwindSafe(|| {
        let _guard = room.value.lock();
        resume_unwind(Box::new("on purpose"));
    }));
    assert!(inside.is_err());
}

fn recovered<B: Backend>(room: &Room<B>) -> MutexGuard<'_, u64, B> {
    room.value.lock().or_else(|error| error.recover().map(|(guard, _)| guard)).unwrap()
}

anywhere!(
    every_wait_on_a_poisoned_lock_says_so_and_gives_the_guard,
    Room<B> = Room::new(),
    |room| {
        panic_inside(room);
        let panicked = Some(Cause::Panicked);
        let ms = Duration::from_millis(2);
        assert_eq!(cause(room.changed.wait_timeout(recovered(room), ms)), panicked);
        assert_eq!(cause(room.changed.wait_until(recovered(room), Instant::now() + ms)), panicked);
        assert_eq!(cause(room.changed.wait_timeout_while(recovered(room), ms, |_| true)), panicked);
        assert_eq!(cause(room.changed.wait_while_until(recovered(room), Instant::now() + ms, |_| true)), panicked);
        let (guard, result) = match room.changed.wait_timeout(recovered(room), ms) {
            Err(LockError::Poisoned(poison)) => poison.into_inner(),
            other => panic!("{other:?}"),
        };
        assert!(result.timed_out() && room.value.is_locked());
        drop(guard);
        assert!(!room.value.is_locked());

        // What doesn't wait says nothing: the guard was got with the news.
        assert_eq!(cause(room.changed.wait_while(recovered(room), |_| false)), None);
        room.value.clear_poison();
        assert_eq!(cause(room.changed.wait_timeout(room.lock(), ms)), None);
    }
);

in_threads_and_processes!(
    a_waiter_learns_that_an_owner_panicked_meanwhile,
    Room<B> = Room::new(),
    workers = 2,
    |room, me| {
        tell_tid(me);
        // The condition holds still: the poison ends the wait.
        let ended = if me.number == 0 {
            cause(room.changed.wait_while(room.lock(), |_| true))
        } else {
            cause(room.changed.wait_timeout_while(room.lock(), LONG, |_| true))
        };
        assert_eq!(ended, Some(Cause::Panicked));
    },
    |room, workers| {
        let_all_sleep(workers);
        panic_inside(room);
        room.changed.notify_all();
        workers.finish();
    }
);

anywhere!(
    a_condition_that_panics_poisons_and_unlocks,
    Room<B> = Room::new(),
    |room| {
        let ended = catch_unwind(AssertUnwindSafe(|| {
            drop(room.changed.wait_while(room.lock(), |_| resume_unwind(Box::new("on purpose"))));
        }));
        assert!(ended.is_err());
        assert!(!room.value.is_locked());
        assert_eq!(cause(room.value.lock()), Some(Cause::Panicked));
    }
);

in_processes!(
    /// The owner has notified, the waiter waits for the lock, the owner dies in it.
    a_waiter_that_takes_the_lock_of_the_dead_learns_of_it,
    Room<B> = Room::new(),
    workers = 3,
    |room, me| {
        tell_tid(me);
        if me.number == 0 {
            *room.lock() = 1;
            std::mem::forget(room.lock());
            room.changed.notify_all();
            me.say("held");
            me.hear();
        }
        let (mut guard, cause) = match me.number {
            1 => room.changed.wait(room.lock()).unwrap_err().recover().unwrap(),
            _ => {
                let ((guard, result), cause) =
                    room.changed.wait_timeout(room.lock(), LONG).unwrap_err().recover().unwrap();
                assert!(!result.timed_out());
                (guard, cause)
            }
        };
        assert_eq!(cause, Cause::OwnerDied);
        *guard += 1;
    },
    |room, workers| {
        let mut ids = Vec::new();
        for worker in &workers[1..] {
            let id = worker.hear().parse().unwrap();
            worker.say("go");
            wait_until_asleep_in_a_lock(id);
            ids.push(id);
        }
        workers[0].hear();
        workers[0].say("go");
        workers[0].expect("held");
        ids.into_iter().for_each(wait_until_asleep_in_a_lock);
        workers.take_process().kill();
        workers.finish();
        assert_eq!(*recovered(room), 3);
    }
);
