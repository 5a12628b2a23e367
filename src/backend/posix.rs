//! The backend on POSIX semaphores: a `sem_t` in the cell is the bell of primitives whose owners are watched.

mod bell;

pub(crate) use bell::SemBell;

use super::watched;
use crate::backend::Backend;

/// The backend on POSIX semaphores.
#[derive(Debug)]
pub enum Posix {}

impl Backend for Posix {
    const NAME: &'static str = "posix";
    type Mutex = watched::mutex::Mutex<SemBell>;
    type Semaphore = watched::semaphore::Semaphore<SemBell>;
    type Event = watched::event::Event<SemBell>;
    type Condvar = watched::condvar::Condvar<SemBell>;
    type Permits<const N: usize> = crate::backend::futex::permits::Slots<N>;
    type Barrier<const N: usize> = crate::backend::futex::barrier::Rounds<N>;
    type Once = crate::backend::futex::once::OnceWord;
    type RwLock<const READERS: usize> = watched::rwlock::RwLock<SemBell, READERS>;
}
