//! The condition variable as a value: made, moved, shown; and its calls when nobody waits.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::thread;

use pshared::{Condvar, Error, Mutex, Shm, futex};

use super::{Duration, tid, wait_until_asleep_in_a_lock};
use crate::support::claims::Named;
use crate::support::watchdog::watch;

static_assertions::assert_impl_all!(Condvar: Send, Sync, UnwindSafe, RefUnwindSafe, Default, std::fmt::Debug);
static_assertions::assert_type_eq_all!(Condvar, futex::Condvar);
static_assertions::const_assert!(size_of::<Condvar>() <= 128);
static_assertions::const_assert!(!std::mem::needs_drop::<Condvar>());

static VALUE: Mutex<u32> = Mutex::new(0);
static CHANGED: Condvar = Condvar::new();

#[test]
fn a_static_needs_no_initialisation() {
    let _watchdog = watch(module_path!());
    let waiter = thread::spawn(|| drop(CHANGED.wait_while(VALUE.lock().unwrap(), |value| *value == 0).unwrap()));
    *VALUE.lock().unwrap() = 1;
    CHANGED.notify_all();
    waiter.join().unwrap();
}

#[test]
fn one_that_was_used_may_be_moved_and_used_again() {
    let _watchdog = watch(module_path!());
    let mut used = Condvar::default();
    for _ in 0..3 {
        let both = Arc::new((Mutex::new(false), used));
        let (theirs, (told, id)) = (Arc::clone(&both), std::sync::mpsc::channel());
        let waiter = thread::spawn(move || {
            told.send(tid()).unwrap();
            drop(theirs.1.wait_while(theirs.0.lock().unwrap(), |done| !*done).unwrap());
        });
        wait_until_asleep_in_a_lock(id.recv().unwrap());
        *both.0.lock().unwrap() = true;
        both.1.notify_one();
        waiter.join().unwrap();
        used = Arc::into_inner(both).unwrap().1;
    }
}

#[test]
fn it_shows_nothing_of_its_inside() {
    assert_eq!(format!("{:?}", Condvar::new()), "Condvar { .. }");
}

#[test]
fn zeroed_bytes_are_one_that_nobody_waits_for() {
    let _watchdog = watch(module_path!());
    let name = format!("pshared-condvar-zeroed-{}", std::process::id());
    let both = Shm::<Both>::create_zeroed(&name).unwrap();
    Shm::<Both>::remove(&name).unwrap();
    both.changed.notify_one();
    let (guard, result) = both.changed.wait_timeout(both.value.lock().unwrap(), Duration::from_millis(5)).unwrap();
    assert_eq!((*guard, result.timed_out()), (0, true));
}

#[repr(C)]
#[derive(pshared::ShmSafe)]
struct Both {
    value: Mutex<u32>,
    changed: Condvar,
}

#[test]
fn a_condvar_in_place_of_a_mutex_is_another_type() {
    mod other {
        #[repr(C)]
        #[derive(pshared::ShmSafe)]
        pub struct Both {
            value: pshared::Mutex<u32>,
            changed: pshared::Mutex<()>,
        }
    }
    let named = Named::create(|| Both { value: Mutex::new(0), changed: Condvar::new() });
    let refused = Shm::<other::Both>::open(&named.name).err().unwrap();
    assert!(matches!(refused, Error::Mismatch(_)) && refused.to_string().contains("changed"), "{refused}");
}
