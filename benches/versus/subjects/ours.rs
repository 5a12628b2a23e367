//! Ours, in a cell, on each backend.

use std::hint::black_box;

use pshared::backend::Backend;
use pshared::{LockError, Shm, generic};

use super::{Lock, Subject};

/// The name of a type of ours; `$what` is the same for all backends.
macro_rules! name {
    ($what:literal, $backend:ty) => {
        match <$backend>::NAME.as_bytes() {
            b"futex" => concat!("pshared::", $what),
            b"pthread" => concat!("pshared::pthread::", $what),
            b"pthread-pi" => concat!("pshared::pthread::Pi", $what),
            b"sysv" => concat!("pshared::sysv::", $what),
            b"posix" => concat!("pshared::posix::", $what),
            _ => concat!("pshared, another ", $what),
        }
    };
}

pub struct Mutex<B: Backend>(Shm<generic::Mutex<u64, B>>);

impl<B: Backend> Subject for Mutex<B> {
    const NAME: &'static str = name!("Mutex", B);

    fn create(name: &str) -> Self {
        Mutex(Shm::create(name, || Ok(generic::Mutex::new(0))).unwrap())
    }

    fn open(name: &str) -> Self {
        Mutex(Shm::open(name).unwrap())
    }

    fn remove(name: &str) {
        Shm::<generic::Mutex<u64, B>>::remove(name).unwrap(); // with what the system holds for it
    }
}

impl<B: Backend> Lock for Mutex<B> {
    const BYTES: Option<usize> = Some(size_of::<generic::Mutex<(), B>>());

    #[inline(always)]
    fn section<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
        match black_box(&*self.0).lock() {
            Ok(mut number) => f(&mut number),
            Err(error) => f(&mut recovered(&self.0, error)),
        }
    }
}

/// After the death of the last holder.
#[cold]
fn recovered<'a, B: Backend>(
    mutex: &generic::Mutex<u64, B>,
    error: LockError<generic::MutexGuard<'a, u64, B>>,
) -> generic::MutexGuard<'a, u64, B> {
    let (number, _cause) = error.recover().unwrap();
    mutex.clear_poison();
    number
}
