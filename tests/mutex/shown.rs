//! What can be asked of a lock: who holds it, what `Debug` shows.

use pshared::Shm;

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};
use crate::support::state::tid;

in_threads_and_processes!(
    the_owner_is_the_thread_that_holds_it,
    Mutex<u64, B> = Mutex::new(0),
    workers = 2,
    |m, me| {
        for _ in 0..2 {
            me.expect("lock");
            let guard = m.lock().unwrap();
            let owner = m.owner().unwrap();
            assert_eq!((owner.pid, owner.tid), (std::process::id(), tid()));
            me.say(&format!("{} {}", owner.pid, owner.tid));
            me.expect("let go");
            drop(guard);
            me.say("free");
        }
    },
    |m, workers| {
        assert_eq!(m.owner(), None);
        assert!(!m.is_locked());
        for _ in 0..2 {
            for worker in workers.iter() {
                worker.say("lock");
                let theirs = worker.hear();
                let owner = m.owner().unwrap();
                assert_eq!(format!("{} {}", owner.pid, owner.tid), theirs);
                assert_ne!(owner.tid, tid());
                assert!(m.is_locked());
                worker.say("let go");
                worker.expect("free");
                assert_eq!(m.owner(), None);
                assert!(!m.is_locked());
            }
        }
    }
);

in_threads_and_processes!(
    debug_shows_that_another_has_it_and_does_not_wait,
    Mutex<u64, B> = Mutex::new(17),
    workers = 1,
    |m, me| {
        let guard = m.lock().unwrap();
        me.say("held");
        me.expect("let go");
        drop(guard);
        me.say("free");
    },
    |m, workers| {
        workers[0].expect("held");
        for shown in [format!("{m:?}"), format!("{m:#?}")] {
            assert!(shown.contains("<locked>") && !shown.contains("17"), "{shown}");
        }
        workers[0].say("let go");
        workers[0].expect("free");
        let shown = format!("{m:?}");
        assert!(shown.contains("17") && shown.contains("poisoned: false"), "{shown}");
        assert!(!m.is_locked());
    }
);

anywhere!(debug_shows_data_poison_and_a_lock_of_ones_own, Mutex<u64, B> = Mutex::new(17), |m| {
    assert_eq!(format!("{m:?}"), "Mutex { data: 17, poisoned: false, .. }");
    let guard = m.lock().unwrap();
    assert_eq!(format!("{m:?}"), "Mutex { data: <locked>, poisoned: false, .. }");
    drop(guard);
    poison(m);
    assert_eq!(format!("{m:?}"), "Mutex { data: 17, poisoned: true, .. }");
    let guard = m.lock().unwrap_err().recover().unwrap().0;
    assert_eq!(format!("{m:?}"), "Mutex { data: <locked>, poisoned: true, .. }");
    drop(guard);
    assert!(!m.is_locked());
});

#[test]
fn a_handle_shows_the_locks_in_its_cell() {
    let name = format!("pshared-shown-{}", std::process::id());
    let shm = Shm::create(&name, || Ok(pshared::Mutex::new(3_u8))).unwrap();
    Shm::<pshared::Mutex<u8>>::remove(&name).unwrap();
    assert_eq!(format!("{shm:?}"), "Shm(Mutex { data: 3, poisoned: false, .. })");
}
