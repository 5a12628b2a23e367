//! What `Debug` shows, and that it waits for nobody.

use pshared::Shm;

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};

in_threads_and_processes!(
    debug_shows_that_another_has_it_and_does_not_wait,
    RwLock<u64, B> = RwLock::new(17),
    workers = 1,
    |l, me| {
        let guard = l.write().unwrap();
        me.say("held");
        me.expect("let go");
        drop(guard);
        let guard = l.read().unwrap();
        me.say("reads");
        me.expect("let go");
        drop(guard);
    },
    |l, workers| {
        workers[0].expect("held");
        for shown in [format!("{l:?}"), format!("{l:#?}")] {
            assert!(shown.contains("<locked>") && !shown.contains("17"), "{shown}");
        }
        workers[0].say("let go");
        workers[0].expect("reads");
        let shown = format!("{l:?}");
        assert!(shown.contains("17") && shown.contains("poisoned: false"), "{shown}");
        workers[0].say("let go");
        workers.finish();
        assert!(!l.is_locked());
    }
);

anywhere!(debug_shows_data_poison_and_a_lock_of_ones_own, RwLock<u64, B> = RwLock::new(17), |l| {
    assert_eq!(format!("{l:?}"), "RwLock { data: 17, poisoned: false, .. }");
    let guard = l.read().unwrap();
    assert_eq!(format!("{l:?}"), "RwLock { data: 17, poisoned: false, .. }");
    drop(guard);
    let guard = l.write().unwrap();
    assert_eq!(format!("{l:?}"), "RwLock { data: <locked>, poisoned: false, .. }");
    drop(guard);
    poison(l);
    assert_eq!(format!("{l:?}"), "RwLock { data: 17, poisoned: true, .. }");
    assert!(!l.is_locked());
});

#[test]
fn a_handle_shows_the_locks_in_its_cell() {
    let name = format!("pshared-rwlock-shown-{}", std::process::id());
    let shm = Shm::create(&name, || Ok(pshared::RwLock::new(3_u8))).unwrap();
    Shm::<pshared::RwLock<u8>>::remove(&name).unwrap();
    assert_eq!(format!("{shm:?}"), "Shm(RwLock { data: 3, poisoned: false, .. })");
}
