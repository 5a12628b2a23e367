//! Counters that come round: each is set to shortly before its end, and then used across it, by processes that sleep, are
//! woken and are killed.
//!
//! | counter | on | at its end |
//! |---|---|---|
//! | a condition variable's sequence | all | from 0 again |
//! | a manual-reset event's generation | all | from 0 again |
//! | the number of a barrier's round, 40 bits | all | from 0 again |
//! | how often a barrier's doors were opened | futexes | from 0 again |
//! | a semaphore's value | all | an error |
//! | further reads of a thread | all but futexes, in cells | an error (a reentrant mutex's guards: see its unit test) |
//! | those asleep, or killed asleep | watched primitives | from 0 again, which costs slices |
//! | when somebody looked after the owners, in milliseconds | watched primitives | from 0 again |
//! | waits in vain, from which spinning learns | all | stays high |

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::*;
use crate::support::claims::{Me, Workers};
use crate::support::state::{tid, wait_until, wait_until_asleep_in_a_lock};

/// A word of what stands in a cell, so many bytes from its beginning.
fn word<T>(of: &T, at: usize) -> &AtomicU32 {
    assert!(at.is_multiple_of(4) && at + 4 <= size_of::<T>());
    // SAFETY: inside of it, aligned, and one of the words by which processes share it.
    unsafe { &*(&raw const *of).cast::<u8>().add(at).cast() }
}

fn long_word<T>(of: &T, at: usize) -> &AtomicU64 {
    assert!(at.is_multiple_of(8) && at + 8 <= size_of::<T>());
    // SAFETY: as above.
    unsafe { &*(&raw const *of).cast::<u8>().add(at).cast() }
}

fn is_futex<B: Backend>() -> bool {
    B::NAME == "futex"
}

/// How long what sleepers of watched primitives sleep on is: their condition variable has eight bytes besides.
fn waiting<B: Backend>() -> usize {
    size_of::<B::Condvar>() - 8
}

/// Has each worker do something that makes it sleep, as far as that.
fn send_to_sleep(workers: &Workers, what: &str) {
    for worker in &workers[..] {
        worker.say(what);
        wait_until_asleep_in_a_lock(worker.hear().parse().unwrap());
    }
}

/// Does what the test says, line by line, until it says no more.
fn obey(me: &Me, mut wait: impl FnMut() -> String) {
    while me.hear() == "wait" {
        me.say(&tid().to_string());
        me.say(&wait());
    }
}

fn dismiss(workers: &Workers) {
    workers.iter().for_each(|worker| worker.say("end"));
}

#[repr(C)]
#[derive(ShmSafe)]
struct Mailbox<B: Backend> {
    letters: Mutex<u64, B>,
    arrived: Condvar<B>,
}

in_processes!(
    /// Whoever sleeps is woken by the notification that comes round, and by those before and after it.
    notifications_come_round,
    Mailbox<B> = Mailbox { letters: Mutex::new(0), arrived: Condvar::new() },
    workers = 3,
    |mailbox, me| {
        obey(me, || {
            let mut letters = mailbox.letters.lock().unwrap();
            while *letters == 0 {
                letters = mailbox.arrived.wait(letters).unwrap();
            }
            *letters -= 1;
            "read".into()
        });
    },
    |mailbox, workers| {
        let sequence = word(&mailbox.arrived, if is_futex::<B>() { 40 } else { 0 });
        for left in 1..=3_u32 {
            sequence.store(0_u32.wrapping_sub(2 * left), Ordering::SeqCst);
            for round in 0..2 {
                send_to_sleep(workers, "wait");
                let mut letters = mailbox.letters.lock().unwrap();
                *letters = workers.len() as u64;
                if round == 0 {
                    drop(letters);
                    (0..workers.len()).for_each(|_| mailbox.arrived.notify_one());
                } else {
                    mailbox.arrived.notify_all();
                    drop(letters);
                }
                workers.iter().for_each(|worker| worker.expect("read"));
            }
            let now = sequence.load(Ordering::SeqCst);
            assert!(now < 64, "{now:#x}: didn't come round");
        }
        // Once more, with one who is killed asleep just before.
        sequence.store(u32::MAX - 1, Ordering::SeqCst);
        send_to_sleep(workers, "wait");
        workers.take_process().kill();
        *mailbox.letters.lock().unwrap() = 2;
        (0..2).for_each(|_| mailbox.arrived.notify_one());
        workers.iter().for_each(|worker| worker.expect("read"));
        dismiss(workers);
    }
);

in_processes!(
    /// A time limit is one still, just before the sequence comes round and just after.
    time_limits_stand_while_notifications_come_round,
    Mailbox<B> = Mailbox { letters: Mutex::new(0), arrived: Condvar::new() },
    workers = 1,
    |_mailbox, _me| {},
    |mailbox, _workers| {
        let sequence = word(&mailbox.arrived, if is_futex::<B>() { 40 } else { 0 });
        for at in [0, 2, u32::MAX - 1] {
            sequence.store(at, Ordering::SeqCst);
            let brief = std::time::Duration::from_millis(5);
            let (_letters, result) = mailbox.arrived.wait_timeout(mailbox.letters.lock().unwrap(), brief).unwrap();
            assert!(result.timed_out(), "{at:#x}");
            mailbox.arrived.notify_one();
        }
    }
);

in_processes!(
    /// Whoever waited when an event was set passes, also when the event has begun its first generation anew by then.
    generations_come_round,
    Event<B> = Event::manual(false),
    workers = 3,
    |event, me| {
        obey(me, || {
            event.wait().unwrap();
            "through".into()
        });
    },
    |event, workers| {
        let generation = word(event, size_of::<B::Semaphore>().next_multiple_of(align_of::<B::Event>()));
        // Bits 0 to 29, or 1 to 31.
        let last = if is_futex::<B>() { (1 << 30) - 1 } else { u32::MAX - 1 };
        let one = if is_futex::<B>() { 1 } else { 2 };
        for left in 0..3 {
            generation.store(last - left * one, Ordering::SeqCst);
            for _ in 0..3 {
                send_to_sleep(workers, "wait");
                event.set().unwrap();
                event.reset().unwrap();
                workers.iter().for_each(|worker| worker.expect("through"));
                assert!(!event.is_set());
            }
            let now = generation.load(Ordering::SeqCst) & last;
            assert!(now < 8 * one, "{now:#x}: didn't come round");
        }
        generation.store(last, Ordering::SeqCst);
        send_to_sleep(workers, "wait");
        workers.take_process().kill();
        event.set().unwrap();
        event.reset().unwrap();
        workers.iter().for_each(|worker| worker.expect("through"));
        dismiss(workers);
    }
);

const LAST_ROUND: u64 = (1 << 40) - 1;

in_processes!(
    /// Rounds are completed, broken and reset as ever while their numbers come round.
    rounds_come_round,
    Barrier<B, 8> = Barrier::new(3).unwrap(),
    workers = 3,
    |barrier, me| {
        obey(me, || match barrier.wait() {
            Ok(met) if met.is_leader() => "leader".into(),
            Ok(_) => "other".into(),
            Err(error) => error.to_string(),
        });
    },
    |barrier, workers| {
        let state = long_word(barrier, if is_futex::<B>() { 8 } else { 2 * waiting::<B>() });
        let meet = |workers: &Workers| {
            workers.iter().for_each(|worker| worker.say("wait"));
            let told = workers.iter().map(|worker| {
                worker.hear(); // its id
                worker.hear()
            });
            let mut told: Vec<String> = told.collect();
            told.sort();
            assert_eq!(told, ["leader", "other", "other"]);
        };
        for left in 0..3 {
            state.store(LAST_ROUND - left, Ordering::SeqCst);
            (0..4).for_each(|_| meet(workers));
            let number = state.load(Ordering::SeqCst) & LAST_ROUND;
            assert_eq!(number, 3 - left, "didn't come round");
        }
        // Broken by a reset in the last round, and in the first: who waits is told, and the next round is whole.
        for number in [LAST_ROUND, 0] {
            state.store(number, Ordering::SeqCst);
            let worker = &workers[0];
            worker.say("wait");
            wait_until_asleep_in_a_lock(worker.hear().parse().unwrap());
            barrier.reset().unwrap();
            worker.expect(&Error::BarrierBroken.to_string());
            meet(workers);
        }
        // By a death in the last round.
        state.store(LAST_ROUND, Ordering::SeqCst);
        for worker in &workers[..2] {
            worker.say("wait");
            wait_until_asleep_in_a_lock(worker.hear().parse().unwrap());
        }
        workers.take_process().kill();
        workers[0].expect(&Error::BarrierBroken.to_string());
        assert!(barrier.is_broken());
        barrier.reset().unwrap();
        assert_eq!(state.load(Ordering::SeqCst), 0);
        dismiss(workers);
    }
);

in_processes!(
    /// Sleepers are let through by the opening of a door whose count comes round.
    openings_come_round,
    Barrier<B, 8> = Barrier::new(3).unwrap(),
    workers = 2,
    |barrier, me| {
        obey(me, || barrier.wait().map(|_| "through").unwrap_or("broken").into());
    },
    |barrier, workers| {
        for left in 0..3 {
            if is_futex::<B>() {
                word(barrier, 16).store(u32::MAX - left, Ordering::SeqCst);
            }
            for _ in 0..2 {
                send_to_sleep(workers, "wait");
                barrier.wait().unwrap();
                workers.iter().for_each(|worker| worker.expect("through"));
            }
        }
        dismiss(workers);
    }
);

in_processes!(
    /// Of those who post at once to one that is nearly full, as many succeed as there is room for.
    a_full_semaphore_stays_full,
    Semaphore<B> = Semaphore::counting(0).unwrap(),
    workers = 4,
    |semaphore, me| {
        me.expect("post");
        let posted = (0..10).filter(|_| semaphore.post().is_ok()).count();
        me.say(&posted.to_string());
        me.expect("take");
        semaphore.wait().unwrap();
        me.say("taken");
    },
    |semaphore, workers| {
        let max = semaphore.max();
        semaphore.post_many(max - 3).unwrap();
        workers.iter().for_each(|worker| worker.say("post"));
        let posted: u32 = workers.iter().map(|worker| worker.hear().parse::<u32>().unwrap()).sum();
        assert_eq!((posted, semaphore.value()), (3, max));
        assert_eq!(semaphore.post_many(u32::MAX), Err(Error::TooManyPermits { value: max, more: u32::MAX, max }));
        workers.iter().for_each(|worker| worker.say("take"));
        workers.iter().for_each(|worker| worker.expect("taken"));
        assert_eq!(semaphore.value(), max - 4);
        semaphore.post_many(4).unwrap();
        assert_eq!(semaphore.value(), max);
    }
);

in_processes!(
    /// A semaphore at which four thousand millions were killed asleep, or waited in vain, serves on.
    sleepers_come_round,
    Semaphore<B> = Semaphore::counting(0).unwrap(),
    workers = 3,
    |semaphore, me| {
        obey(me, || {
            semaphore.wait().unwrap();
            "taken".into()
        });
    },
    |semaphore, workers| {
        // Those asleep; on futexes the waits in vain.
        let count = word(semaphore, if is_futex::<B>() { 24 } else { 12 });
        for before in [u32::MAX - 2, u32::MAX - 1, u32::MAX] {
            count.store(before, Ordering::SeqCst);
            for _ in 0..2 {
                send_to_sleep(workers, "wait");
                (0..3).for_each(|_| semaphore.post().unwrap());
                workers.iter().for_each(|worker| worker.expect("taken"));
            }
        }
        count.store(u32::MAX - 1, Ordering::SeqCst);
        send_to_sleep(workers, "wait");
        workers.take_process().kill();
        semaphore.post_many(2).unwrap();
        workers.iter().for_each(|worker| worker.expect("taken"));
        assert_eq!(semaphore.value(), 0);
        dismiss(workers);
    }
);

in_processes!(
    /// Whenever somebody last looked after the owners, by a clock that comes round every seven weeks: deaths are noticed.
    the_time_of_the_last_look_comes_round,
    Mutex<u64, B> = Mutex::new(0),
    workers = 5,
    |mutex, me| {
        me.expect("lock");
        let _guard = match mutex.lock() {
            Err(LockError::Poisoned(poison)) => poison.into_inner(),
            other => other.unwrap(),
        };
        me.say("locked");
        me.hear(); // it is killed before
    },
    |mutex, workers| {
        for (number, looked) in [0, 1, u32::MAX / 2, u32::MAX / 2 + 1, u32::MAX].into_iter().enumerate() {
            if matches!(B::NAME, "posix" | "sysv") {
                word(mutex, 20).store(looked, Ordering::SeqCst);
            }
            workers[0].say("lock");
            workers[0].expect("locked");
            workers.take_process().kill();
            let told = mutex.lock().map(drop);
            assert!(matches!(told, Err(LockError::Poisoned(poison)) if poison.cause() == Cause::OwnerDied), "{number}");
            mutex.clear_poison();
        }
    }
);

in_processes!(
    /// A thread that reads again and again is refused before its reads can't be counted.
    further_reads_are_refused_at_the_end,
    RwLock<u64, B, 4> = RwLock::with_readers(0),
    workers = 1,
    |_lock, _me| {},
    |lock, _workers| {
        let first = lock.read().unwrap();
        let again = lock.read().unwrap();
        if !is_futex::<B>() {
            let header = (24 + 2 * waiting::<B>()).next_multiple_of(64);
            let mut slots = (0..4).map(|slot| header + 64 * slot);
            let slot = slots.find(|slot| long_word(lock, *slot).load(Ordering::SeqCst) != 0).unwrap();
            let nested = word(lock, slot + 12);
            assert_eq!(nested.swap(u32::MAX - 2, Ordering::SeqCst), 1);
            let last = lock.read().unwrap();
            for refused in [lock.read(), lock.try_read()] {
                assert!(matches!(refused, Err(LockError::Failed(Error::TooManyGuards { limit: u32::MAX }))));
            }
            drop(last);
            drop(lock.read().unwrap());
            nested.store(1, Ordering::SeqCst);
        }
        drop(first);
        assert!(matches!(lock.try_write(), Err(LockError::WouldBlock)));
        drop(again);
        *lock.try_write().unwrap() += 1;
    }
);

#[test]
fn further_reads_outside_of_cells_are_refused_at_the_end() {
    let lock: RwLock<u64, pshared::futex::Futex, 1> = RwLock::with_readers(0);
    let first = lock.read().unwrap();
    let again = lock.read().unwrap();
    let nested = word(&lock, 64 + 44);
    assert_eq!(nested.swap(u32::MAX - 2, Ordering::SeqCst), 1);
    let last = lock.read().unwrap();
    assert!(matches!(lock.read(), Err(LockError::Failed(Error::TooManyGuards { .. }))));
    drop(last);
    nested.store(1, Ordering::SeqCst);
    drop(again);
    assert!(lock.try_write().is_err());
    drop(first);
    wait_until("it is free", || lock.try_write().is_ok());
}
