//! Locks in cells: all of them settled, wherever they stand; one lock, however often it is mapped.

use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Duration;

use pshared::backend::Backend;
use pshared::generic::Mutex;
use pshared::{Cause, LockError, Shm, ShmSafe, ShmString};

use super::every_region;
use crate::support::child;
use crate::support::claims::in_processes;
use crate::support::place::Scratch;
use crate::support::watchdog::watch;

#[repr(C)]
#[derive(ShmSafe)]
struct Leaf<B: Backend> {
    mark: u8,
    one: Mutex<u8, B>,
    text: Mutex<ShmString<12>, B>,
}

impl<B: Backend> Leaf<B> {
    fn new() -> Self {
        Leaf { mark: 1, one: Mutex::new(0), text: Mutex::new(ShmString::new()) }
    }
}

/// Locks at every depth: alone, in an array, in a struct, in arrays of arrays of structs.
#[repr(C)]
#[derive(ShmSafe)]
struct Tree<B: Backend> {
    first: Mutex<u64, B>,
    row: [Mutex<u32, B>; 5],
    counted: AtomicU64,
    leaf: Leaf<B>,
    leaves: [[Leaf<B>; 2]; 3],
    none: [Mutex<u8, B>; 0],
    last: Mutex<(), B>,
}

impl<B: Backend> Tree<B> {
    fn new() -> Self {
        Tree {
            first: Mutex::new(0),
            row: [const { Mutex::new(0) }; 5],
            counted: AtomicU64::new(0),
            leaf: Leaf::new(),
            leaves: std::array::from_fn(|_| std::array::from_fn(|_| Leaf::new())),
            none: [],
            last: Mutex::new(()),
        }
    }

    /// Calls `visit` for every lock.
    fn each(&self, mut visit: impl FnMut(&str, &dyn AnyLock)) {
        visit("first", &self.first);
        self.row.iter().for_each(|lock| visit("row[]", lock));
        for leaf in [&self.leaf].into_iter().chain(self.leaves.as_flattened()) {
            visit("leaf.one", &leaf.one);
            visit("leaf.text", &leaf.text);
        }
        self.none.iter().for_each(|lock| visit("none[]", lock));
        visit("last", &self.last);
    }
}

/// A lock, whatever is in it.
trait AnyLock {
    fn keep(&self);
    fn is_refused(&self) -> bool;
    fn died(&self) -> bool;
}

impl<T, B: Backend> AnyLock for Mutex<T, B> {
    fn keep(&self) {
        std::mem::forget(self.lock().unwrap());
    }

    fn is_refused(&self) -> bool {
        self.is_locked() && matches!(self.try_lock(), Err(LockError::WouldBlock))
    }

    fn died(&self) -> bool {
        // Asked first: the kernel has marked it, so it was on the list that only settled locks join.
        let marked = self.is_poisoned() && !self.is_locked();
        marked && matches!(self.lock(), Err(LockError::Poisoned(poison)) if poison.cause() == Cause::OwnerDied)
    }
}

in_processes!(
    every_lock_in_a_cell_is_one_between_processes,
    Tree<B> = Tree::new(),
    workers = 1,
    |tree, me| {
        tree.each(|_, lock| lock.keep());
        me.say("all held");
        me.hear();
    },
    |tree, workers| {
        workers[0].expect("all held");
        tree.each(|name, lock| assert!(lock.is_refused(), "{name}"));
        workers.take_process().kill();
        let mut count = 0;
        tree.each(|name, lock| {
            assert!(lock.died(), "{name}");
            count += 1;
        });
        assert_eq!(count, 1 + 5 + 7 * 2 + 1);
        assert_eq!((tree.leaf.mark, tree.leaves[2][1].mark), (1, 1));
    }
);

type Large = [Mutex<[u64; 512], pshared::futex::Futex>; 4096];

#[test]
fn a_cell_may_be_larger_than_the_stack() {
    const NAME: &str = "locks::a_cell_may_be_larger_than_the_stack";
    if let Some((_, args, parent)) = child::role() {
        let large = Shm::<Large>::open(&args[0]).unwrap();
        for lock in large.iter() {
            lock.lock().unwrap()[511] += 1;
        }
        std::mem::forget(large[4095].lock().unwrap());
        parent.say("held");
        parent.hear();
        return;
    }
    let _watchdog = watch(NAME);
    let name = format!("pshared-large-{}", std::process::id());
    let large = Shm::<Large>::create_zeroed(&name).unwrap();
    assert!(large.size() > 16 << 20);
    let child = child::spawn(NAME, "add", &[&name]);
    child.peer.expect("held");
    assert!(large[4095].is_locked());
    child.kill();
    Shm::<Large>::remove(&name).unwrap();
    assert_eq!(large[4095].lock().unwrap_err().recover().unwrap().1, Cause::OwnerDied);
    large[4095].clear_poison();
    assert!(large.iter().all(|lock| lock.lock().unwrap()[511] == 1));
}

#[test]
fn two_mappings_in_one_process_are_one_lock() {
    let _watchdog = watch("two_mappings_in_one_process_are_one_lock");
    let scratch = Scratch::new();
    for (place, region) in every_region(&scratch) {
        let here = Shm::create_in(&*region, || Ok(pshared::Mutex::new(0_u64))).unwrap();
        let there = Shm::<pshared::Mutex<u64>>::open_in(&*region).unwrap();
        let guard = here.lock().unwrap();
        assert!(there.is_locked());
        assert_eq!(there.owner(), here.owner(), "{place:?}");
        assert!(matches!(there.try_lock(), Err(LockError::WouldBlock)), "{place:?}");
        assert!(matches!(there.lock(), Err(LockError::WouldDeadlock)), "{place:?}");
        let hour = Duration::from_secs(3600);
        assert!(matches!(there.try_lock_for(hour), Err(LockError::WouldDeadlock)), "{place:?}");
        drop(guard);
        // Both on one list, released in the order they were taken and in the other.
        *there.lock().unwrap() += 1;
        assert_eq!(*here.lock().unwrap(), 1, "{place:?}");
        thread::scope(|scope| {
            for shm in [&here, &there] {
                scope.spawn(move || (0..5000).for_each(|_| *shm.lock().unwrap() += 1));
            }
        });
        assert_eq!(*here.lock().unwrap(), 10_001, "{place:?}");
        assert_eq!(there.is_poisoned(), here.is_poisoned());
    }
}

#[test]
fn a_thread_holds_locks_of_several_cells_and_mappings_at_once() {
    let scratch = Scratch::new();
    type Two = [pshared::Mutex<u64>; 2];
    let new = || Ok([const { pshared::Mutex::new(0) }; 2]);
    let cells: Vec<_> = every_region(&scratch)
        .into_iter()
        .map(|(_, region)| (Shm::<Two>::create_in(&*region, new).unwrap(), region))
        .collect();
    let second: Vec<_> = cells.iter().map(|(_, region)| Shm::<Two>::open_in(&**region).unwrap()).collect();
    for forwards in [true, false] {
        let mut guards = Vec::new();
        for ((first, _), second) in cells.iter().zip(&second) {
            guards.push(first[0].lock().unwrap());
            guards.push(second[1].lock().unwrap());
        }
        for guard in &mut guards {
            **guard += 1;
        }
        while !guards.is_empty() {
            drop(guards.remove(if forwards { 0 } else { guards.len() - 1 }));
            let held = cells.iter().flat_map(|(cell, _)| cell.iter()).filter(|lock| lock.is_locked()).count();
            assert_eq!(held, guards.len());
        }
    }
    assert!(second.iter().flat_map(|cell| cell.iter()).all(|lock| *lock.lock().unwrap() == 2));
}
