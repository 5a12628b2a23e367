//! Shared memory that workers find by its name, and that is gone when the boss is.

use std::ops::Deref;
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use pshared::{Result, Shm, ShmSafe};

/// A value in shared memory, its name kept for as long as a worker may have to be started.
pub struct Named<T: ShmSafe> {
    memory: Shm<T>,
    name: String,
}

impl<T: ShmSafe> Named<T> {
    /// Creates it, under a name of its own that begins with `what`.
    pub fn create(what: &str, init: impl FnOnce() -> T) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("{what}-{}-{}", process::id(), now.as_nanos());
        let memory = Shm::create(&name, || Ok(init()))?;
        Ok(Named { memory, name })
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<T: ShmSafe> Deref for Named<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.memory
    }
}

impl<T: ShmSafe> Drop for Named<T> {
    fn drop(&mut self) {
        // Not there any more is as good.
        let _ = Shm::<T>::remove(&self.name);
    }
}
