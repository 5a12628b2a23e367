//! U4, with chosen pointers: a peer writes them into the links of a held lock right before its holder unlocks.

use std::sync::atomic::Ordering::SeqCst;

use nix::unistd::gettid;
use pshared::{Error, LockError, Shm};

use crate::neighbours::{Foreign, Holder, Item};
use crate::scene::{
    BACK, Locks, NEXT, WORD, alone, anonymous, die, entry, fork, is_marked, links, raw, recover, robust_list, until,
    use_up,
};
use crate::support::fenced::Fenced;

/// Where the thread's robust list begins: a place in private memory that peers can guess.
fn head() -> usize {
    let (mut head, mut len) = (0_usize, 0_usize);
    // SAFETY: two places for the results.
    let done = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    assert_eq!(done, 0);
    head
}

struct Case<'a> {
    taken: &'a [Item],
    scribbled: usize,
    link: usize,
    pointer: usize,
    first_back: Item,
}

struct Stage {
    shm: Shm<Locks>,
    foreign: Foreign,
    canary: Fenced,
}

impl Stage {
    fn new() -> Stage {
        Stage { shm: anonymous(), foreign: Foreign::new(), canary: Fenced::new(1) }
    }

    /// What a peer may write: nonsense, places in private memory, in the region, and on the list itself.
    fn pointers(&self) -> Vec<usize> {
        let private = self.canary.word(300).addr();
        let other = entry(&self.shm.locks[5]);
        let on_the_list = [0, 1, 2].map(|i| entry(&self.shm.locks[i]));
        let unmapped = self.canary.word(0).addr() - 8;
        let nonsense = [0, 1, 0x10, unmapped, usize::MAX, usize::MAX - 7, 1 << 63];
        let places = [private, private + 1, private + 4, other, other + 1, other + 3, head(), head() + 1];
        [&nonsense[..], &places, &on_the_list].concat()
    }

    /// `forged`: words of the private pages that look like an entry of the list; `None` is the victim's thread id.
    fn run(&self, case: &Case<'_>, forged: &[(usize, Option<u64>)]) {
        let Case { taken, scribbled, link, pointer, first_back } = *case;
        let what = format!("{taken:?}, {pointer:#x} in link {link} of {scribbled}, then {first_back:?} given back");
        let [phase, ..] = &self.shm.marks;
        phase.store(0, SeqCst);
        let victim = fork(|| {
            let forged = forged.iter().map(|(i, value)| (*i, value.unwrap_or(gettid().as_raw() as u64)));
            let forged = &forged.collect::<Vec<_>>()[..];
            forged.iter().for_each(|(i, value)| self.canary.set(*i, *value));
            let mut holder = Holder::new(&self.shm, &self.foreign);
            taken.iter().for_each(|item| holder.take(*item));
            phase.store(1, SeqCst);
            while phase.load(SeqCst) != 2 {
                std::hint::spin_loop();
            }
            holder.give_back(first_back);
            let written = self.canary.written(forged);
            assert!(written.is_empty(), "{what}: wrote {written:x?} outside");
            if first_back == Item::Ours(scribbled) {
                let left: Vec<_> = taken.iter().rev().filter(|item| **item != first_back).collect();
                let ours = left.iter().filter_map(|item| match item {
                    Item::Ours(i) => Some(entry(&self.shm.locks[*i])),
                    Item::Libc(_) => None,
                });
                let mut list = robust_list().0;
                if left.iter().any(|item| matches!(item, Item::Libc(_))) {
                    list.retain(|entry| ours.clone().any(|ours| ours == *entry));
                }
                assert_eq!(list, ours.collect::<Vec<_>>(), "{what}");
            }
            use_up(&self.shm.locks[7]);
            let written = self.canary.written(forged);
            assert!(written.is_empty(), "{what}: wrote {written:x?} outside, later");
            die()
        });
        until("the victim holds its locks", || phase.load(SeqCst) == 1);
        links(&self.shm.locks[scribbled])[link].store(pointer, SeqCst);
        phase.store(2, SeqCst);
        victim.killed();
        self.put_right(&what, taken, first_back, scribbled);
    }

    /// Whatever the kernel made of the list: nothing stays locked, and what was held is poisoned.
    fn put_right(&self, what: &str, taken: &[Item], first_back: Item, scribbled: usize) {
        for (i, lock) in self.shm.locks.iter().enumerate() {
            let was_left = first_back != Item::Ours(i) && taken.contains(&Item::Ours(i));
            let repaired = first_back == Item::Ours(scribbled);
            assert!(!repaired || is_marked(lock) == was_left, "{what}: {i} is marked: {}", is_marked(lock));
            if was_left {
                until("somebody notices that the owner is gone", || match lock.try_lock() {
                    Err(LockError::WouldBlock) => false,
                    Err(LockError::Poisoned(_)) => true,
                    other => panic!("{what}: {other:?}"),
                });
                recover(lock);
            } else {
                use_up(lock);
            }
        }
        (0..Foreign::MUTEXES).for_each(|i| self.foreign.renew(i));
    }
}

#[test]
fn u4_unlocking_writes_nothing_where_a_scribbled_link_points() {
    alone(|| {
        let stage = Stage::new();
        let taken = [0, 1, 2].map(Item::Ours);
        for pointer in stage.pointers() {
            for (link, scribbled) in [NEXT, BACK].into_iter().flat_map(|link| [0, 1, 2].map(|i| (link, i))) {
                for first_back in taken {
                    stage.run(&Case { taken: &taken, scribbled, link, pointer, first_back }, &[]);
                }
            }
        }
    });
}

#[test]
fn u4_nor_where_libcs_own_mutexes_are_its_neighbours() {
    alone(|| {
        let stage = Stage::new();
        let [a, b, l] = [Item::Ours(0), Item::Ours(1), Item::Libc(0)];
        for pointer in stage.pointers() {
            for taken in [[l, a, b], [a, l, b], [a, b, l]] {
                for (link, scribbled) in [(NEXT, 0), (NEXT, 1), (BACK, 0), (BACK, 1)] {
                    for first_back in taken {
                        stage.run(&Case { taken: &taken, scribbled, link, pointer, first_back }, &[]);
                    }
                }
            }
        }
    });
}

#[test]
fn u4_nor_where_private_memory_looks_like_an_entry_of_the_list() {
    alone(|| {
        let stage = Stage::new();
        let [a, b, l] = [Item::Ours(0), Item::Ours(1), Item::Libc(0)];
        for taken in [vec![a, b], vec![a, b, l], vec![l, a, b], vec![a, l, b]] {
            // Behind one of ours, a mutex of libc's can be told from private memory only by looking like a held one.
            let owned = if taken.starts_with(&[a, b]) { None } else { Some(1) };
            for scribbled in 0..2 {
                let me = entry(&stage.shm.locks[scribbled]) as u64;
                for below in [entry(&stage.shm.locks[0]), head()].map(|below| below as u64) {
                    // The word that is owned, the link to the entry before, and the link to the one behind.
                    let forged = [(296, owned), (299, Some(me)), (300, Some(below))];
                    let pointer = stage.canary.word(300).addr();
                    let first_back = Item::Ours(scribbled);
                    stage.run(&Case { taken: &taken, scribbled, link: NEXT, pointer, first_back }, &forged);
                }
            }
        }
    });
}

#[test]
fn u4_a_word_scribbled_free_is_not_taken_twice_by_its_owner() {
    alone(|| {
        let cell = anonymous();
        for behind in [0, 1, 6] {
            let guards: Vec<_> = cell.locks[1..][..behind].iter().map(|lock| lock.lock().unwrap()).collect();
            let lock = &cell.locks[0];
            let guard = lock.lock().unwrap();
            let list = robust_list();
            raw(lock)[WORD].store(0, SeqCst);
            assert!(matches!(lock.lock(), Err(LockError::Failed(Error::Corrupted { .. }))), "{behind} behind");
            assert_eq!(robust_list().0, list.0, "linked once");
            drop(guard);
            drop(guards);
            assert_eq!(robust_list(), (vec![], 0), "{behind} behind");
            recover(lock);
            use_up(lock);
        }
    });
}
