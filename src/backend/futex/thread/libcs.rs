//! Mutexes of libc's that this library takes: libc puts them on the list, and they are taken off by the record.

use std::sync::atomic::{Ordering, compiler_fence};

use super::Thread;
use crate::backend::futex::robust::RobustWord;
use crate::error::{Error, Result};
use crate::sys;

impl Thread {
    /// Whether libc knows this thread, and one more of its mutexes has room without [`Thread::reserve_for_libc`].
    #[inline(always)]
    pub(crate) fn has_room_for_libc(&self) -> bool {
        self.by_libc.get() && self.has_room()
    }

    /// Makes sure that this thread may take one more of libc's mutexes.
    pub(crate) fn reserve_for_libc(&self) -> Result<()> {
        if !self.by_libc.get() {
            let known = sys::pthread::id_of_this_thread().map_err(|errno| {
                sys::failed("pthread_mutex_lock", "a mutex to try it", errno, "this libc must have robust mutexes")
            })?;
            if known != self.tid() {
                return Err(Error::Unsupported {
                    what: "a mutex of libc's".into(),
                    why: "this process was made by a bare clone, so libc doesn't know its threads: use fork, or a lock on futexes",
                });
            }
            self.by_libc.set(true);
        }
        self.reserve()
    }

    /// The first entry of the list.
    #[inline(always)]
    pub(crate) fn first(&self) -> usize {
        self.head().next.get()
    }

    /// This thread has had libc take one of its mutexes, for which there is room, when the list began with `before`; `tag`
    /// is what its entry has in bit 0. Says whether libc has put it on the list.
    #[inline(always)]
    pub(crate) fn libc_took(&self, mutex: &RobustWord, tag: usize, before: usize) -> bool {
        if self.first() != mutex.entry() | tag {
            return false;
        }
        let held = self.held();
        let foreign = before != self.place(held).entry();
        self.among_foreign.set(foreign || held > 0 && self.among_foreign.get());
        self.place(held + 1).set(std::ptr::from_ref(mutex).map_addr(|address| address | tag), 0);
        self.more.set(held as u32);
        true
    }

    /// Announces to the kernel that this thread gives back one of libc's mutexes, and takes it off the list: what libc would
    /// do by the links that stand in it, where anybody may have written, is done by the record.
    #[inline(always)]
    pub(crate) fn unlink_libcs(&self, mutex: &RobustWord, tag: usize) {
        self.head().pending.set(mutex.entry() | tag);
        compiler_fence(Ordering::SeqCst);
        self.unlink_from_middle(mutex.entry());
    }
}
