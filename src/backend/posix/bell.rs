//! A bell that is an unnamed semaphore.

use nix::errno::Errno;
use nix::sys::time::TimeSpec;

use crate::backend::watched::bell::{Bell, Heard};
use crate::error::{Error, Result};
use crate::sys;
use crate::sys::sem::Sem;

/// A `sem_t` whose value is the number of rings to hear.
#[repr(transparent)]
#[derive(Debug)]
pub struct SemBell(Sem);

impl Bell for SemBell {
    const BACKEND: &'static str = "POSIX semaphores";
    const NEW: Self = SemBell(Sem::new());

    fn wait(&self, until: TimeSpec) -> Result<Heard> {
        let rang = self.0.wait(until).map_err(|e| failed("sem_clockwait", e))?;
        Ok(if rang { Heard::Ring } else { Heard::Nothing })
    }

    fn ring(&self, times: u32) -> Result<()> {
        (0..times).try_for_each(|_| self.0.post()).map_err(|e| failed("sem_post", e))
    }

    fn unheard(&self) -> Result<u32> {
        self.0.value().map_err(|e| failed("sem_getvalue", e))
    }

    unsafe fn settle(&self) -> Result<()> {
        // SAFETY: handed through.
        unsafe { self.0.init(0) }.map_err(|e| failed("sem_init", e))
    }

    unsafe fn teardown(&self) {
        // SAFETY: settled, and handed through. It has nothing to give back, and fails on what isn't a semaphore only.
        let _ = unsafe { self.0.destroy() };
    }
}

fn failed(call: &'static str, errno: Errno) -> Error {
    sys::failed(call, "a lock's semaphore", errno, "somebody scribbled over it: make the region anew")
}
