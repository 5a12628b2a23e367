//! The only lock of a thread, from taking it to giving it back: the way of the uncontended.

use std::sync::atomic::{Ordering, compiler_fence};

use super::Alone;
use crate::backend::futex::held::Held;
use crate::backend::futex::robust::RobustWord;

impl Alone<'_> {
    /// Announces to the kernel that `lock` is being taken or given back.
    #[inline(always)]
    pub(crate) fn set_pending(&self, lock: &RobustWord) {
        self.head.pending.set(lock.entry());
        // The kernel reads it in this thread's own order: only the compiler could reorder.
        compiler_fence(Ordering::SeqCst);
    }

    /// Takes the announcement back.
    #[inline(always)]
    pub(crate) fn clear_pending(&self) {
        compiler_fence(Ordering::SeqCst);
        self.head.pending.set(0);
    }

    /// Puts a lock that this thread has just taken on the empty list.
    #[inline(always)]
    pub(crate) fn link(&self, lock: &RobustWord) {
        lock.set_next(self.head.address());
        compiler_fence(Ordering::SeqCst);
        self.head.next.set(lock.entry());
        self.first.lock.set(lock);
    }

    /// Whether this thread holds the only lock of its list more than once.
    #[inline(always)]
    pub(crate) fn holds_again(&self) -> bool {
        self.first.again.get() != 0
    }

    /// Takes the only lock off the list. It is held once.
    #[inline(always)]
    pub(crate) fn unlink(&self) {
        self.head.next.set(self.head.address());
        compiler_fence(Ordering::SeqCst);
        self.first.lock.set(std::ptr::null());
    }

    /// What this thread keeps of the only lock on its list.
    #[inline(always)]
    pub(crate) fn held(&self) -> Held {
        Held::alone(self.generation)
    }
}
