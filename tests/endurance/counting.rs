//! Many processes that do nothing but lock and unlock.

use super::*;

const PROCESSES: u64 = 8;

/// Pairs of lock and unlock, of all processes together: ten millions where that doesn't take minutes.
fn pairs<B: Backend>() -> u64 {
    if B::NAME == "futex" { 10_000_000 } else { 400_000 }
}

in_processes!(
    /// A number that isn't atomic comes out exactly.
    millions_of_locks_lose_nothing,
    Mutex<u64, B> = Mutex::new(0),
    workers = PROCESSES as usize,
    |total, _me| {
        for _ in 0..pairs::<B>() / PROCESSES {
            *total.lock().unwrap() += 1;
        }
    },
    |total, workers| {
        workers.finish();
        assert_eq!(*total.lock().unwrap(), pairs::<B>());
    }
);

in_processes!(
    /// The same for writers, each of which has readers beside it.
    hundreds_of_thousands_of_writes_lose_nothing,
    RwLock<u64, B, 4> = RwLock::with_readers(0),
    workers = 4,
    |total, _me| {
        let mut seen = 0;
        for _ in 0..pairs::<B>() / 100 {
            *total.write().unwrap() += 1;
            let now = *total.read().unwrap();
            assert!(now > seen, "{now} after {seen}");
            seen = now;
        }
    },
    |total, workers| {
        workers.finish();
        assert_eq!(*total.read().unwrap(), pairs::<B>() / 100 * 4);
    }
);
