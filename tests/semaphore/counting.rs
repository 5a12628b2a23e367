//! One thread and its permits.

use std::sync::Arc;
use std::thread;

use pshared::backend::RawSemaphore;
use pshared::{Shm, ShmSafe};

use super::*;
use crate::support::claims::anywhere;

anywhere!(
    a_permit_that_is_there_is_taken_in_every_way,
    Semaphore<B> = counting(0),
    |s| {
        for (way, take) in every_way() {
            s.post().unwrap();
            assert_eq!(s.value(), 1, "{way}");
            assert_eq!(take(s), Ok(()), "{way}");
            assert_eq!(s.value(), 0, "{way}");
        }
    }
);

anywhere!(
    where_no_permit_is_each_way_says_so_and_changes_nothing,
    Semaphore<B> = counting(0),
    |s| {
        assert_eq!(s.try_wait(), Err(Error::WouldBlock));
        assert_eq!(s.wait_timeout(Duration::ZERO), Err(Error::TimedOut));
        assert_eq!(s.wait_timeout(Duration::from_millis(3)), Err(Error::TimedOut));
        assert_eq!(s.wait_until(past()), Err(Error::TimedOut));
        assert_eq!(s.value(), 0);
        s.post().unwrap();
        assert_eq!((s.value(), s.try_wait(), s.try_wait()), (1, Ok(()), Err(Error::WouldBlock)));
    }
);

anywhere!(
    it_begins_with_the_permits_that_it_was_made_with,
    [Semaphore<B>; 4] = [counting(0), counting(3), Semaphore::binary(false), Semaphore::binary(true)],
    |all| {
        for (s, permits) in all.iter().zip([0, 3, 0, 1]) {
            assert_eq!(s.value(), permits);
            (0..permits).for_each(|_| s.try_wait().unwrap());
            assert_eq!(s.try_wait(), Err(Error::WouldBlock));
        }
    }
);

anywhere!(
    permits_posted_at_once_are_all_there_or_none,
    Semaphore<B> = Semaphore::counting_with_max(1, 5).unwrap(),
    |s| {
        s.post_many(3).unwrap();
        assert_eq!(s.value(), 4);
        assert_eq!(s.post_many(2), Err(Error::TooManyPermits { value: 4, more: 2, max: 5 }));
        assert_eq!(s.post_many(u32::MAX), Err(Error::TooManyPermits { value: 4, more: u32::MAX, max: 5 }));
        assert_eq!(s.value(), 4);
        s.post_many(0).unwrap();
        s.post_many(1).unwrap();
        assert_eq!(s.post(), Err(Error::TooManyPermits { value: 5, more: 1, max: 5 }));
        s.post_many(0).unwrap();
        assert_eq!((s.value(), s.max()), (5, 5));
    }
);

anywhere!(
    a_binary_one_saturates,
    Semaphore<B> = Semaphore::binary(false),
    |s| {
        for _ in 0..3 {
            s.post().unwrap();
            s.post_many(7).unwrap();
            s.post_many(u32::MAX).unwrap();
            assert_eq!((s.value(), s.max()), (1, 1));
            s.wait().unwrap();
            assert_eq!(s.try_wait(), Err(Error::WouldBlock));
        }
    }
);

anywhere!(
    the_greatest_value_is_reached_and_not_passed,
    Semaphore<B> = counting(<B::Semaphore as RawSemaphore>::MAX - 1),
    |s| {
        let max = <B::Semaphore as RawSemaphore>::MAX;
        s.post().unwrap();
        assert_eq!(s.post(), Err(Error::TooManyPermits { value: max, more: 1, max }));
        s.wait().unwrap();
        assert_eq!((s.value(), s.max()), (max - 1, max));
    }
);

anywhere!(
    debug_shows_the_value_and_takes_nothing,
    Semaphore<B> = Semaphore::counting_with_max(2, 7).unwrap(),
    |s| {
        assert_eq!(format!("{s:?}"), "Semaphore { value: 2, max: 7, .. }");
        assert_eq!(s.value(), 2);
    }
);

#[test]
fn more_permits_than_the_maximum_are_refused() {
    let refused = pshared::Semaphore::counting_with_max(3, 2).err().unwrap();
    assert_eq!(refused, Error::TooManyPermits { value: 0, more: 3, max: 2 });
    assert!(refused.to_string().contains("maximum of 2"), "{refused}");
    assert!(pshared::Semaphore::counting_with_max(0, 0).unwrap().post().is_err());
}

#[test]
fn zeroed_bytes_are_a_semaphore_without_permits_and_an_unset_event() {
    #[repr(C)]
    #[derive(ShmSafe)]
    struct Both {
        permits: pshared::Semaphore,
        event: pshared::Event,
    }
    let name = format!("pshared-zeroed-{}", std::process::id());
    let both = Shm::<Both>::create_zeroed(&name).unwrap();
    Shm::<Both>::remove(&name).unwrap();
    assert_eq!((both.permits.value(), both.permits.max()), (0, (1 << 30) - 1));
    both.permits.post().unwrap();
    both.permits.wait().unwrap();
    assert!(!both.event.is_set());
    both.event.set().unwrap();
    both.event.wait().unwrap();
    assert!(!both.event.is_set(), "auto-reset");
}

#[test]
fn a_static_one_and_one_in_an_arc_serve_threads() {
    static GATE: pshared::Semaphore = pshared::Semaphore::binary(false);
    let counted = Arc::new(pshared::Semaphore::counting(0).unwrap());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let counted = counted.clone();
            thread::spawn(move || {
                counted.wait().unwrap();
                GATE.post().unwrap();
            })
        })
        .collect();
    for _ in &threads {
        counted.post().unwrap();
        GATE.wait().unwrap();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!((counted.value(), GATE.value()), (0, 0));
}

#[test]
fn it_may_be_moved_while_nobody_waits() {
    let s = pshared::Semaphore::counting(2).unwrap();
    s.wait().unwrap();
    assert_eq!(s.wait_timeout(Duration::ZERO), Ok(()));
    assert_eq!(s.wait_timeout(Duration::from_millis(1)), Err(Error::TimedOut)); // W stays
    let moved = Box::new(s);
    moved.post().unwrap();
    assert_eq!(moved.value(), 1);
}

#[test]
fn sizes_are_as_promised() {
    assert!(size_of::<pshared::Semaphore>() <= 128 && size_of::<pshared::Event>() <= 128);
}
