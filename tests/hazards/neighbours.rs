//! U5: a thread has one robust list, libc's own robust mutexes stand on it beside our locks, and either may be unlinked
//! while the other is its neighbour.

use std::mem::MaybeUninit;

use nix::errno::Errno;
use pshared::region::{Anonymous, Mapping, Region};
use pshared::{MutexGuard, Shm};

use crate::scene::{Locks, alone, anonymous, die, fork, is_marked, recover, robust_list, use_up};

/// Robust mutexes of libc's in memory shared by fork; every other one inherits priority.
pub struct Foreign {
    mapping: Mapping,
}

impl Foreign {
    pub const MUTEXES: usize = 4;

    pub fn new() -> Foreign {
        let staged = Anonymous::new().stage(4096).unwrap();
        staged.publish().unwrap();
        let foreign = Foreign { mapping: staged.into_mapping() };
        (0..Self::MUTEXES).for_each(|i| foreign.init(i));
        foreign
    }

    fn init(&self, i: usize) {
        let check = |done: i32| assert_eq!(Errno::from_raw(done), Errno::from_raw(0));
        let mut attributes = MaybeUninit::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: initialised first, and the mutex is in memory that nobody uses yet.
        unsafe {
            check(libc::pthread_mutexattr_init(attributes));
            check(libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED));
            check(libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST));
            if i % 2 == 1 {
                check(libc::pthread_mutexattr_setprotocol(attributes, libc::PTHREAD_PRIO_INHERIT));
            }
            check(libc::pthread_mutex_init(self.at(i), attributes));
            check(libc::pthread_mutexattr_destroy(attributes));
        }
    }

    fn at(&self, i: usize) -> *mut libc::pthread_mutex_t {
        assert!(i < Self::MUTEXES);
        // SAFETY: within the page.
        unsafe { self.mapping.as_ptr().as_ptr().cast::<libc::pthread_mutex_t>().add(i) }
    }

    pub fn try_lock(&self, i: usize) -> Result<(), Errno> {
        // SAFETY: initialised in `new`.
        match unsafe { libc::pthread_mutex_trylock(self.at(i)) } {
            0 => Ok(()),
            errno => Err(Errno::from_raw(errno)),
        }
    }

    pub fn lock(&self, i: usize) {
        // SAFETY: initialised in `new`.
        assert_eq!(unsafe { libc::pthread_mutex_lock(self.at(i)) }, 0);
    }

    pub fn unlock(&self, i: usize) {
        // SAFETY: initialised in `new`.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(self.at(i)) }, 0);
    }

    /// Makes a mutex new that nobody alive holds.
    pub fn renew(&self, i: usize) {
        // SAFETY: within the page; who held it is dead.
        unsafe { self.at(i).write_bytes(0, 1) };
        self.init(i);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    Ours(usize),
    /// Odd ones inherit priority.
    Libc(usize),
}

/// What a thread holds, so that each can be given back at any time.
pub struct Holder<'a> {
    shm: &'a Shm<Locks>,
    foreign: &'a Foreign,
    guards: [Option<MutexGuard<'a, u64>>; 8],
}

impl<'a> Holder<'a> {
    pub fn new(shm: &'a Shm<Locks>, foreign: &'a Foreign) -> Holder<'a> {
        Holder { shm, foreign, guards: [const { None }; 8] }
    }

    pub fn take(&mut self, item: Item) {
        match item {
            Item::Ours(i) => self.guards[i] = Some(self.shm.locks[i].lock().unwrap()),
            Item::Libc(i) => self.foreign.lock(i),
        }
    }

    pub fn give_back(&mut self, item: Item) {
        match item {
            Item::Ours(i) => drop(self.guards[i].take().expect("held")),
            Item::Libc(i) => self.foreign.unlock(i),
        }
    }
}

/// A process takes and gives back and is killed; then exactly what it held is marked.
fn scenario(shm: &Shm<Locks>, foreign: &Foreign, taken: &[Item], given_back: &[Item], taken_later: &[Item]) {
    let victim = fork(|| {
        let mut holder = Holder::new(shm, foreign);
        taken.iter().for_each(|item| holder.take(*item));
        given_back.iter().for_each(|item| holder.give_back(*item));
        taken_later.iter().for_each(|item| holder.take(*item));
        die()
    });
    victim.killed();
    let what = format!("took {taken:?}, gave back {given_back:?}, took {taken_later:?}");
    let is_left =
        |item| taken.iter().filter(|item| !given_back.contains(item)).chain(taken_later).any(|left| *left == item);
    for (i, lock) in shm.locks.iter().enumerate() {
        assert!(!lock.is_locked(), "{what}: of ours {i} stays locked");
        assert_eq!(is_marked(lock), is_left(Item::Ours(i)), "{what}: of ours {i}");
        if is_left(Item::Ours(i)) { recover(lock) } else { use_up(lock) }
    }
    for i in 0..Foreign::MUTEXES {
        let expected = if is_left(Item::Libc(i)) { Err(Errno::EOWNERDEAD) } else { Ok(()) };
        let found = foreign.try_lock(i);
        assert_eq!(found, expected, "{what}: of libc's {i}");
        // SAFETY: held.
        unsafe { libc::pthread_mutex_consistent(foreign.at(i)) };
        foreign.unlock(i);
    }
}

/// Every ordered choice from `items`.
fn orders(items: &[Item]) -> Vec<Vec<Item>> {
    let mut all = vec![vec![]];
    for (i, first) in items.iter().enumerate() {
        let rest: Vec<_> = items.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, item)| *item).collect();
        all.extend(orders(&rest).into_iter().map(|tail| [&[*first], &tail[..]].concat()));
    }
    all
}

#[test]
fn u5_a_robust_mutex_of_libc_taken_and_released_inside_our_section_leaves_our_lock_on_the_list() {
    alone(|| {
        let (shm, foreign) = (anonymous(), Foreign::new());
        for libc in (0..Foreign::MUTEXES).map(Item::Libc) {
            scenario(&shm, &foreign, &[Item::Ours(0), libc], &[libc], &[]);
            scenario(&shm, &foreign, &[Item::Ours(0), libc, Item::Ours(1)], &[libc], &[]);
            scenario(&shm, &foreign, &[libc, Item::Ours(0)], &[libc], &[]);
        }
    });
}

#[test]
fn u5_three_deep_in_any_order_exactly_what_is_held_at_the_kill_is_marked() {
    alone(|| {
        let (shm, foreign) = (anonymous(), Foreign::new());
        let later = [Item::Ours(7), Item::Libc(2), Item::Ours(6), Item::Libc(3)];
        let items = [Item::Ours(0), Item::Ours(1), Item::Libc(0), Item::Libc(1)];
        for taken in orders(&items).iter().filter(|taken| taken.len() == 3) {
            for (i, given_back) in orders(taken).iter().enumerate() {
                scenario(&shm, &foreign, taken, given_back, &later[..i % 5]);
            }
        }
    });
}

#[test]
fn u5_a_thread_that_gave_everything_back_has_an_empty_list() {
    alone(|| {
        let (shm, foreign) = (anonymous(), Foreign::new());
        let mut holder = Holder::new(&shm, &foreign);
        let items = [Item::Ours(0), Item::Libc(0), Item::Ours(1), Item::Libc(1)];
        for taken in orders(&items).iter().filter(|taken| taken.len() == items.len()) {
            for given_back in orders(taken).iter().filter(|given_back| given_back.len() == items.len()) {
                taken.iter().for_each(|item| holder.take(*item));
                for (i, item) in given_back.iter().enumerate() {
                    assert_eq!(robust_list().0.len(), items.len() - i, "took {taken:?}, gives back {given_back:?}");
                    holder.give_back(*item);
                }
                assert_eq!(robust_list(), (vec![], 0), "took {taken:?}, gave back {given_back:?}");
            }
        }
    });
}
