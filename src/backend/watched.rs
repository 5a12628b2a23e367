//! Primitives whose owners are watched: for every mechanism of sleeping and waking that doesn't tell when an owner dies.
//!
//! Each is written once, over a [`Bell`](bell::Bell), which is all that a backend has to bring: POSIX semaphores, SysV
//! semaphores. Who owns something stands in a word ([`owner`]), as an [`Identity`] that no other thread ever has; who
//! waits sleeps in slices ([`waiting`]) and looks whether the owner still exists. So a death is noticed within a slice,
//! and every wake-up that is lost with somebody who is killed costs one.

pub(crate) mod barrier;
pub(crate) mod bell;
pub(crate) mod condvar;
pub(crate) mod event;
mod identity;
pub(crate) mod mutex;
pub(crate) mod once;
mod owner;
pub(crate) mod permits;
pub(crate) mod rwlock;
pub(crate) mod semaphore;
pub(crate) mod waiting;

pub(crate) use identity::{IDENTITY_BITS, Identity};

/// Makes a backend of the watched primitives over a bell, with a mutex of its own if it has one.
macro_rules! watched_backend {
    ($backend:ty, $name:literal, $bell:ty) => {
        $crate::backend::watched::watched_backend!(
            $backend,
            $name,
            $bell,
            $crate::backend::watched::mutex::Mutex<$bell>
        );
    };
    ($backend:ty, $name:literal, $bell:ty, $mutex:ty) => {
        impl $crate::backend::Backend for $backend {
            const NAME: &'static str = $name;
            type Mutex = $mutex;
            type Semaphore = $crate::backend::watched::semaphore::Semaphore<$bell>;
            type Event = $crate::backend::watched::event::Event<$bell>;
            type Condvar = $crate::backend::watched::condvar::Condvar<$bell>;
            type Permits<const N: usize> = $crate::backend::watched::permits::Permits<$bell, N>;
            type Barrier<const N: usize> = $crate::backend::watched::barrier::Barrier<$bell, N>;
            type Once = $crate::backend::watched::once::Once<$bell>;
            type RwLock<const READERS: usize> = $crate::backend::watched::rwlock::RwLock<$bell, READERS>;
        }
    };
}
pub(in crate::backend) use watched_backend;
