//! What threads of one process have: a reference, as these can't be shared by processes.

use std::any::Any;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, LazyLock, Mutex as StdMutex};

use super::{Lock, Reach, Subject};

/// Where a thread finds what another one has created.
static CREATED: LazyLock<StdMutex<HashMap<String, Arc<dyn Any + Send + Sync>>>> = LazyLock::new(Default::default);

/// A new `T` that other threads find by `name`.
pub fn create<T: Send + Sync + 'static>(name: &str, it: T) -> Arc<T> {
    let it = Arc::new(it);
    CREATED.lock().unwrap().insert(name.into(), it.clone());
    it
}

/// The `T` of this name.
pub fn open<T: Send + Sync + 'static>(name: &str) -> Arc<T> {
    CREATED.lock().unwrap()[name].clone().downcast().unwrap()
}

/// Forgets the name.
pub fn remove(name: &str) {
    CREATED.lock().unwrap().remove(name);
}

macro_rules! of_threads {
    ($subject:ident, $name:literal, $lock:ident :: $mutex:ident, $($unwrap:tt)*) => {
        pub struct $subject(Arc<$lock::$mutex<u64>>);

        impl Subject for $subject {
            const NAME: &'static str = $name;
            const REACH: Reach = Reach::Threads;

            fn create(name: &str) -> Self {
                $subject(create(name, $lock::$mutex::new(0)))
            }

            fn open(name: &str) -> Self {
                $subject(open(name))
            }

            fn remove(name: &str) {
                remove(name);
            }
        }

        impl Lock for $subject {
            const BYTES: Option<usize> = Some(size_of::<$lock::$mutex<()>>());

            #[inline(always)]
            fn section<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
                f(&mut black_box(&*self.0).lock() $($unwrap)*)
            }
        }
    };
}

use std::sync;

of_threads!(Std, "threads only: std::sync::Mutex", sync::Mutex, .unwrap());
of_threads!(ParkingLot, "threads only: parking_lot::Mutex", parking_lot::Mutex,);
