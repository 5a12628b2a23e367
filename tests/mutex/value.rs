//! The lock as a value: made, moved, taken apart; on the stack, in a static, in an `Arc`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pshared::{LockError, Mutex};

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

fn poisoned<T: Send>(value: T) -> Mutex<T> {
    let m = Mutex::new(value);
    panicking(|| {
        let _guard = m.lock();
        panic_quietly();
    });
    assert!(m.is_poisoned());
    m
}

#[test]
fn a_lock_is_made_of_its_data_or_of_its_datas_default() {
    assert_eq!(*Mutex::from(Single(3)).lock().unwrap(), Single(3));
    assert_eq!(*Mutex::<Single>::default().lock().unwrap(), Single(0));
    let into: Mutex<&str> = "text".into();
    assert_eq!(*into.lock().unwrap(), "text");
}

#[test]
fn the_data_can_be_taken_out() {
    assert_eq!(Mutex::new(Single(10)).into_inner().unwrap(), Single(10));
    let Err(LockError::Poisoned(poison)) = poisoned(Single(10)).into_inner() else { panic!("it was poisoned") };
    assert_eq!((poison.cause(), poison.into_inner()), (Cause::Panicked, Single(10)));
}

#[test]
fn the_data_taken_out_is_dropped_once_and_by_its_new_owner() {
    let drops = Arc::new(AtomicUsize::new(0));
    let count = || drops.load(Ordering::Relaxed);
    let inner = Mutex::new(Counted(Arc::clone(&drops))).into_inner().unwrap();
    assert_eq!(count(), 0);
    drop(inner);
    assert_eq!(count(), 1);
    drop(poisoned(Counted(Arc::clone(&drops))).into_inner());
    assert_eq!(count(), 2);
    drop(Mutex::new(Counted(Arc::clone(&drops))));
    assert_eq!(count(), 3);
}

#[test]
fn exclusive_access_needs_no_lock() {
    let mut m = Mutex::new(Single(10));
    *m.get_mut().unwrap() = Single(20);
    assert_eq!(m.into_inner().unwrap(), Single(20));

    let mut m = poisoned(Single(10));
    let (data, cause) = m.get_mut().unwrap_err().recover().unwrap();
    assert_eq!((&*data, cause), (&Single(10), Cause::Panicked));
    *data = Single(11);
    m.clear_poison();
    assert_eq!(*m.get_mut().unwrap(), Single(11));
    assert_eq!(m.into_inner().unwrap(), Single(11));
}

#[test]
fn a_free_lock_may_be_moved_with_its_poison() {
    let m = Mutex::new([1, 2]);
    m.lock().unwrap()[0] = 3;
    let boxed = Box::new(m);
    assert_eq!(*boxed.lock().unwrap(), [3, 2]);
    let many = vec![*boxed, poisoned([4, 5])];
    let many: Vec<_> = many.into_iter().rev().collect();
    assert_eq!(cause(many[0].lock()), Some(Cause::Panicked));
    assert_eq!(*many[1].lock().unwrap(), [3, 2]);
}

#[test]
fn a_forgotten_guard_of_a_lock_that_is_gone_harms_nobody() {
    let _watchdog = watch("a_forgotten_guard_of_a_lock_that_is_gone_harms_nobody");
    // The kernel walks the thread's robust list at its end, and all of this memory has been used again by then.
    thread::spawn(|| {
        for _ in 0..100 {
            let m = Box::new(Mutex::new(1_u64));
            std::mem::forget(m.lock().unwrap());
            drop(m);
            drop(std::hint::black_box(vec![u64::MAX; 6]));
        }
        let kept = Mutex::new(0);
        *kept.lock().unwrap() += 1;
        assert_eq!(kept.into_inner().unwrap(), 1);
    })
    .join()
    .unwrap();
}

static IN_A_STATIC: Mutex<u64> = Mutex::new(0);

#[test]
fn a_static_is_shared_by_the_threads() {
    let _watchdog = watch("a_static_is_shared_by_the_threads");
    let add = || (0..1000).for_each(|_| *IN_A_STATIC.lock().unwrap() += 1);
    thread::scope(|scope| (0..4).for_each(|_| _ = scope.spawn(add)));
    assert_eq!(*IN_A_STATIC.lock().unwrap(), 4000);
}

#[test]
fn a_panic_in_another_thread_poisons_what_an_arc_shares() {
    let m = Arc::new(Mutex::new(1));
    let theirs = Arc::clone(&m);
    let result = thread::spawn(move || {
        let _guard = theirs.lock().unwrap();
        panic_quietly();
    })
    .join();
    assert!(result.is_err());
    assert!(m.is_poisoned());
    assert_eq!(cause(m.lock()), Some(Cause::Panicked));
}

#[test]
fn a_lock_may_guard_another() {
    let inner = Arc::new(Mutex::new(1));
    let outer = Arc::new(Mutex::new(Arc::clone(&inner)));
    let theirs = Arc::clone(&outer);
    let seen = thread::spawn(move || {
        let outer = theirs.lock().unwrap();
        let mut inner = outer.lock().unwrap();
        *inner += 1;
        *inner
    });
    assert_eq!(seen.join().unwrap(), 2);
    assert_eq!(*inner.lock().unwrap(), 2);
    assert!(!outer.is_locked());
}
