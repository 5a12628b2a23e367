//! The lock as a value: made, moved, taken apart; on the stack, in a static, in an `Arc`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pshared::{LockError, RwLock};

use super::{Cause, cause, panic_quietly, panicking};
use crate::support::watchdog::watch;

/// What can't be copied.
#[derive(Debug, Default, PartialEq)]
struct Single(i32);

/// Counts how often one of them was dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poisoned<T: Send + Sync>(value: T) -> RwLock<T> {
    let l = RwLock::new(value);
    panicking(|| {
        let _guard = l.write();
        panic_quietly();
    });
    assert!(l.is_poisoned());
    l
}

#[test]
fn a_lock_is_made_of_its_data_or_of_its_datas_default() {
    assert_eq!(*RwLock::from(Single(3)).read().unwrap(), Single(3));
    assert_eq!(*RwLock::<Single>::default().read().unwrap(), Single(0));
    assert_eq!(*RwLock::<Single, 3>::default().read().unwrap(), Single(0));
    assert_eq!(*RwLock::<_, 128>::with_readers(4).read().unwrap(), 4);
    let into: RwLock<&str> = "text".into();
    assert_eq!(*into.read().unwrap(), "text");
}

#[test]
fn the_data_can_be_taken_out() {
    assert_eq!(RwLock::new(Single(10)).into_inner().unwrap(), Single(10));
    let Err(LockError::Poisoned(poison)) = poisoned(Single(10)).into_inner() else { panic!("it was poisoned") };
    assert_eq!((poison.cause(), poison.into_inner()), (Cause::Panicked, Single(10)));
    let drops = Arc::new(AtomicUsize::new(0));
    let inner = RwLock::new(Counted(Arc::clone(&drops))).into_inner().unwrap();
    assert_eq!(drops.load(Ordering::Relaxed), 0);
    drop(inner);
    drop(RwLock::new(Counted(Arc::clone(&drops))));
    assert_eq!(drops.load(Ordering::Relaxed), 2);
}

#[test]
fn exclusive_access_needs_no_lock() {
    let mut l = RwLock::new(Single(10));
    *l.get_mut().unwrap() = Single(20);
    assert_eq!(l.into_inner().unwrap(), Single(20));
    let mut l = poisoned(Single(10));
    let (data, cause) = l.get_mut().unwrap_err().recover().unwrap();
    assert_eq!((&*data, cause), (&Single(10), Cause::Panicked));
    l.clear_poison();
    assert_eq!(*l.get_mut().unwrap(), Single(10));
}

#[test]
fn a_free_lock_may_be_moved_with_its_poison() {
    let l = RwLock::new([1, 2]);
    l.write().unwrap()[0] = 3;
    drop(l.read().unwrap());
    let boxed = Box::new(l);
    assert_eq!(*boxed.read().unwrap(), [3, 2]);
    let many: Vec<_> = vec![*boxed, poisoned([4, 5])].into_iter().rev().collect();
    assert_eq!(cause(many[0].read()), Some(Cause::Panicked));
    assert_eq!(*many[1].write().unwrap(), [3, 2]);
}

#[test]
fn a_forgotten_guard_of_a_lock_that_is_gone_harms_nobody() {
    let _watchdog = watch("a_forgotten_guard_of_a_lock_that_is_gone_harms_nobody");
    // The kernel walks the thread's robust list at its end, and all of this memory has been used again by then.
    thread::spawn(|| {
        for round in 0..100 {
            let l = Box::new(RwLock::<_, 2>::with_readers(1_u64));
            if round % 2 == 0 {
                std::mem::forget(l.write().unwrap());
            } else {
                std::mem::forget((l.read().unwrap(), l.read().unwrap()));
            }
            drop(l);
            drop(std::hint::black_box(vec![u64::MAX; 32]));
        }
        let kept = RwLock::new(0);
        *kept.write().unwrap() += 1;
        assert_eq!(kept.into_inner().unwrap(), 1);
    })
    .join()
    .unwrap();
}

static IN_A_STATIC: RwLock<u64> = RwLock::new(0);

#[test]
fn a_static_is_shared_by_the_threads() {
    let _watchdog = watch("a_static_is_shared_by_the_threads");
    let add = || {
        for _ in 0..1000 {
            *IN_A_STATIC.write().unwrap() += 1;
            assert!(*IN_A_STATIC.read().unwrap() > 0);
        }
    };
    thread::scope(|scope| (0..4).for_each(|_| _ = scope.spawn(add)));
    assert_eq!(*IN_A_STATIC.read().unwrap(), 4000);
}

#[test]
fn a_panic_in_another_thread_poisons_what_an_arc_shares() {
    let l = Arc::new(RwLock::new(1));
    let theirs = Arc::clone(&l);
    let result = thread::spawn(move || {
        let _guard = theirs.write().unwrap();
        panic_quietly();
    })
    .join();
    assert!(result.is_err());
    assert_eq!(cause(l.read()), Some(Cause::Panicked));
}
