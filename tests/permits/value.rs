//! Permits as a value: made, moved, shown; in a static, in an `Arc`.

use std::sync::Arc;
use std::thread;

use pshared::{Permits, Shm};

use super::*;
use crate::support::watchdog::watch;

static IN_A_STATIC: Permits<2> = Permits::new();

#[test]
fn a_static_is_shared_by_the_threads() {
    let _watchdog = watch("a_static_is_shared_by_the_threads");
    let visit = || (0..1000).for_each(|_| drop(IN_A_STATIC.acquire().unwrap()));
    thread::scope(|scope| (0..4).for_each(|_| _ = scope.spawn(visit)));
    assert_eq!(IN_A_STATIC.available(), 2);
}

#[test]
fn free_permits_may_be_moved() {
    let permits = Permits::<3>::default();
    drop(permits.acquire().unwrap());
    let boxed = Box::new(permits);
    let held = boxed.acquire().unwrap();
    assert_eq!(boxed.available(), 2);
    drop(held);
    let shared = Arc::new(*boxed);
    let theirs = Arc::clone(&shared);
    thread::spawn(move || drop(theirs.acquire().unwrap())).join().unwrap();
    assert_eq!(shared.available(), 3);
}

#[test]
fn forgotten_permits_that_are_gone_harm_nobody() {
    let _watchdog = watch("forgotten_permits_that_are_gone_harm_nobody");
    // The kernel walks the thread's robust list at its end, and all of this memory has been used again by then.
    thread::spawn(|| {
        for _ in 0..100 {
            let permits = Box::new(Permits::<2>::new());
            permits.acquire().unwrap().forget();
            assert_eq!(permits.available(), 1);
            drop(permits);
            drop(std::hint::black_box(vec![u64::MAX; 11]));
        }
    })
    .join()
    .unwrap();
}

#[test]
fn debug_shows_the_numbers_and_does_not_wait() {
    let permits = Permits::<2>::new();
    let held = [permits.acquire().unwrap(), permits.acquire().unwrap()];
    assert_eq!(format!("{permits:?}"), "Permits { available: 0, capacity: 2, .. }");
    assert_eq!(format!("{:?}", held[0]), "Permit { .. }");
    drop(held);
    assert_eq!(format!("{permits:?}"), "Permits { available: 2, capacity: 2, .. }");
}

#[test]
fn the_size_is_that_of_the_slots_and_eight_bytes() {
    assert_eq!([size_of::<Permits<1>>(), size_of::<Permits<4>>(), size_of::<Permits<64>>()], [48, 168, 2568]);
    assert_eq!(align_of::<Permits<4>>(), 8);
}

#[test]
fn another_number_of_permits_is_another_type() {
    let name = format!("pshared-permits-{}", std::process::id());
    let _shm = Shm::create(&name, || Ok(Permits::<2>::new())).unwrap();
    let refused = Shm::<Permits<3>>::open(&name);
    Shm::<Permits<2>>::remove(&name).unwrap();
    assert!(matches!(refused, Err(Error::Mismatch(_))), "{refused:?}");
}

#[test]
fn zeroed_memory_is_permits_that_nobody_has() {
    let name = format!("pshared-permits-zeroed-{}", std::process::id());
    let shm = Shm::<Permits<3>>::create_zeroed(&name).unwrap();
    Shm::<Permits<3>>::remove(&name).unwrap();
    let held = shm.acquire().unwrap();
    assert_eq!(shm.available(), 2);
    drop(held);
}
