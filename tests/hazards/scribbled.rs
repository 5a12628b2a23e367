//! U4, at random: a peer scribbles over everything in the region while others lock, try and wait.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use pshared::{LockResult, Mutex, MutexGuard, ShmCell};

use crate::fenced::Fenced;
use crate::scene::{
    BACK, Locks, NEXT, OWNER_DIED, SETTLED, STAMP, WAITERS, WORD, alone, anonymous, die, entry, fork, is_marked, links,
    locks, pid_namespace, raw, recover, robust_list, until,
};

/// How long it goes on.
const LONG: Duration = Duration::from_secs(4);

/// How long a cell's header is, and where in it the word is that says whether the cell is finished, in bytes.
const HEADER: usize = 128;
const STATE: usize = 72;

/// Random numbers; `seed` goes into what a failure says.
pub struct Random(Cell<u64>);

impl Random {
    pub fn new() -> Random {
        let seed = RandomState::new().build_hasher().finish();
        eprintln!("random seed {seed:#x}");
        Random::from(seed)
    }

    pub fn from(seed: u64) -> Random {
        Random(Cell::new(seed | 1))
    }

    pub fn next(&self) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&self, n: usize) -> usize {
        (self.next() >> 16) as usize % n
    }

    pub fn of<T: Copy>(&self, choice: &[T]) -> T {
        choice[self.below(choice.len())]
    }
}

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

/// One thread's work: holds up to six locks and gives them back in any order, and now and then does else.
fn work(random: Random, cell: &Locks, stop: impl Fn() -> bool, or_else: impl Fn()) -> u64 {
    let mut rounds = 0;
    while !stop() {
        if random.below(50) == 0 {
            or_else();
        }
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
        rounds += 1;
    }
    assert_eq!(robust_list(), (vec![], 0), "everything was given back");
    rounds
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
fn u4_no_scribbling_makes_a_call_crash_or_hang_or_write_outside_the_region() {
    alone(|| {
        let control = anonymous();
        let [stop, threads, rounds, ..] = &control.marks;
        let fenced = &Fenced::new(ShmCell::<Locks>::size());
        // SAFETY: zeros, mapped for ever.
        let cell: &ShmCell<Locks> = unsafe { ShmCell::init(fenced.memory(), locks) }.unwrap();
        let memory: NonNull<[u8]> = fenced.memory();
        // SAFETY: shared memory, where everybody writes atomically or doesn't mind.
        let bytes: &[AtomicU8] = unsafe { &*(memory.as_ptr() as *const [AtomicU8]) };
        let header: Vec<u8> = bytes[..HEADER].iter().map(|byte| byte.load(SeqCst)).collect();
        let seeds = Random::new();

        let workers: Vec<_> = (0..3)
            .map(|_| {
                let seed = seeds.next();
                fork(|| {
                    let heap = vec![0x5a_u8; 1 << 16];
                    thread::scope(|scope| {
                        for n in 1..3 {
                            scope.spawn(move || {
                                threads.fetch_add(1, SeqCst);
                                let random = Random::from(seed.wrapping_mul(n));
                                // SAFETY: mapped for ever; whatever is there is what this is about.
                                let attach = || drop(unsafe { ShmCell::<Locks>::attach(fenced.memory()) });
                                let done = work(random, cell, || stop.load(SeqCst) == 1, attach);
                                rounds.fetch_add(u32::try_from(done).unwrap(), SeqCst);
                            });
                        }
                    });
                    assert!(heap.iter().all(|byte| *byte == 0x5a));
                    assert_eq!(fenced.written(&[]), vec![]);
                })
            })
            .collect();
        until("all are at work", || threads.load(SeqCst) == 6);

        let tids: Vec<_> = workers.iter().map(|worker| worker.pid()).chain([1, 4_000_000]).collect();
        let mut pointers: Vec<_> = cell.locks.iter().map(entry).collect();
        pointers.extend([0, 1, 0x1000, usize::MAX, fenced.word(100).addr(), fenced.word(900).addr(), pointers[3] + 1]);
        let scribbler_seed = seeds.next();
        let scribbler = fork(|| {
            let random = Random::from(scribbler_seed);
            loop {
                scribble(&random, cell, bytes, &pointers, &tids);
                match random.below(40) {
                    // So that who attaches comes further, and as far as to wait for a thread that does something else.
                    0 => bytes.iter().zip(&header).for_each(|(byte, was)| byte.store(*was, SeqCst)),
                    1 => random
                        .of(&tids)
                        .to_ne_bytes()
                        .iter()
                        .zip(&bytes[STATE..])
                        .for_each(|(b, at)| at.store(*b, SeqCst)),
                    _ => {}
                }
                if random.below(20) == 0 {
                    thread::sleep(Duration::from_micros(random.next() % 500));
                }
            }
        });
        let started = Instant::now();
        until("it is enough", || started.elapsed() >= LONG);
        stop.store(1, SeqCst);
        // Scribbling goes on: a lock that names a living thread is rightly waited for until it names another.
        workers.into_iter().for_each(|worker| worker.finish());
        scribbler.kill();
        assert_eq!(fenced.written(&[]), vec![]);
        eprintln!("{} rounds", rounds.load(Relaxed));
        assert!(rounds.load(SeqCst) > 100);
    });
}

#[test]
fn u4_after_the_scribbling_the_same_threads_locks_are_robust_again() {
    alone(|| {
        let (shm, control) = (anonymous(), anonymous());
        let [stop, held, ..] = &control.marks;
        let random = Random::new();
        let worker_seed = random.next();
        let victim = fork(|| {
            work(Random::from(worker_seed), &shm, || stop.load(SeqCst) == 1, || {});
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
