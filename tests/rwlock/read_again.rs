//! U1, U4 of the list of hazards: how often a thread reads, and whether its reads are on its list, is known where no peer
//! can write.

use std::mem::forget;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use pshared::region::Anonymous;
use pshared::{LockError, RwLock, RwLockReadGuard, RwLockUpgradableReadGuard, Shm};

use super::odd_memory::{NESTED, SETTLED, SLOT, STATE, WORD, field};
use crate::support::state::{tid, wait_until, wait_until_asleep_in_a_lock};
use crate::support::watchdog::watch;

type Lock = RwLock<u64, 1>;

/// What a peer may write.
const ANYTHING: [u32; 5] = [0, 1, 7, 1 << 31, u32::MAX];

/// As many as a thread has on its list without memory for more.
const FEW: usize = 8;

fn create(name: &str) -> Shm<Lock> {
    Shm::create(name, || Ok(Lock::with_readers(0))).unwrap()
}

fn in_a_cell() -> Shm<Lock> {
    Shm::create_in(&Anonymous::new(), || Ok(Lock::with_readers(0))).unwrap()
}

fn owner(lock: &Lock) -> &AtomicU32 {
    field(lock, SLOT + WORD)
}

/// Everything in the slot but the reader's id and whether it waits.
fn scribble(lock: &Lock, value: u32) {
    let words = (SLOT..SLOT + 64).step_by(4).filter(|at| ![SLOT + WORD, SLOT + STATE].contains(at));
    words.for_each(|at| field(lock, at).store(value, Ordering::SeqCst));
}

fn others_can_write(lock: &Lock) -> bool {
    thread::scope(|scope| {
        scope
            .spawn(|| match lock.try_write() {
                Ok(_) => true,
                Err(LockError::WouldBlock) => false,
                Err(other) => panic!("{other}"),
            })
            .join()
            .unwrap()
    })
}

/// Two reads of one thread.
type Twice = for<'a> fn(&'a Lock) -> [RwLockReadGuard<'a, u64, 1>; 2];

const TWICE: [(&str, Twice); 4] = [
    ("one inside the other", |l| [(); 2].map(|()| l.read().unwrap())),
    ("the outer one dropped first", |l| {
        let [outer, inner] = [(); 2].map(|()| l.read().unwrap());
        [inner, outer]
    }),
    ("the inner one where the lock seems to be of one process", |l| {
        let outer = l.read().unwrap();
        let namespace = field(l, SETTLED).swap(0, Ordering::SeqCst);
        let inner = l.read().unwrap();
        field(l, SETTLED).store(namespace, Ordering::SeqCst);
        [inner, outer]
    }),
    ("the outer one of an upgradable read", |l| {
        let upgradable = l.upgradable_read().unwrap();
        let inner = l.read().unwrap();
        [inner, RwLockUpgradableReadGuard::downgrade(upgradable)]
    }),
];

#[test]
fn u4_no_scribbling_ends_a_read_too_early_or_too_late() {
    let _watchdog = watch("u4_no_scribbling_ends_a_read_too_early_or_too_late");
    for (name, twice) in TWICE {
        for value in ANYTHING {
            let (before, lock) = (in_a_cell(), in_a_cell());
            for alone in [true, false] {
                let before = (!alone).then(|| before.read().unwrap());
                let [one, other] = twice(&lock);
                scribble(&lock, value);
                assert!(!others_can_write(&lock), "{name}, {value:#x}: two read");
                drop(other);
                scribble(&lock, value);
                assert!(!others_can_write(&lock), "{name}, {value:#x}: one reads");
                drop(one);
                assert_eq!(owner(&lock).load(Ordering::SeqCst), 0, "{name}, {value:#x}: nobody reads");
                assert!(others_can_write(&lock), "{name}, {value:#x}: nobody reads");
                drop(before);
            }
        }
    }
}

/// A slot that were still on the list would be a hole in it, behind which the kernel finds nothing.
#[test]
fn u1_no_scribbling_keeps_a_slot_on_the_list_of_who_has_read_twice() {
    let _watchdog = watch("u1_no_scribbling_keeps_a_slot_on_the_list_of_who_has_read_twice");
    for (number, (name, twice)) in TWICE.into_iter().enumerate() {
        let older = in_a_cell();
        let of_victim = older.clone();
        thread::spawn(move || {
            let region = format!("read-again-{}-{number}", std::process::id());
            let lock = create(&region);
            Shm::<Lock>::remove(&region).unwrap();
            forget(of_victim.read().unwrap());
            let guards = twice(&lock);
            field(&lock, SLOT + NESTED).store(5, Ordering::SeqCst);
            drop(guards);
            // From here on no owner is to be seen, so the memory goes.
            owner(&lock).store(0, Ordering::SeqCst);
            drop(lock);
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            assert!(!maps.contains(&region), "{name}: it is still mapped");
        })
        .join()
        .unwrap();
        assert!(!older.is_locked(), "{name}: the kernel didn't find the older one");
    }
}

/// The reader too many begins where the lock seems to be of one process, and comes in where it doesn't.
#[test]
fn u4_what_is_scribbled_while_a_reader_waits_links_no_slot_without_room() {
    let _watchdog = watch("u4_what_is_scribbled_while_a_reader_waits_links_no_slot_without_room");
    let lock = in_a_cell();
    let others = Shm::create_in(&Anonymous::new(), || Ok([0; FEW].map(Lock::with_readers))).unwrap();
    let settled = field(&lock, SETTLED);
    let namespace = settled.load(Ordering::SeqCst);
    let guard = lock.read().unwrap();
    settled.store(0, Ordering::SeqCst);
    thread::scope(|scope| {
        let (say, hear) = channel();
        let (lock, others) = (&lock, &others);
        let reader = scope.spawn(move || {
            let held: Vec<_> = others.iter().map(|other| other.read().unwrap()).collect();
            say.send(tid()).unwrap();
            drop(lock.read().unwrap());
            drop(held);
        });
        let reader_id = hear.recv().unwrap();
        wait_until("the reader waits for the slot", || owner(lock).load(Ordering::SeqCst) >> 31 == 1);
        wait_until_asleep_in_a_lock(reader_id);
        settled.store(namespace, Ordering::SeqCst);
        drop(guard);
        reader.join().unwrap();
    });
    assert!(others.iter().all(|other| !other.is_locked()));
    assert!(others_can_write(&lock));
}
