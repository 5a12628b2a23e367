//! What lasts: millions of calls, counters that come round, and a thousand cells made and removed.

#[path = "../support/mod.rs"]
mod support;

mod counting;
mod cycles;
mod heap;
mod wrapping;

use pshared::backend::Backend;
use pshared::generic::{Barrier, Condvar, Event, Mutex, RwLock, Semaphore};
use pshared::{Cause, Error, LockError, ShmSafe};

use support::claims::{for_every_backend, in_processes};

#[global_allocator]
static HEAP: heap::Counted = heap::Counted;
