//! Events of both kinds, alone and among many.

use std::sync::atomic::{AtomicU64, Ordering};

use pshared::ShmSafe;

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};
use crate::support::schedule;
use crate::support::state::{tid, wait_until_asleep_in_a_lock};

anywhere!(
    an_auto_reset_event_lets_one_pass_for_any_number_of_sets,
    [Event<B>; 2] = [Event::auto(false), Event::auto(true)],
    |both| {
        both[0].set().unwrap();
        for event in both {
            for (way, pass) in every_pass() {
                event.set().unwrap();
                event.set().unwrap();
                assert!(event.is_set());
                assert_eq!(pass(event), Ok(()), "{way}");
                assert!(!event.is_set(), "{way}");
                assert_eq!(event.try_wait(), Err(Error::WouldBlock), "{way}");
                assert_eq!(event.wait_timeout(Duration::from_millis(1)), Err(Error::TimedOut), "{way}");
                assert_eq!(event.wait_until(past()), Err(Error::TimedOut), "{way}");
            }
        }
    }
);

anywhere!(
    a_manual_reset_event_lets_everybody_pass_until_it_is_reset,
    [Event<B>; 2] = [Event::manual(true), Event::manual(false)],
    |both| {
        both[1].set().unwrap();
        for event in both {
            for _ in 0..3 {
                for (way, pass) in every_pass() {
                    assert_eq!((pass(event), event.is_set()), (Ok(()), true), "{way}");
                }
                event.reset().unwrap();
                event.reset().unwrap();
                assert!(!event.is_set());
                assert_eq!(event.try_wait(), Err(Error::WouldBlock));
                assert_eq!(event.wait_timeout(Duration::from_millis(1)), Err(Error::TimedOut));
                assert_eq!(event.wait_until(past()), Err(Error::TimedOut));
                event.set().unwrap();
                event.set().unwrap();
            }
        }
    }
);

anywhere!(
    resetting_an_auto_reset_event_takes_its_permit,
    Event<B> = Event::auto(true),
    |event| {
        event.reset().unwrap();
        event.reset().unwrap();
        assert_eq!((event.is_set(), event.try_wait()), (false, Err(Error::WouldBlock)));
        event.set().unwrap();
        event.wait().unwrap();
    }
);

anywhere!(
    debug_shows_the_kind_and_passes_nothing,
    [Event<B>; 2] = [Event::auto(true), Event::manual(false)],
    |both| {
        assert_eq!(format!("{:?}", both[0]), "Event { kind: auto, set: true, .. }");
        assert_eq!(format!("{:?}", both[1]), "Event { kind: manual, set: false, .. }");
        assert!(both[0].is_set());
    }
);

#[test]
fn an_event_may_be_static() {
    static STARTED: pshared::Event = pshared::Event::manual(false);
    let thread = std::thread::spawn(|| STARTED.wait().unwrap());
    STARTED.set().unwrap();
    thread.join().unwrap();
}

#[repr(C)]
#[derive(ShmSafe)]
struct Scene<B: Backend> {
    auto: Event<B>,
    manual: Event<B>,
    passed: AtomicU64,
}

impl<B: Backend> Scene<B> {
    fn new() -> Self {
        Scene { auto: Event::auto(false), manual: Event::manual(false), passed: AtomicU64::new(0) }
    }
}

in_threads_and_processes!(
    each_set_of_an_auto_reset_event_lets_one_sleeper_pass,
    Scene<B> = Scene::new(),
    workers = 3,
    |scene, me| {
        me.say(&tid().to_string());
        scene.auto.wait().unwrap();
        scene.passed.fetch_add(1, Ordering::SeqCst);
    },
    |scene, workers| {
        for worker in workers.iter() {
            wait_until_asleep_in_a_lock(worker.hear().parse().unwrap());
        }
        for passed in 1..=3 {
            scene.auto.set().unwrap();
            schedule::wait_until("one passes", || scene.passed.load(Ordering::SeqCst) == passed);
            assert!(!scene.auto.is_set());
        }
    }
);

in_threads_and_processes!(
    /// Even if it is reset before any of them runs.
    setting_a_manual_reset_event_lets_every_sleeper_pass_though_it_is_reset_at_once,
    Scene<B> = Scene::new(),
    workers = 4,
    |scene, me| {
        me.say(&tid().to_string());
        for _ in 0..20 {
            me.expect("wait");
            scene.manual.wait().unwrap();
            me.say("passed");
        }
    },
    |scene, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        for _ in 0..20 {
            for (worker, id) in workers.iter().zip(&ids) {
                worker.say("wait");
                wait_until_asleep_in_a_lock(*id);
            }
            scene.manual.set().unwrap();
            scene.manual.reset().unwrap();
            workers.iter().for_each(|worker| worker.expect("passed"));
            assert_eq!(scene.manual.try_wait(), Err(Error::WouldBlock));
        }
    }
);

in_threads_and_processes!(
    /// A set that finds the event set hands over what was written before, too: nothing of this is lost.
    what_is_written_before_a_set_is_seen_by_who_passes,
    Scene<B> = Scene::new(),
    workers = 2,
    |scene, me| {
        const LAST: u64 = 20_000;
        if me.number == 0 {
            for number in 1..=LAST {
                scene.passed.store(number, Ordering::Relaxed);
                scene.auto.set().unwrap();
            }
        } else {
            while scene.passed.load(Ordering::Relaxed) < LAST {
                scene.auto.wait().unwrap();
            }
        }
    },
    |scene, workers| {
        workers.finish();
        assert_eq!(scene.passed.load(Ordering::Relaxed), 20_000);
    }
);
