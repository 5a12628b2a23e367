//! What threads of one process have.

use std::hint::black_box;
use std::sync::{self, Arc};

use super::ReadWrite;
use crate::subjects::{Reach, Subject, threads};

macro_rules! of_threads {
    ($subject:ident, $name:literal, $lock:ident :: $rwlock:ident, $($unwrap:tt)*) => {
        pub struct $subject(Arc<$lock::$rwlock<[u64; 2]>>);

        impl Subject for $subject {
            const NAME: &'static str = $name;
            const REACH: Reach = Reach::Threads;

            fn create(name: &str) -> Self {
                $subject(threads::create(name, $lock::$rwlock::new([0; 2])))
            }

            fn open(name: &str) -> Self {
                $subject(threads::open(name))
            }

            fn remove(name: &str) {
                threads::remove(name);
            }
        }

        impl ReadWrite for $subject {
            fn bytes() -> Option<usize> {
                Some(size_of::<$lock::$rwlock<()>>())
            }

            #[inline(always)]
            fn reading<R>(&self, f: impl FnOnce(&[u64; 2]) -> R) -> R {
                f(&black_box(&*self.0).read() $($unwrap)*)
            }

            #[inline(always)]
            fn writing<R>(&self, f: impl FnOnce(&mut [u64; 2]) -> R) -> R {
                f(&mut black_box(&*self.0).write() $($unwrap)*)
            }
        }
    };
}

of_threads!(Std, "threads only: std::sync::RwLock", sync::RwLock, .unwrap());
of_threads!(ParkingLot, "threads only: parking_lot::RwLock", parking_lot::RwLock,);
