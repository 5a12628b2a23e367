//! One more lock of a thread that holds a few, from taking it to giving it back: the way of the uncontended beside others.

use std::ops::Range;
use std::sync::atomic::{Ordering, compiler_fence};

use super::{FEW, Place, Thread};
use crate::backend::futex::held::Held;
use crate::backend::futex::robust::RobustWord;
use crate::sys::robust_list::Head;

/// A thread whose state is fresh and which holds a few locks, the newest of them in front of its list, with room for
/// another in the record.
pub(crate) struct Beside<'a> {
    me: &'a Thread,
    head: &'a Head,
    held: &'a [Place],
    /// The place of the next.
    free: &'a Place,
}

impl Thread {
    #[inline(always)]
    pub(crate) fn beside(&self) -> Option<Beside<'_>> {
        if !self.is_fresh() {
            return None;
        }
        let head = self.head();
        let newest = 1 + self.more.get() as usize;
        if newest >= FEW {
            return None;
        }
        // Where none of ours is on the list, the place is empty, which is no entry's.
        let (held, free) = (&self.few[1..=newest], &self.few[newest + 1]);
        (head.next.get() == held[newest - 1].entry()).then_some(Beside { me: self, head, held, free })
    }

    /// Announces that this thread gives back a lock of its list and takes it off, if it is the newest, in front of the list,
    /// and another of ours is next.
    #[inline(always)]
    pub(crate) fn unlink_beside(&self, lock: &RobustWord) -> bool {
        let head = self.head();
        let newest = 1 + self.more.get() as usize;
        if !(2..=FEW).contains(&newest) || head.next.get() != lock.entry() {
            return false;
        }
        let below = self.few[newest - 1].entry();
        if self.few[newest].entry() != lock.entry() || lock.next() != below {
            return false;
        }
        head.pending.set(lock.entry());
        self.more.set(newest as u32 - 2); // first, lest a signal handler's unlock puts the lock back in front
        compiler_fence(Ordering::SeqCst);
        head.next.set(below);
        compiler_fence(Ordering::SeqCst);
        true
    }
}

impl Beside<'_> {
    /// Whether this thread holds the lock.
    #[inline(always)]
    pub(crate) fn has(&self, lock: &RobustWord) -> bool {
        self.held.iter().any(|place| place.entry() & !1 == lock.entry())
    }

    /// Whether this thread holds a lock whose entry is among these addresses.
    #[inline(always)]
    pub(crate) fn has_within(&self, addresses: &Range<usize>) -> bool {
        self.held.iter().any(|place| addresses.contains(&place.entry()))
    }

    /// Announces to the kernel that `lock` is being taken.
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

    /// Puts a lock that this thread has just taken on the list, in front of its others.
    #[inline(always)]
    pub(crate) fn link(&self, lock: &RobustWord) -> Held {
        lock.set_next(self.head.next.get());
        compiler_fence(Ordering::SeqCst);
        self.head.next.set(lock.entry());
        self.free.set(lock, 0);
        self.me.more.set(self.held.len() as u32);
        self.me.held_linked()
    }
}
