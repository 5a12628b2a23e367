//! The barrier as a value: made, refused, shown; in a static, in an `Arc`.

use std::sync::Arc;
use std::thread;

use pshared::{Barrier, Shm};

use super::*;
use crate::support::watchdog::watch;

static IN_A_STATIC: Barrier<2> = Barrier::full();

#[test]
fn a_static_is_shared_by_the_threads() {
    let _watchdog = watch("a_static_is_shared_by_the_threads");
    assert_eq!(IN_A_STATIC.participants(), 2);
    thread::scope(|scope| {
        scope.spawn(|| IN_A_STATIC.wait().unwrap());
        IN_A_STATIC.wait().unwrap();
    });
}

#[test]
fn a_barrier_for_nobody_or_too_many_is_refused() {
    for wanted in [0, 5, usize::MAX, 1 << 32 | 1] {
        let refused = Barrier::<4>::new(wanted).unwrap_err();
        assert_eq!(refused, Error::Participants { wanted, room: 4 });
        assert!(refused.to_string().contains(&wanted.to_string()));
    }
    assert_eq!([1, 4].map(|wanted| Barrier::<4>::new(wanted).unwrap().participants()), [1, 4]);
}

#[test]
fn a_barrier_may_be_moved_while_nobody_waits() {
    let _watchdog = watch("a_barrier_may_be_moved_while_nobody_waits");
    let barrier = Barrier::<2>::new(1).unwrap();
    barrier.wait().unwrap();
    let shared = Arc::new(barrier);
    let theirs = Arc::clone(&shared);
    thread::spawn(move || theirs.wait().unwrap()).join().unwrap();
    shared.wait().unwrap();
}

#[test]
fn debug_shows_the_numbers_and_does_not_wait() {
    let barrier = Barrier::<4>::new(3).unwrap();
    assert_eq!(format!("{barrier:?}"), "Barrier { waiting: 0, participants: 3, broken: false, .. }");
    assert!(barrier.wait_timeout(Duration::ZERO).is_err());
    assert_eq!(format!("{barrier:?}"), "Barrier { waiting: 0, participants: 3, broken: true, .. }");
}

#[test]
fn the_size_is_that_of_the_places_and_thirty_two_bytes() {
    assert_eq!([size_of::<Barrier<1>>(), size_of::<Barrier<4>>(), size_of::<Barrier<64>>()], [80, 224, 3104]);
    assert_eq!(align_of::<Barrier<4>>(), 8);
}

#[test]
fn another_room_is_another_type_and_another_number_is_not() {
    let name = format!("pshared-barrier-{}", std::process::id());
    let _shm = Shm::create(&name, || Barrier::<2>::new(2)).unwrap();
    let refused = Shm::<Barrier<3>>::open(&name);
    let opened = Shm::<Barrier<2>>::open(&name).unwrap();
    Shm::<Barrier<2>>::remove(&name).unwrap();
    assert!(matches!(refused, Err(Error::Mismatch(_))), "{refused:?}");
    assert_eq!(opened.participants(), 2);
}

#[test]
fn zeroed_memory_is_a_barrier_for_all_it_has_room_for() {
    let name = format!("pshared-barrier-zeroed-{}", std::process::id());
    let shm = Shm::<Barrier<1>>::create_zeroed(&name).unwrap();
    Shm::<Barrier<1>>::remove(&name).unwrap();
    assert!(shm.wait().unwrap().is_leader());
}
