//! `pthread_mutex_t`s in shared memory: libc does what their kind says and follows the links that stand in them, so both are
//! looked at or left alone, with chosen values here.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicUsize};

use pshared::backend::pthread::{Pthread, PthreadPi};
use pshared::backend::{Backend, RawPthread};
use pshared::generic::Mutex;
use pshared::region::Anonymous;
use pshared::{Cause, Error, LockError, Shm};

use crate::bodies::robust_head;
use crate::robust::Robust;
use crate::scene::{OWNER_DIED, alone, die, fork};
use crate::support::fenced::Fenced;
use crate::support::place::Scratch;

/// Whether the kernel has marked the word of one that is gone.
fn is_marked(word: &AtomicU32) -> bool {
    word.load(SeqCst) == OWNER_DIED
}

/// What glibc has at these places of a `pthread_mutex_t`, in bytes from its start.
const WORD: usize = 0;
const KIND: usize = 16;
const PREVIOUS: usize = 24;
const NEXT: usize = 32;

type Locks<B> = [Mutex<u64, B>; 3];

fn locks<B: Backend>() -> Shm<Locks<B>> {
    Shm::create_in(&Anonymous::new(), || Ok([0, 1, 2].map(Mutex::new))).unwrap()
}

fn word<B: Backend>(lock: &Mutex<u64, B>, at: usize) -> &AtomicU32
where
    B::Mutex: RawPthread,
{
    // SAFETY: a word of the mutex, aligned, and written atomically by everybody.
    unsafe { AtomicU32::from_ptr(lock.raw_mutex().byte_add(at).cast()) }
}

fn link<B: Backend>(lock: &Mutex<u64, B>, at: usize) -> &AtomicUsize
where
    B::Mutex: RawPthread,
{
    // SAFETY: as above.
    unsafe { AtomicUsize::from_ptr(lock.raw_mutex().byte_add(at).cast()) }
}

fn links_lead_anywhere<B: Backend>()
where
    B::Mutex: RawPthread,
{
    alone(|| {
        let canary = Fenced::new(1);
        let shm = locks::<B>();
        let unmapped = canary.word(0).addr() - 8;
        let private = canary.word(300).addr();
        let entries = shm.each_ref().map(|lock| lock.raw_mutex().addr() + NEXT);
        let pointers =
            [0, 1, 16, unmapped, private, private + 1, private + 4, usize::MAX, 1 << 63, entries[1], entries[2]];
        for pointer in pointers {
            for at in [PREVIOUS, NEXT] {
                for first in 0..3 {
                    for scribbled in 0..3 {
                        let what = format!("{pointer:#x} at {at} of {scribbled}, {first} given back first");
                        let mut guards = shm.each_ref().map(|lock| Some(lock.lock().unwrap()));
                        link(&shm[scribbled], at).store(pointer, SeqCst);
                        guards[first] = None;
                        drop(guards);
                        assert_eq!(canary.written(&[]), vec![], "{what}: wrote outside");
                        assert_eq!(robust_head(), (None, 0), "{what}");
                        for lock in &*shm {
                            assert_eq!(word(lock, WORD).load(SeqCst), 0, "{what}: is free");
                            *lock.lock().unwrap() += 1;
                        }
                        Robust::new().use_up();
                    }
                }
            }
        }
    });
}

#[test]
fn giving_back_writes_nothing_where_a_scribbled_link_leads() {
    links_lead_anywhere::<Pthread>();
}

#[test]
fn nor_with_priority_inheritance() {
    links_lead_anywhere::<PthreadPi>();
}

fn any_kind<B: Backend>()
where
    B::Mutex: RawPthread,
{
    alone(|| {
        let shm = locks::<B>();
        let lock = &shm[0];
        let good = word(lock, KIND).load(SeqCst);
        for kind in (0..512).chain([u32::MAX, 1 << 31]).filter(|kind| *kind != good) {
            for held in [false, true] {
                let guard = held.then(|| lock.lock().unwrap());
                word(lock, KIND).store(kind, SeqCst);
                drop(guard);
                match lock.lock() {
                    Err(LockError::Failed(Error::Corrupted { word })) => assert_eq!(word, kind),
                    other => panic!("of kind {kind}: {other:?}"),
                }
                assert_eq!(word(lock, KIND).load(SeqCst), good, "put right");
                match lock.lock() {
                    Err(LockError::Poisoned(poison)) => assert_eq!(poison.cause(), Cause::OwnerDied),
                    other => panic!("of kind {kind}: {other:?}"),
                }
                lock.clear_poison();
                assert_eq!(robust_head(), (None, 0));
            }
        }
        *lock.lock().unwrap() += 1;
    });
}

#[test]
fn a_mutex_of_another_kind_is_reported_once_put_right_and_poisoned() {
    any_kind::<Pthread>();
}

#[test]
fn one_with_priority_inheritance_as_well() {
    any_kind::<PthreadPi>();
}

#[test]
fn one_that_was_scribbled_free_is_not_taken_twice_and_leaves_its_owners_list() {
    alone(|| {
        let shm = locks::<Pthread>();
        let guards = shm.each_ref().map(|lock| lock.lock().unwrap());
        word(&shm[1], WORD).store(0, SeqCst);
        assert!(matches!(shm[1].lock(), Err(LockError::Failed(Error::Corrupted { .. }))));
        drop(guards);
        assert_eq!(robust_head(), (None, 0));
        shm.iter().for_each(|lock| *lock.lock().unwrap() += 1);
        Robust::new().use_up();
    });
}

#[test]
fn the_memory_of_a_forgotten_one_that_reads_free_is_kept_for_the_list_it_is_on() {
    alone(|| {
        let scratch = Scratch::new();
        let region = scratch.posix().region(None);
        let others = locks::<Pthread>();
        fork(|| {
            let older = others[0].lock().unwrap();
            let _left = others[1].lock().unwrap();
            let shm = Shm::create_in(&*region, || Ok([0, 1, 2].map(Mutex::new))).unwrap();
            let forgotten: &Locks<Pthread> = &shm;
            std::mem::forget(forgotten[0].lock().unwrap());
            word(&forgotten[0], WORD).store(0, SeqCst);
            drop(shm);
            drop(older);
            Robust::new().use_up();
            let _newest = others[2].lock().unwrap();
            die()
        })
        .killed();
        assert!(!is_marked(word(&others[0], WORD)));
        assert!(is_marked(word(&others[1], WORD)) && is_marked(word(&others[2], WORD)));
    });
}
