//! U4 of the list of hazards, at random: somebody scribbles over a lock while others use it.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;

use pshared::region::Anonymous;
use pshared::{LockResult, RwLockUpgradableReadGuard, RwLockWriteGuard, Shm};

use super::{Duration, Instant};
use crate::support::state::tid;
use crate::support::watchdog::watch;

type Lock = pshared::RwLock<u64, 3>;

const WORDS: usize = 4 * 64 / 4;

/// How long it goes on.
const LONG: Duration = Duration::from_secs(2);

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % n
    }
}

/// The gate and the slots.
fn words(lock: &Lock) -> &[AtomicU32; WORDS] {
    // SAFETY: the lock begins with as many bytes, all of them atomic words, and is aligned to 64.
    unsafe { &*std::ptr::from_ref(lock).cast() }
}

/// What came of it counts for nothing, as long as it came.
fn got<G>(result: LockResult<G>) -> Option<G> {
    match result {
        Ok(guard) => Some(guard),
        Err(error) => error.recover().ok().map(|(guard, _)| guard),
    }
}

fn use_somehow(random: &mut Random, lock: &Lock) {
    let time = Duration::from_micros(random.below(2000));
    match random.below(11) {
        0 => drop(got(lock.read())),
        1 => drop(got(lock.write())),
        2 => drop((got(lock.read()), got(lock.try_read()), got(lock.try_write()))),
        3 => drop(got(lock.try_read_for(time))),
        4 => drop(got(lock.try_write_for(time))),
        5 => drop(got(lock.try_upgradable_read_for(time)).map(RwLockUpgradableReadGuard::downgrade)),
        6 => drop(got(lock.upgradable_read()).map(|guard| RwLockUpgradableReadGuard::try_upgrade_for(guard, time))),
        7 => drop(got(lock.write()).map(RwLockWriteGuard::downgrade)),
        8 => drop(got(lock.try_write()).map(RwLockWriteGuard::downgrade_to_upgradable)),
        9 => lock.clear_poison(),
        _ => _ = (format!("{lock:?}"), lock.is_locked(), lock.is_locked_exclusive(), lock.is_poisoned()),
    }
}

#[test]
fn u4_no_scribbling_makes_a_call_crash_or_hang() {
    let _watchdog = watch("u4_no_scribbling_makes_a_call_crash_or_hang");
    let seed = RandomState::new().build_hasher().finish() | 1;
    println!("seed {seed:#x}");
    let shm = Shm::create_in(&Anonymous::new(), || Ok([0, 1].map(Lock::with_readers))).unwrap();
    let whole: [Vec<u32>; 2] =
        shm.each_ref().map(|lock| words(lock).iter().map(|word| word.load(Ordering::SeqCst)).collect());
    let (over, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    let ids = [const { AtomicU32::new(0) }; 3];
    thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|number| {
                let (locks, over, rounds, ids) = (&*shm, &over, &rounds, &ids);
                scope.spawn(move || {
                    ids[number].store(tid(), Ordering::SeqCst);
                    let mut random = Random(seed.wrapping_add(2 + 2 * number as u64));
                    while !over.load(Ordering::SeqCst) {
                        // Sometimes with another lock held, sometimes without.
                        let other = (random.below(3) == 0).then(|| got(locks[1].try_read()));
                        use_somehow(&mut random, &locks[0]);
                        drop(other);
                        rounds.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        let mut random = Random(seed);
        let started = Instant::now();
        // It goes on to the end: a lock that names a living thread is rightly waited for until it names another.
        while !workers.iter().all(|worker| worker.is_finished()) {
            if started.elapsed() >= LONG {
                over.store(true, Ordering::SeqCst);
            }
            let lock = random.below(2) as usize;
            let at = random.below(WORDS as u64) as usize;
            let id = ids[random.below(3) as usize].load(Ordering::SeqCst);
            let anything = random.below(1 << 32) as u32;
            let flags = (random.below(4) as u32) << 30;
            let some = [0, 1, 2, 3, u32::MAX, anything, flags, id, id | flags, whole[lock][1], whole[lock][at]];
            let value = some[random.below(some.len() as u64) as usize];
            // The words and phases more often than links and stamps.
            let at = if random.below(2) == 0 { at } else { at / 16 * 16 + [0, 1, 10, 11][random.below(4) as usize] };
            words(&shm[lock])[at].store(value, Ordering::SeqCst);
            if random.below(50) == 0 {
                words(&shm[lock]).iter().zip(&whole[lock]).for_each(|(word, was)| word.store(*was, Ordering::SeqCst));
                thread::sleep(Duration::from_micros(random.below(500)));
            }
        }
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    println!("{} rounds", rounds.load(Ordering::SeqCst));
    assert!(rounds.load(Ordering::SeqCst) > 100);

    // Put right, they are locks like any other.
    for (lock, whole) in shm.iter().zip(&whole) {
        words(lock).iter().zip(whole).for_each(|(word, was)| word.store(*was, Ordering::SeqCst));
        lock.clear_poison();
        drop(lock.try_write().unwrap());
        drop((lock.try_read().unwrap(), lock.try_upgradable_read().is_err()));
    }
}
