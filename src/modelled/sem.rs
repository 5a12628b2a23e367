//! POSIX semaphores, as [`sys::sem`](crate::sys::sem) offers them.

use nix::errno::Errno;
use nix::sys::time::TimeSpec;

use super::futex::{hear, ring};
use crate::sys::sem::Sem;

impl Sem {
    fn address(&self) -> usize {
        self.as_ptr().addr()
    }

    /// `sem_init`.
    ///
    /// # Safety
    ///
    /// None is needed here.
    pub(crate) unsafe fn init(&self, value: u32) -> Result<(), Errno> {
        ring(self.address(), value);
        Ok(())
    }

    /// `sem_destroy`.
    ///
    /// # Safety
    ///
    /// None is needed here.
    pub(crate) unsafe fn destroy(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// `sem_post`.
    pub(crate) fn post(&self) -> Result<(), Errno> {
        ring(self.address(), 1);
        Ok(())
    }

    /// `sem_trywait`: never has one, as nobody here calls it.
    pub(crate) fn try_wait(&self) -> Result<bool, Errno> {
        Ok(false)
    }

    /// `sem_clockwait`, for ever.
    pub(crate) fn wait(&self, _until: TimeSpec) -> Result<bool, Errno> {
        hear(self.address());
        Ok(true)
    }

    /// `sem_getvalue`.
    pub(crate) fn value(&self) -> Result<u32, Errno> {
        Ok(ring(self.address(), 0))
    }
}
