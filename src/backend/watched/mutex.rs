//! Mutual exclusion: an owner word, and a bell for those who wait.
//!
//! Killed at any point, a thread leaves the word as it was before the step or after it: owned by one that is gone, which the
//! next slice of any waiter finds out, or free with the wake-up not sent, which costs a slice.
//!
//! The protocol is `tests/models/watched.py`.

use std::sync::atomic::Ordering;

use super::Identity;
use super::bell::Bell;
use super::owner::{OWNER_DIED, OwnerWord, WAITERS, owner};
use super::waiting::{Waiting, deadline_of};
use crate::backend::futex::held::Held;
use crate::backend::futex::thread;
use crate::backend::{Acquired, RawMutex, Refused};
use crate::deadline::{Deadline, Patience};
use crate::error::Result;
use crate::sys;

/// A mutex. All zero when free and unsettled.
#[repr(C)]
#[derive(Debug)]
pub struct Mutex<B: Bell> {
    word: OwnerWord,
    waiting: Waiting<B>,
}

// SAFETY: invariant 1 of the owner word: it goes from free to one thread's identity by that thread, and back by that
// thread or after its end.
unsafe impl<B: Bell> RawMutex for Mutex<B> {
    const UNLOCKED: Self = Mutex { word: OwnerWord::new(), waiting: Waiting::new() };
    type Held = Held;

    #[inline(always)]
    fn lock_at_once(&self) -> Option<Held> {
        thread::with(|me| {
            let identity = self.waiting.enter_at_once(me)?;
            self.word.take_at_once(identity).then(|| me.held_unlinked())
        })
    }

    #[cold]
    fn lock(&self, patience: Patience) -> Result<Acquired<Held>, Refused> {
        thread::with(|me| {
            let identity = self.waiting.enter(me)?;
            let mut spin = self.waiting.spin();
            let mut waiters = 0;
            loop {
                let word = self.word.load(Ordering::Relaxed);
                let Some(owner) = owner(word) else {
                    if self.word.take(word, identity, waiters) {
                        spin.paid();
                        return Ok(Acquired { held: me.held_unlinked(), owner_died: word & OWNER_DIED != 0 });
                    }
                    continue;
                };
                if owner == identity {
                    return Err(patience.refuse_own());
                }
                let deadline = deadline_of(patience);
                let is_over = matches!(patience, Patience::None) || deadline.is_some_and(Deadline::has_passed);
                if !is_over && spin.pause() {
                    continue;
                }
                if is_over {
                    if self.word.bury_if_gone(word) {
                        continue;
                    }
                    return Err(if deadline.is_some() { Refused::TimedOut } else { Refused::WouldBlock });
                }
                let asleep = word | WAITERS;
                if word != asleep && !self.word.replace(word, asleep) {
                    continue;
                }
                spin.failed();
                self.waiting.sleep_if(|| self.word.load(Ordering::SeqCst) == asleep, deadline)?;
                if self.waiting.is_time_to_look() {
                    self.word.bury_if_gone(asleep);
                }
                waiters = WAITERS; // there may be more who sleep, and the ring was for one
                spin = self.waiting.spin();
            }
        })
    }

    #[inline(always)]
    unsafe fn unlock(&self, held: Held) {
        thread::with(|me| {
            // The holder's identity is known, or this is the copy of what a parent holds.
            let Some(identity) = me.identity().filter(|_| me.is_holder(held)) else { return };
            if self.word.release(identity) {
                self.waiting.wake(1);
            }
        });
    }

    #[inline]
    fn mark(held: Held) -> Held {
        held.mark()
    }

    #[inline]
    fn is_marked(held: Held) -> bool {
        held.is_marked()
    }

    fn is_inherited(&self, held: Held) -> bool {
        held.is_inherited()
    }

    fn held_here(&self) -> Option<Held> {
        thread::with(|me| {
            let mine = owner(self.word.load(Ordering::Relaxed))? == me.identity()?;
            mine.then(|| me.held_unlinked())
        })
    }

    fn is_locked(&self) -> bool {
        self.owner_thread().is_some()
    }

    fn owner_died(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        word & OWNER_DIED != 0 || self.waiting.is_open_here() && owner(word).is_some_and(Identity::is_gone)
    }

    fn forget_death(&self) {
        if !self.waiting.is_open_here() {
            return; // the owner may be alive where it is known
        }
        self.word.bury_if_gone(self.word.load(Ordering::Relaxed));
        self.word.forget_death();
    }

    fn owner_thread(&self) -> Option<u32> {
        let owner =
            owner(self.word.load(Ordering::Relaxed)).filter(|owner| !(self.waiting.is_open_here() && owner.is_gone()));
        owner.map(Identity::thread)
    }

    fn owner_process(&self) -> Option<u32> {
        self.owner_thread().and_then(sys::thread::process_of)
    }

    unsafe fn settle(&self) -> Result<()> {
        self.word.clear();
        // SAFETY: handed through.
        unsafe { self.waiting.settle() }
    }

    unsafe fn teardown(&self) {
        // SAFETY: handed through.
        unsafe { self.waiting.teardown() };
    }
}
