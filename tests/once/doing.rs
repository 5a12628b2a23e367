//! Doing something once: by whom, how often, and what a panic means.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};

anywhere!(it_is_done_by_the_first_and_never_again, Once<B> = Once::new(), |once| {
    assert!(!once.is_completed());
    let mut times = 0;
    once.call_once(|| {
        assert!(!once.is_completed(), "it is only being done");
        times += 1;
    })
    .unwrap();
    assert!(once.is_completed());
    once.call_once(|| times += 10).unwrap();
    once.call_once_force(|_| times += 100).unwrap();
    assert_eq!(times, 1);
});

anywhere!(an_initialiser_that_asks_for_itself_is_told, Once<B> = Once::new(), |once| {
    once.call_once(|| {
        assert_eq!(once.call_once(|| panic!("twice")), Err(Error::WouldDeadlock));
        assert_eq!(once.call_once_force(|_| panic!("twice")), Err(Error::WouldDeadlock));
        assert_eq!(once.wait(), Err(Error::WouldDeadlock));
        assert_eq!(once.wait_timeout(LONG), Err(Error::WouldDeadlock));
    })
    .unwrap();
    assert!(once.is_completed());
});

anywhere!(after_a_panic_only_who_insists_does_it_over, Once<B> = Once::new(), |once| {
    for _ in 0..3 {
        panic_once(once);
        assert!(once.is_poisoned() && !once.is_completed());
        assert_eq!(once.call_once(|| panic!("not to be run")), Err(Error::InitPanicked));
        assert_eq!(once.wait(), Err(Error::InitPanicked));
        assert_eq!(once.wait_timeout(LONG), Err(Error::InitPanicked));
        assert_eq!(once.wait_until(past()), Err(Error::InitPanicked));
    }
    let mut told = None;
    once.call_once_force(|state| {
        assert!(state.is_poisoned());
        told = state.cause();
    })
    .unwrap();
    assert_eq!(told, Some(Cause::Panicked));
    assert!(once.is_completed() && !once.is_poisoned());
    once.call_once(|| panic!("twice")).unwrap();
    once.call_once_force(|_| panic!("twice")).unwrap();
    once.wait().unwrap();
});

anywhere!(who_insists_on_a_new_one_is_told_of_nothing, Once<B> = Once::new(), |once| {
    once.call_once_force(|state| assert_eq!((state.is_poisoned(), state.cause()), (false, None))).unwrap();
    assert!(once.is_completed());
});

/// Does it in its destructor, which a panic runs.
struct OnDrop<'a, B: Backend>(&'a Once<B>);

impl<B: Backend> Drop for OnDrop<'_, B> {
    fn drop(&mut self) {
        self.0.call_once(|| {}).unwrap();
    }
}

anywhere!(a_panic_from_before_says_nothing_of_it, Once<B> = Once::new(), |once| {
    panicking(|| {
        let _done = OnDrop(once);
        panic_quietly();
    });
    assert!(once.is_completed());
});

anywhere!(one_inside_another, [Once<B>; 12] = [const { Once::new() }; 12], |all| {
    fn nest<B: Backend>(all: &[Once<B>]) {
        let Some((first, rest)) = all.split_first() else { return };
        first.call_once(|| nest(rest)).unwrap();
        assert!(all.iter().all(Once::is_completed));
    }
    nest(all);
});

#[repr(C)]
#[derive(ShmSafe)]
struct Counted<B: Backend> {
    each: [Once<B>; HAND_OVERS],
    times: [AtomicU32; HAND_OVERS],
}

impl<B: Backend> Counted<B> {
    fn new() -> Self {
        Counted { each: [const { Once::new() }; HAND_OVERS], times: [const { AtomicU32::new(0) }; HAND_OVERS] }
    }
}

in_threads_and_processes!(
    of_many_that_come_at_once_one_does_it_and_all_see_it_done,
    Counted<B> = Counted::new(),
    workers = 4,
    |counted, me| {
        me.expect("go");
        for (once, times) in counted.each.iter().zip(&counted.times) {
            once.call_once(|| {
                let seen = times.load(Ordering::Relaxed);
                (0..20).for_each(|_| thread::yield_now());
                times.store(seen + 1, Ordering::Relaxed);
            })
            .unwrap();
            assert_eq!(times.load(Ordering::Relaxed), 1);
            assert!(once.is_completed());
        }
    },
    |counted, workers| {
        workers.iter().for_each(|worker| worker.say("go"));
        workers.finish();
        assert!(counted.each.iter().all(Once::is_completed));
    }
);

in_threads_and_processes!(
    a_panic_elsewhere_is_known_here,
    Once<B> = Once::new(),
    workers = 1,
    |once, me| {
        panic_once(once);
        me.say("panicked");
        me.expect("over");
        assert!(once.is_completed());
    },
    |once, workers| {
        workers[0].expect("panicked");
        assert_eq!(once.call_once(|| panic!("not to be run")), Err(Error::InitPanicked));
        once.call_once_force(|state| assert_eq!(state.cause(), Some(Cause::Panicked))).unwrap();
        workers[0].say("over");
    }
);

anywhere!(debug_shows_how_far_it_is, Once<B> = Once::new(), |once| {
    assert_eq!(format!("{once:?}"), "Once { state: <to be done>, .. }");
    panic_once(once);
    assert_eq!(format!("{once:?}"), "Once { state: <panicked>, .. }");
    once.call_once_force(|_| assert_eq!(format!("{once:?}"), "Once { state: <being done>, .. }")).unwrap();
    assert_eq!(format!("{once:?}"), "Once { state: <done>, .. }");
});

static IN_A_STATIC: pshared::Once = pshared::Once::new();

#[test]
fn one_in_a_static_serves_all_threads_and_a_free_one_may_be_moved() {
    static TIMES: AtomicU32 = AtomicU32::new(0);
    let call = || IN_A_STATIC.call_once(|| _ = TIMES.fetch_add(1, Ordering::Relaxed)).unwrap();
    thread::scope(|scope| (0..4).for_each(|_| _ = scope.spawn(call)));
    assert_eq!(TIMES.load(Ordering::Relaxed), 1);

    let done = pshared::Once::new();
    done.call_once(|| {}).unwrap();
    let panicked = pshared::Once::default();
    panic_once(&panicked);
    let moved = [Box::new(done), Box::new(panicked)];
    assert!(moved[0].is_completed() && moved[1].is_poisoned());
}

/// Done before it comes into the cell, it is done there.
#[test]
fn one_that_is_done_may_be_put_into_a_cell() {
    let name = format!("pshared-once-{}", std::process::id());
    let shm = pshared::Shm::create(&name, || {
        let once = pshared::Once::new();
        once.call_once(|| {})?;
        Ok(once)
    })
    .unwrap();
    pshared::Shm::<pshared::Once>::remove(&name).unwrap();
    assert!(shm.is_completed());
    shm.call_once(|| panic!("twice")).unwrap();
}
