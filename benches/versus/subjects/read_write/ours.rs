//! Ours, in a cell, on each backend.

use std::hint::black_box;

use pshared::backend::Backend;
use pshared::{Shm, generic};

use super::ReadWrite;
use crate::subjects::Subject;

type Lock<B> = generic::RwLock<[u64; 2], B, 64>;

pub struct RwLock<B: Backend>(Shm<Lock<B>>);

impl<B: Backend> Subject for RwLock<B> {
    const NAME: &'static str = name!("RwLock", B);

    fn create(name: &str) -> Self {
        RwLock(Shm::create(name, || Ok(Lock::new([0; 2]))).unwrap())
    }

    fn open(name: &str) -> Self {
        RwLock(Shm::open(name).unwrap())
    }

    fn remove(name: &str) {
        Shm::<Lock<B>>::remove(name).unwrap(); // with what the system holds for it
    }
}

impl<B: Backend> ReadWrite for RwLock<B> {
    fn bytes() -> Option<usize> {
        Some(size_of::<generic::RwLock<(), B, 64>>())
    }

    #[inline(always)]
    fn reading<R>(&self, f: impl FnOnce(&[u64; 2]) -> R) -> R {
        match black_box(&*self.0).read() {
            Ok(numbers) => f(&numbers),
            Err(error) => f(&error.recover().unwrap().0), // after a writer's death
        }
    }

    #[inline(always)]
    fn writing<R>(&self, f: impl FnOnce(&mut [u64; 2]) -> R) -> R {
        f(&mut black_box(&*self.0).write().unwrap())
    }
}
