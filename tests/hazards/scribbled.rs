//! U4, at random: a peer scribbles over the locks that a thread uses.

use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use pshared::{LockResult, Mutex, MutexGuard};

use crate::scene::{
    BACK, Locks, NEXT, OWNER_DIED, SETTLED, STAMP, WAITERS, WORD, alone, anonymous, die, entry, fork, is_marked, links,
    pid_namespace, raw, recover, robust_list, until,
};
use crate::support::random::Random;

/// Whatever a call says is good, as long as it comes back.
fn guard_of<'a>(result: LockResult<MutexGuard<'a, u64>>) -> Option<MutexGuard<'a, u64>> {
    match result {
        Ok(guard) => Some(guard),
        Err(error) => error.recover().ok().map(|(guard, _)| guard),
    }
}

fn use_somehow<'a>(random: &Random, lock: &'a Mutex<u64>) -> Option<MutexGuard<'a, u64>> {
    match random.below(12) {
        0..3 => guard_of(lock.lock()),
        3..6 => guard_of(lock.try_lock()),
        6..9 => guard_of(lock.try_lock_for(Duration::from_micros(random.next() % 3000))),
        9 => lock.lock_or_recover(|n, _| *n = 0).ok(),
        10 => {
            lock.clear_poison();
            None
        }
        _ => {
            let _ = (format!("{lock:?}"), lock.owner(), lock.is_poisoned());
            None
        }
    }
}

/// One thread's work: holds up to six locks and gives them back in any order.
fn work(random: Random, cell: &Locks, stop: impl Fn() -> bool) {
    while !stop() {
        let mut guards: Vec<MutexGuard<'_, u64>> = Vec::new();
        for _ in 0..random.below(10) {
            if guards.len() < 6 && random.below(3) > 0 {
                guards.extend(use_somehow(&random, &cell.locks[random.below(8)]));
            } else if !guards.is_empty() {
                drop(guards.swap_remove(random.below(guards.len())));
            }
        }
        while !guards.is_empty() {
            drop(guards.swap_remove(random.below(guards.len())));
        }
    }
    assert_eq!(robust_list(), (vec![], 0), "everything was given back");
}

/// Writes anything over a part of the region.
fn scribble(random: &Random, cell: &Locks, bytes: &[AtomicU8], pointers: &[usize], tids: &[u32]) {
    let lock = &cell.locks[random.below(8)];
    let tid = random.of(tids) | random.of(&[0, WAITERS, OWNER_DIED]);
    let word = random.of(&[0, WAITERS, OWNER_DIED, 1 << 29, u32::MAX, random.next() as u32, tid]);
    match random.below(7) {
        0 => bytes[random.below(bytes.len())].store(random.next() as u8, SeqCst),
        1 | 2 => raw(lock)[WORD].store(word, SeqCst),
        3 => raw(lock)[SETTLED].store(random.of(&[0, pid_namespace() as u32, random.next() as u32]), SeqCst),
        4 => raw(lock)[STAMP + random.below(2)].store(random.of(&[tid, word]), SeqCst),
        5 => links(lock)[random.of(&[BACK, NEXT])].store(random.of(pointers), SeqCst),
        _ => {
            let other = raw(&cell.locks[random.below(8)]);
            other.iter().zip(raw(lock)).for_each(|(to, from)| to.store(from.load(SeqCst), SeqCst));
        }
    }
}

#[test]
fn u4_after_the_scribbling_the_same_threads_locks_are_robust_again() {
    alone(|| {
        let (shm, control) = (anonymous(), anonymous());
        let [stop, held, ..] = &control.marks;
        let random = Random::new();
        let worker_seed = random.next();
        let victim = fork(|| {
            work(Random::from(worker_seed), &shm, || stop.load(SeqCst) == 1);
            stop.store(2, SeqCst);
            until("it is cleaned up", || stop.load(SeqCst) == 3);
            let _guards = [1, 4, 6].map(|i| shm.locks[i].lock().unwrap());
            held.store(1, SeqCst);
            die()
        });
        let bytes = shm.locks.each_ref().map(raw).map(|lock| {
            // SAFETY: the same bytes, one by one.
            unsafe { &*std::ptr::from_ref(lock).cast::<[AtomicU8; 56]>() }
        });
        let started = Instant::now();
        let tids = [victim.pid(), 1, 4_000_000];
        let pointers: Vec<_> = shm.locks.iter().map(entry).chain([0, 1, 0x1000, usize::MAX]).collect();
        while stop.load(SeqCst) != 2 {
            scribble(&random, &shm, bytes[random.below(8)], &pointers, &tids);
            if started.elapsed() > Duration::from_secs(1) && stop.load(SeqCst) == 0 {
                stop.store(1, SeqCst);
            }
        }
        for lock in &shm.locks {
            raw(lock).iter().for_each(|word| word.store(0, SeqCst));
            raw(lock)[SETTLED].store(pid_namespace() as u32, SeqCst);
        }
        stop.store(3, SeqCst);
        victim.killed();
        assert_eq!(held.load(SeqCst), 1);
        for (i, lock) in shm.locks.iter().enumerate() {
            assert_eq!(is_marked(lock), [1, 4, 6].contains(&i), "{i}");
            if is_marked(lock) {
                recover(lock);
            }
        }
    });
}
