//! Poison by panic: who is told, of what, and until when.

use pshared::Error;

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};

in_threads_and_processes!(
    a_panic_of_a_writer_poisons_for_everybody,
    RwLock<u64, B> = RwLock::new(0),
    workers = 1,
    |l, me| {
        panicking(|| {
            *l.write().unwrap() = 1; // a whole one, which poisons nothing
            let mut guard = l.write().unwrap();
            *guard = 2;
            panic_quietly();
        });
        assert!(l.is_poisoned());
        me.say("panicked");
    },
    |l, workers| {
        workers[0].expect("panicked");
        assert!(!l.is_locked());
        for (name, way) in every_way() {
            assert_eq!(cause(way(l)), Some(Cause::Panicked), "{name}");
            assert!(l.is_poisoned(), "{name} cleared it");
        }
        assert_eq!(*l.read().unwrap_err().recover().unwrap().0, 2);
    }
);

anywhere!(a_panic_of_a_reader_poisons_nothing, RwLock<u64, B> = RwLock::new(0), |l| {
    panicking(|| {
        let _guards = (l.read().unwrap(), l.read().unwrap());
        panic_quietly();
    });
    assert!(!l.is_locked() && !l.is_poisoned());
    assert_eq!(cause(l.write()), None);
});

anywhere!(poison_stays_until_it_is_cleared, RwLock<u64, B> = RwLock::new(0), |l| {
    poison(l);
    for _ in 0..3 {
        assert_eq!(cause(l.read()), Some(Cause::Panicked));
        assert_eq!(cause(l.write()), Some(Cause::Panicked));
    }
    // With the lock held, as after a repair; by a reader too.
    let (guard, _) = l.write().unwrap_err().recover().unwrap();
    l.clear_poison();
    drop(guard);
    assert_eq!(cause(l.read()), None);
    poison(l);
    let (guard, _) = l.read().unwrap_err().recover().unwrap();
    l.clear_poison();
    drop(guard);
    assert_eq!(cause(l.write()), None);
    // Without it, and where there is none.
    poison(l);
    l.clear_poison();
    l.clear_poison();
    assert_eq!(cause(l.write()), None);
});

in_threads_and_processes!(
    what_one_clears_is_cleared_for_all,
    RwLock<u64, B> = RwLock::new(0),
    workers = 1,
    |l, me| {
        poison(l);
        me.say("poisoned");
        me.expect("cleared");
        assert_eq!(cause(l.read()), None);
    },
    |l, workers| {
        workers[0].expect("poisoned");
        l.clear_poison();
        workers[0].say("cleared");
    }
);

anywhere!(recovering_repairs_once_and_clears, RwLock<u64, B> = RwLock::new(3), |l| {
    poison(l);
    let guard = l
        .write_or_recover(|value, cause| {
            assert_eq!((*value, cause), (3, Cause::Panicked));
            assert!(l.is_locked_exclusive());
            assert!(l.is_poisoned(), "it is not repaired yet");
            *value = 4;
        })
        .unwrap();
    assert_eq!(*guard, 4);
    drop(guard);
    assert!(!l.is_poisoned());
    assert_eq!(*l.write_or_recover(|_, _| panic!("there is no poison")).unwrap(), 4);
});

anywhere!(a_panic_in_the_repair_leaves_the_poison, RwLock<u64, B> = RwLock::new(3), |l| {
    poison(l);
    panicking(|| {
        let _ = l.write_or_recover(|value, _| {
            *value = 100;
            panic_quietly();
        });
    });
    assert!(!l.is_locked());
    assert_eq!(cause(l.write()), Some(Cause::Panicked));
    assert_eq!(*l.write_or_recover(|value, _| *value += 1).unwrap(), 101);
    assert_eq!(cause(l.read()), None);
});

/// Writes in its destructor, which a panic runs.
struct AddsOnDrop<'a, B: Backend>(&'a RwLock<u64, B>);

impl<B: Backend> Drop for AddsOnDrop<'_, B> {
    fn drop(&mut self) {
        *self.0.write().unwrap() += 1;
    }
}

anywhere!(a_panic_from_before_the_lock_was_taken_says_nothing_of_its_data, RwLock<u64, B> = RwLock::new(1), |l| {
    panicking(|| {
        let _adds = AddsOnDrop(l);
        panic_quietly();
    });
    assert_eq!(*l.read().unwrap(), 2);
});

anywhere!(a_question_mark_releases_the_lock_and_leaves_the_poison, RwLock<u64, B> = RwLock::new(0), |l| {
    fn add<B: Backend>(l: &RwLock<u64, B>) -> pshared::Result<u64> {
        *l.write()? += 1;
        Ok(*l.read()?)
    }
    assert_eq!(add(l), Ok(1));
    poison(l);
    for _ in 0..2 {
        assert_eq!(add(l), Err(Error::Poisoned(Cause::Panicked)));
        assert!(!l.is_locked() && l.is_poisoned());
    }
    l.clear_poison();
    assert_eq!(add(l), Ok(2));
    let guard = l.read().unwrap();
    assert_eq!(add(l), Err(Error::WouldDeadlock));
    drop(guard);
    assert_eq!(add(l), Ok(3));
});
