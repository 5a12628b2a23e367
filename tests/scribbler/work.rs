//! What the others do meanwhile: anything. Whatever a call says is good, as long as it comes back.
//!
//! Who holds something waits by the clock, and so does everybody for what comes from others: a notification, an event, a
//! permit of a semaphore, a meeting. Without a deadline a thread waits for what has an owner only, holding nothing: a lock
//! that names a living thread is rightly waited for, and soon names another.

use std::time::Duration;

use pshared::LockResult;
use pshared::backend::Backend;
use pshared::generic::{MutexGuard, RwLockUpgradableReadGuard as Upgradable, RwLockWriteGuard as Write};

use crate::everything::{Data, Everything};
use crate::support::random::Random;

/// A guard of any kind.
pub trait Kept {}
impl<T> Kept for T {}

pub type Keeping<'a> = Vec<Box<dyn Kept + 'a>>;

/// So many ways there are to use it.
pub const WAYS: usize = 41;

/// These take a lock that counts its guards, which stands in shared memory: where that was scribbled over, the lock may stay
/// taken, as after a forgotten guard.
pub const COUNTED: [usize; 3] = [2, 15, 16];

/// Of these ways the first wait without a deadline.
pub const UNTIMED: usize = 9;

fn got<G>(result: LockResult<G>) -> Option<G> {
    match result {
        Ok(guard) => Some(guard),
        Err(error) => error.recover().ok().map(|(guard, _)| guard),
    }
}

fn changed<'a, B: Backend>(
    random: &Random,
    result: LockResult<MutexGuard<'a, Data, B>>,
) -> Option<MutexGuard<'a, Data, B>> {
    let mut guard = got(result)?;
    guard.change(random.next());
    Some(guard)
}

fn written<'a, B: Backend, const N: usize>(
    random: &Random,
    result: LockResult<Write<'a, Data, B, N>>,
) -> Option<Write<'a, Data, B, N>> {
    let mut guard = got(result)?;
    guard.change(random.next());
    Some(guard)
}

/// Uses `cell` in one of the [`WAYS`], with `soon` to wait; what it got stays in `kept`.
pub fn use_somehow<'a, B: Backend>(
    way: usize,
    soon: Duration,
    random: &Random,
    cell: &'a Everything<B>,
    kept: &mut Keeping<'a>,
) {
    fn keep<'a, G: 'a>(kept: &mut Keeping<'a>, guard: Option<G>) {
        kept.extend(guard.map(|guard| Box::new(guard) as Box<dyn Kept>));
    }
    let Everything { mutexes, reentrant, rwlock, condvar, semaphores, permits, events, barrier, once, once_lock } =
        cell;
    let mutex = &mutexes[random.below(mutexes.len())];
    let semaphore = &semaphores[random.below(semaphores.len())];
    let event = &events[random.below(events.len())];
    match way {
        0 => keep(kept, changed(random, mutex.lock())),
        1 => keep(kept, mutex.lock_or_recover(|data, _| *data = Data::new()).ok()),
        2 => keep(kept, got(reentrant.lock())),
        3 => keep(kept, got(rwlock.read()).inspect(|data| _ = data.look())),
        4 => keep(kept, written(random, rwlock.write())),
        5 => keep(kept, got(rwlock.upgradable_read())),
        6 => keep(kept, permits.acquire().ok()),
        7 => drop(once.call_once_force(|_| ())),
        8 => drop(once_lock.get_or_init(Data::new).map(Data::look)),

        9 | 10 => keep(kept, changed(random, mutex.try_lock())),
        11 | 12 => keep(kept, changed(random, mutex.try_lock_for(soon))),
        13 => mutex.clear_poison(),
        14 => drop((format!("{mutex:?}"), mutex.owner(), mutex.is_poisoned())),
        15 => keep(kept, got(reentrant.try_lock())),
        16 => keep(kept, got(reentrant.try_lock_for(soon))),
        17 => drop((format!("{reentrant:?}"), reentrant.owner(), reentrant.is_poisoned(), reentrant.clear_poison())),
        18 => keep(kept, got(rwlock.try_read()).inspect(|data| _ = data.look())),
        19 => keep(kept, got(rwlock.try_read_for(soon)).inspect(|data| _ = data.look())),
        20 => keep(kept, written(random, rwlock.try_write())),
        21 => keep(kept, written(random, rwlock.try_write_for(soon))),
        22 => keep(kept, got(rwlock.try_upgradable_read_for(soon))),
        23 => keep(kept, got(rwlock.try_upgradable_read()).map(|guard| Upgradable::try_upgrade_for(guard, soon))),
        24 => keep(kept, got(rwlock.try_upgradable_read()).map(Upgradable::downgrade)),
        25 => keep(kept, got(rwlock.try_write()).map(Write::downgrade)),
        26 => keep(kept, got(rwlock.try_write_for(soon)).map(Write::downgrade_to_upgradable)),
        27 => drop((format!("{rwlock:?}"), rwlock.is_locked(), rwlock.is_locked_exclusive(), rwlock.clear_poison())),
        28 => {
            if let Some(guard) = got(mutex.try_lock_for(soon)) {
                let waited = condvar.wait_timeout(guard, soon);
                keep(
                    kept,
                    waited.map_or_else(|error| error.recover().ok().map(|(both, _)| both.0), |both| Some(both.0)),
                );
            }
        }
        29 => condvar.notify_one(),
        30 => condvar.notify_all(),
        31 => drop(semaphore.try_wait()),
        32 => drop(semaphore.wait_timeout(soon)),
        33 => drop((semaphore.post(), semaphore.post_many(3), semaphore.value(), semaphore.max())),
        34 => keep(kept, permits.try_acquire().ok()),
        35 => keep(kept, permits.acquire_timeout(soon).ok().inspect(|_| _ = permits.available())),
        36 => drop((event.set(), event.is_set(), event.try_wait())),
        37 => drop((event.reset(), event.wait_timeout(soon))),
        38 => drop((barrier.wait_timeout(soon), barrier.waiting(), barrier.participants())),
        39 => drop((barrier.is_broken(), barrier.reset())),
        WAYS.. => unreachable!("there are {WAYS} ways"),
        _ => drop((once.wait_timeout(soon), once.is_poisoned(), once_lock.wait_timeout(soon).map(Data::look))),
    }
}
