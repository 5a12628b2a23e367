//! What POSIX semaphores by name promise: alone, between processes, and together with programs in C.

#[path = "../support/mod.rs"]
mod support;

mod named;
mod with_c;

use std::sync::atomic::{AtomicU32, Ordering};

use pshared::posix::NamedSemaphore;

/// A name of its own, which goes away with it.
struct Name(String);

impl Name {
    fn new() -> Name {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        Name(format!("pshared-named-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)))
    }

    fn create(&self, value: u32) -> NamedSemaphore {
        NamedSemaphore::create(&self.0, 0o600, value).unwrap()
    }

    /// Where glibc keeps it.
    fn file(&self) -> String {
        format!("/dev/shm/sem.{}", self.0)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = NamedSemaphore::remove(&self.0); // a test may have done it
    }
}
