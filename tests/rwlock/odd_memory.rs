//! Memory that is not what this process left: from before a reboot, or scribbled over.

use std::mem::forget;
use std::sync::atomic::{AtomicU32, Ordering};

use pshared::region::File;
use pshared::{Cause, Error, LockError, Shm};

use super::{cause, every_way, panic_quietly, panicking, ways_to_read, ways_to_write};
use crate::support::place::{Place, Scratch};
use crate::support::state::tid;
use crate::support::watchdog::watch;

type Lock = pshared::RwLock<u64, 2>;

/// B1 of the list of hazards, with every kind of owner that there may have been.
#[test]
fn b1_a_lock_of_an_earlier_boot_is_free_and_poisoned_and_its_data_is_kept() {
    let scratch = Scratch::new();
    let region = scratch.file().region(None);
    let before = Shm::create_in(&*region, || Ok([7, 8, 9, 10, 11].map(Lock::with_readers))).unwrap();
    forget(before[0].write().unwrap());
    forget((before[1].read().unwrap(), before[1].read().unwrap()));
    forget(before[2].upgradable_read().unwrap());
    panicking(|| {
        let _guard = before[3].write();
        panic_quietly();
    });

    // What a machine that went down now would leave.
    let Place::File(path) = scratch.file() else { unreachable!("it is a file") };
    let mut image = std::fs::read(path).unwrap();
    image[48..72].iter_mut().for_each(|byte| *byte ^= 0x5a); // the boot and the pid namespace
    let old = scratch.directory.join("old");
    std::fs::write(&old, image).unwrap();

    let open = || Shm::<[Lock; 5]>::open_in(&File::new(&old).unwrap()).unwrap();
    let after = open();
    for (n, lock) in (7..).zip(&*after) {
        assert!(!lock.is_locked() && lock.is_poisoned(), "{n}");
        let (guard, cause_told) = lock.try_write().expect_err("poisoned").recover().unwrap();
        assert_eq!((*guard, cause_told), (n, Cause::OwnerDied));
        drop(guard);
        assert_eq!(cause(lock.try_read()), Some(Cause::OwnerDied), "{n}");
        lock.clear_poison();
        let _two = (lock.try_read().unwrap(), lock.try_read().unwrap());
        std::thread::scope(|scope| {
            let place = scope.spawn(|| lock.try_read().is_ok());
            assert!(place.join().unwrap(), "{n}: of two places only one is free");
        });
    }

    // From now on it is of this boot: whoever opens it next resets nothing, and a death is told of.
    let guard = after[0].write().unwrap();
    let again = open();
    assert!(again[0].is_locked_exclusive());
    assert!(again[1..].iter().all(|lock| !lock.is_poisoned()));
    std::thread::scope(|scope| {
        // Joined: the scope doesn't wait for the end of the threads themselves.
        scope.spawn(|| forget(after[1].write().unwrap())).join().unwrap();
        scope.spawn(|| forget(after[2].read().unwrap())).join().unwrap();
    });
    assert_eq!(cause(again[1].try_write()), Some(Cause::OwnerDied));
    assert_eq!(cause(again[2].try_write()), None);
    drop(guard);
}

// Where a lock has what a peer may scribble over, in bytes: in the gate, and in a slot.
pub const WORD: usize = if cfg!(target_env = "musl") { 4 } else { 0 };
pub const SETTLED: usize = 4 - WORD;
const PHASE: usize = 40;
const USED: usize = 48;
pub const SLOT: usize = 64;
pub const STATE: usize = 40;
pub const NESTED: usize = 44;

/// What no thread's id is.
const NOBODY: [u32; 5] = [0x0040_0000, 0x1fff_ffff, 0x3fff_ffff, 0x8fff_0000, 0xffff_ffff];

pub fn field<T, const READERS: usize>(lock: &pshared::RwLock<T, READERS>, at: usize) -> &AtomicU32 {
    assert!(at < SLOT + 64 * READERS);
    // SAFETY: inside the lock, whose gate and slots are atomic words; aligned like them.
    unsafe { &*std::ptr::from_ref(lock).cast::<u8>().add(at).cast::<AtomicU32>() }
}

fn with_a_lock(body: impl Fn(&pshared::RwLock<u64, 64>)) {
    let region = pshared::region::Anonymous::new();
    body(&Shm::create_in(&region, || Ok(pshared::RwLock::new(0))).unwrap());
}

#[test]
fn u4_a_gate_that_names_nobody_is_an_error_once_and_poison_from_then_on() {
    let _watchdog = watch("u4_a_gate_that_names_nobody_is_an_error_once_and_poison_from_then_on");
    for word in NOBODY {
        for phase in [0, 1, 2, 3, 77] {
            for (name, way) in every_way() {
                with_a_lock(|lock| {
                    field(lock, WORD).store(word, Ordering::SeqCst);
                    field(lock, PHASE).store(phase, Ordering::SeqCst);
                    match way(lock) {
                        Err(LockError::Failed(Error::Corrupted { word: told })) => assert_eq!(told, word),
                        // A peer that marks the death itself has as good as told.
                        Err(LockError::Poisoned(_)) if word & 1 << 30 != 0 => {}
                        other => panic!(
                            "{name}, {word:#x} in phase {phase}: {:?}",
                            other.map(|guard| **guard).map_err(|e| e.to_string())
                        ),
                    }
                    assert_eq!(cause(way(lock)), Some(Cause::OwnerDied), "{name}");
                    lock.clear_poison();
                    every_way().iter().for_each(|(_, way)| assert_eq!(cause(way(lock)), None));
                });
            }
        }
    }
}

#[test]
fn u4_slots_that_name_nobody_keep_nobody_out() {
    let _watchdog = watch("u4_slots_that_name_nobody_keep_nobody_out");
    for word in NOBODY {
        for state in [0, 1, 77] {
            for (name, way) in every_way() {
                with_a_lock(|lock| {
                    field(lock, USED).store(u32::MAX, Ordering::SeqCst);
                    field(lock, USED + 4).store(u32::MAX, Ordering::SeqCst);
                    for slot in (0..64).map(|at| SLOT + 64 * at) {
                        field(lock, slot + WORD).store(word, Ordering::SeqCst);
                        field(lock, slot + STATE).store(state, Ordering::SeqCst);
                        field(lock, slot + NESTED).store(word, Ordering::SeqCst);
                    }
                    assert_eq!(cause(way(lock)), None, "{name}, {word:#x} in state {state}");
                    assert_eq!(cause(lock.upgradable_read()), None);
                    every_way().iter().for_each(|(_, way)| assert_eq!(cause(way(lock)), None));
                    assert!(!lock.is_poisoned());
                });
            }
        }
    }
}

/// A thread would wait for itself.
#[test]
fn u4_slots_that_name_the_caller_are_refused() {
    let _watchdog = watch("u4_slots_that_name_the_caller_are_refused");
    for (name, way) in every_way() {
        with_a_lock(|lock| {
            let slots = (0..64).map(|at| field(lock, SLOT + 64 * at + WORD));
            field(lock, USED).store(u32::MAX, Ordering::SeqCst);
            field(lock, USED + 4).store(u32::MAX, Ordering::SeqCst);
            slots.clone().for_each(|slot| slot.store(tid(), Ordering::SeqCst));
            let refused = way(lock).map(|guard| **guard).map_err(|e| e.map(drop)).expect_err(name);
            let expected = if name.starts_with("try_") && !name.contains("_for") && !name.contains("_until") {
                matches!(refused, LockError::WouldBlock)
            } else {
                matches!(refused, LockError::WouldDeadlock | LockError::TimedOut)
            };
            assert!(expected, "{name}: {refused:?}");
            slots.clone().for_each(|slot| slot.store(0, Ordering::SeqCst));
            every_way().iter().for_each(|(_, way)| assert_eq!(cause(way(lock)), None));
        });
    }
    with_a_lock(|lock| {
        let guard = lock.upgradable_read().unwrap();
        field(lock, USED).store(1, Ordering::SeqCst);
        field(lock, SLOT + WORD).store(tid(), Ordering::SeqCst);
        let refused = pshared::RwLockUpgradableReadGuard::upgrade(guard).map(drop);
        assert!(refused.is_err(), "it would wait for itself");
    });
}

/// What is held while its words change is given back without harm, and nobody is locked out for ever.
#[test]
fn u4_guards_of_scribbled_words_can_be_dropped() {
    let _watchdog = watch("u4_guards_of_scribbled_words_can_be_dropped");
    for word in NOBODY.into_iter().chain([0, 1 << 30, 1 << 31]) {
        for (name, way) in ways_to_read().into_iter().chain(ways_to_write()) {
            with_a_lock(|lock| {
                let guard = way(lock).unwrap_or_else(|e| panic!("{name}: {e}"));
                for at in (0..=64).map(|at| 64 * at) {
                    field(lock, at + WORD).store(word, Ordering::SeqCst);
                }
                drop(guard);
                for (_, way) in every_way() {
                    // Whatever it says first.
                    let _ = way(lock).map(drop);
                }
                lock.clear_poison();
                every_way().iter().for_each(|(_, way)| assert_eq!(cause(way(lock)), None, "{name}, {word:#x}"));
            });
        }
    }
}
