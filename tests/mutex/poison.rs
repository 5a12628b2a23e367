//! Poison by panic: who is told, of what, and until when.

use pshared::{Error, PoisonError};

use super::*;
use crate::support::claims::{anywhere, in_threads_and_processes};

in_threads_and_processes!(
    a_panic_of_the_holder_poisons_for_everybody,
    Mutex<u64, B> = Mutex::new(0),
    workers = 1,
    |m, me| {
        panicking(|| {
            *m.lock().unwrap() = 1; // a whole one, which poisons nothing
            let mut guard = m.lock().unwrap();
            *guard = 2;
            panic_quietly();
        });
        assert!(m.is_poisoned());
        me.say("panicked");
    },
    |m, workers| {
        workers[0].expect("panicked");
        assert!(!m.is_locked());
        assert!(m.is_poisoned());
        for (name, way) in every_way() {
            assert_eq!(cause(way(m)), Some(Cause::Panicked), "{name}");
            assert!(m.is_poisoned(), "{name} cleared it");
        }
        assert_eq!(*m.lock().unwrap_err().recover().unwrap().0, 2);
    }
);

anywhere!(poison_stays_until_it_is_cleared, Mutex<u64, B> = Mutex::new(0), |m| {
    poison(m);
    for _ in 0..3 {
        assert_eq!(cause(m.lock()), Some(Cause::Panicked));
    }
    // With the lock held, as after a repair.
    let (guard, _) = m.lock().unwrap_err().recover().unwrap();
    m.clear_poison();
    drop(guard);
    assert!(!m.is_poisoned());
    assert_eq!(cause(m.lock()), None);
    // Without it.
    poison(m);
    m.clear_poison();
    assert_eq!(cause(m.lock()), None);
    // Where there is none.
    m.clear_poison();
    assert_eq!(cause(m.lock()), None);
});

in_threads_and_processes!(
    what_one_clears_is_cleared_for_all,
    Mutex<u64, B> = Mutex::new(0),
    workers = 1,
    |m, me| {
        poison(m);
        me.say("poisoned");
        me.expect("cleared");
        assert_eq!(cause(m.lock()), None);
    },
    |m, workers| {
        workers[0].expect("poisoned");
        m.clear_poison();
        workers[0].say("cleared");
    }
);

anywhere!(a_poisoned_lock_is_poisoned_again_as_often_as_one_likes, Mutex<u64, B> = Mutex::new(0), |m| {
    for _ in 0..3 {
        poison(m);
        assert!(!m.is_locked());
        assert_eq!(cause(m.try_lock()), Some(Cause::Panicked));
    }
});

anywhere!(recovering_repairs_once_and_clears, Mutex<u64, B> = Mutex::new(3), |m| {
    poison(m);
    let guard = m
        .lock_or_recover(|value, cause| {
            assert_eq!((*value, cause), (3, Cause::Panicked));
            assert!(m.is_locked());
            assert!(m.is_poisoned(), "it is not repaired yet");
            *value = 4;
        })
        .unwrap();
    assert_eq!(*guard, 4);
    assert!(m.is_locked());
    drop(guard);
    assert!(!m.is_poisoned());
    assert_eq!(*m.lock_or_recover(|_, _| panic!("there is no poison")).unwrap(), 4);
});

anywhere!(a_panic_in_the_repair_leaves_the_poison, Mutex<u64, B> = Mutex::new(3), |m| {
    poison(m);
    panicking(|| {
        let _ = m.lock_or_recover(|value, _| {
            *value = 100;
            panic_quietly();
        });
    });
    assert!(!m.is_locked());
    assert_eq!(cause(m.lock()), Some(Cause::Panicked));
    assert_eq!(*m.lock_or_recover(|value, _| *value += 1).unwrap(), 101);
    assert_eq!(cause(m.lock()), None);
});

/// Locks in its destructor, which a panic runs.
struct AddsOnDrop<'a, B: Backend>(&'a Mutex<u64, B>);

impl<B: Backend> Drop for AddsOnDrop<'_, B> {
    fn drop(&mut self) {
        *self.0.lock().unwrap() += 1;
    }
}

anywhere!(a_panic_from_before_the_lock_was_taken_says_nothing_of_its_data, Mutex<u64, B> = Mutex::new(1), |m| {
    panicking(|| {
        let _adds = AddsOnDrop(m);
        panic_quietly();
    });
    assert_eq!(*m.lock().unwrap(), 2);
    assert!(!m.is_poisoned());
});

anywhere!(a_panic_that_was_caught_inside_poisons_nothing, Mutex<u64, B> = Mutex::new(0), |m| {
    let guard = m.lock().unwrap();
    panicking(|| panic_quietly());
    drop(guard);
    assert!(!m.is_poisoned());
});

anywhere!(a_question_mark_releases_the_lock_and_leaves_the_poison, Mutex<u64, B> = Mutex::new(0), |m| {
    fn add<B: Backend>(m: &Mutex<u64, B>) -> pshared::Result<u64> {
        let mut guard = m.lock()?;
        *guard += 1;
        Ok(*guard)
    }
    assert_eq!(add(m), Ok(1));
    poison(m);
    for _ in 0..2 {
        assert_eq!(add(m), Err(Error::Poisoned(Cause::Panicked)));
        assert!(!m.is_locked());
        assert!(m.is_poisoned());
    }
    m.clear_poison();
    assert_eq!(add(m), Ok(2));
    let guard = m.lock().unwrap();
    assert_eq!(add(m), Err(Error::WouldDeadlock));
    drop(guard);
    assert_eq!(add(m), Ok(3));
});

anywhere!(a_poison_error_lends_and_gives_the_guard, Mutex<u64, B> = Mutex::new(1), |m| {
    poison(m);
    let Err(LockError::Poisoned(mut poison)) = m.lock() else { panic!("it was poisoned") };
    assert_eq!(poison.cause(), Cause::Panicked);
    assert_eq!(**poison.get_ref(), 1);
    **poison.get_mut() = 2;
    assert!(m.is_locked());
    assert!(poison.to_string().contains("panicked"), "{poison}");
    assert!(format!("{poison:?}").contains("Panicked"), "{poison:?}");
    let guard = poison.into_inner();
    assert_eq!(*guard, 2);
    // Back into an error, which releases the lock when it is dropped.
    let error = LockError::from(PoisonError::new(guard, Cause::OwnerDied));
    assert!(m.is_locked());
    assert!(format!("{error:?} {error}").contains("died"), "{error:?} {error}");
    let LockError::Poisoned(poison) = error.map(|guard| (guard, "and more")) else { panic!("it was poison") };
    assert_eq!((poison.cause(), poison.get_ref().1), (Cause::OwnerDied, "and more"));
    drop(poison);
    assert!(!m.is_locked());
    assert!(m.is_poisoned());
});

#[test]
fn errors_without_a_guard_keep_their_meaning() {
    type E = LockError<u8>;
    for (refused, error) in [
        (E::WouldBlock, Error::WouldBlock),
        (E::TimedOut, Error::TimedOut),
        (E::WouldDeadlock, Error::WouldDeadlock),
        (E::Failed(Error::Corrupted { word: 7 }), Error::Corrupted { word: 7 }),
    ] {
        assert_eq!(refused.to_string(), error.to_string());
        assert_eq!(refused.map(u16::from).recover().unwrap_err(), error);
    }
    let poisoned = || E::Poisoned(PoisonError::new(8, Cause::Panicked));
    assert_eq!(poisoned().map(u16::from).recover(), Ok((8_u16, Cause::Panicked)));
    assert_eq!(Error::from(poisoned()), Error::Poisoned(Cause::Panicked));
    assert_eq!(poisoned().to_string(), Error::Poisoned(Cause::Panicked).to_string());
}
