//! `ShmString` and `ShmVec` behave as `String` and `Vec` do, whatever bytes they find.

mod format;
mod killed;
mod list;
mod string;

use std::borrow::Borrow;
use std::fmt::Debug;
use std::hash::{BuildHasher, Hash, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{ptr, slice};

use proptest::collection::vec;
use proptest::prelude::*;
use pshared::{Error, ShmData};

/// A value of any bytes. Only for types that take any.
fn from_bytes<V: ShmData>(bytes: &[u8]) -> V {
    assert_eq!(bytes.len(), size_of::<V>());
    // SAFETY: as many bytes as V has, and V, a string or a list of integers, takes any; tests of mixtures pass mixtures
    // of valid values, which ShmData takes.
    unsafe { ptr::read_unaligned(bytes.as_ptr().cast()) }
}

/// The bytes of a value. Only for types without padding.
fn bytes_of<V: ShmData>(value: &V) -> &[u8] {
    // SAFETY: all bytes of V belong to fields, which are initialised.
    unsafe { slice::from_raw_parts(ptr::from_ref(value).cast(), size_of::<V>()) }
}

/// The bytes of a whole string or list of `size` bytes: a length, often a sensible one, and anything after it.
fn any_bytes(size: usize) -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![any::<u32>(), 0..(size as u32 + 2)];
    (len, vec(any::<u8>(), size - 4)).prop_map(|(len, rest)| [&len.to_ne_bytes()[..], &rest].concat())
}

/// What a call did, in words that `String` and `Vec` share with ours.
#[derive(Debug, PartialEq)]
enum Outcome<R> {
    Done(R),
    Full,
    Panicked,
}

fn observe<R>(call: impl FnOnce() -> Result<R, Error>) -> Outcome<R> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(done)) => Outcome::Done(done),
        Ok(Err(Error::Full { capacity, needed, .. })) if needed > capacity => Outcome::Full,
        Ok(Err(other)) => panic!("an error that no list or string reports: {other}"),
        Err(_) => Outcome::Panicked,
    }
}

/// Runs `call` on the model, where a result that is too long is an error that changes nothing.
fn observe_model<M: Clone, R>(model: &mut M, fits: impl Fn(&M) -> bool, call: impl FnOnce(&mut M) -> R) -> Outcome<R> {
    let mut copy = model.clone();
    match catch_unwind(AssertUnwindSafe(|| call(&mut copy))) {
        Ok(_) if !fits(&copy) => Outcome::Full,
        Ok(done) => {
            *model = copy;
            Outcome::Done(done)
        }
        Err(_) => Outcome::Panicked,
    }
}

/// That equality, hashing and order are those of what the value borrows as.
fn assert_same<V, M>(value: &V, model: &M, copy: V)
where
    V: Borrow<M> + Eq + Ord + Hash + Debug,
    M: Hash + ?Sized,
{
    let hashes = RandomState::new();
    assert_eq!(*value, copy);
    assert!(value.cmp(&copy).is_eq() && value.partial_cmp(&copy).is_some_and(|o| o.is_eq()));
    assert_eq!(hashes.hash_one(value), hashes.hash_one(model));
}

fn mixture(a: &[u8], b: &[u8], from_a: &[bool]) -> Vec<u8> {
    a.iter().zip(b).zip(from_a).map(|((a, b), from_a)| if *from_a { *a } else { *b }).collect()
}
