//! What is done once: an owner word that ends in a value which is nobody's, and a bell for those who wait.
//!
//! # State
//!
//! | word | meaning |
//! |---|---|
//! | 0 | nobody is at it |
//! | D | nobody is at it; the last who was died |
//! | identity | that thread is at it |
//! | [`COMPLETE`] | it is done, for good |
//!
//! # Invariants
//!
//! 1. The word is as an owner word is, but that its owner may put COMPLETE there, which nobody takes out again.
//! 2. Who sleeps is counted before it looks at the word for the last time; who changes it looks at the count afterwards and
//!    wakes everybody: who may do it and who only waits sleep on one bell, and a ring may be heard by either.
//! 3. Who only waits asks whether there is hope after it has seen the word free, and once more after it is counted: hope is
//!    given up before the word is.
//! 4. Killed at any point, a thread leaves the word as it was or changed: owned by one that is gone, which the next slice of
//!    anybody finds out, or changed and the bell not rung, which costs a slice.
//!
//! The protocol is `tests/models/watched.py`.
//!
//! # Memory orderings
//!
//! SeqCst, for invariant 2; that it is complete is read with Acquire.

use std::sync::atomic::Ordering;

use super::Identity;
use super::bell::{Bell, Heard};
use super::owner::{OWNER_DIED, OwnerWord, owner};
use super::waiting::{Waiting, deadline_of};
use crate::backend::futex::held::Held;
use crate::backend::futex::spin::Spin;
use crate::backend::futex::thread;
use crate::backend::{Acquired, Begun, Outcome, RawOnce, Refused};
use crate::deadline::{Deadline, Patience};
use crate::error::{Error, Result};

/// An identity of thread 0, which no thread has.
const COMPLETE: u64 = 1 << 32;

/// Something that is done once. All zero when nobody has begun and unsettled.
#[repr(C)]
#[derive(Debug)]
pub struct Once<B: Bell> {
    word: OwnerWord,
    waiting: Waiting<B>,
}

impl<B: Bell> Once<B> {
    const fn with(word: u64) -> Self {
        Once { word: OwnerWord::holding(word), waiting: Waiting::new() }
    }

    fn wake(&self) {
        if !self.waiting.is_empty() {
            self.waiting.wake_all();
        }
    }

    /// Frees the word, seen as `word`, if its owner is gone, and wakes those who may do it instead; says whether it is worth
    /// another look.
    #[cold]
    fn bury_if_gone(&self, word: u64) -> bool {
        let buried = word != COMPLETE && self.word.bury_if_gone(word);
        if buried {
            self.wake();
        }
        buried
    }

    /// Waits for the word to be another than `word`, or for hope to be gone, which is so by now or isn't; or refuses to.
    fn pass_the_time<'a>(
        &'a self,
        word: u64,
        hopeless: impl Fn() -> bool,
        patience: Patience,
        spin: &mut Spin<'a>,
        passes: &mut u32,
    ) -> Result<(), Refused> {
        let deadline = deadline_of(patience);
        let is_over = matches!(patience, Patience::None) || deadline.is_some_and(Deadline::has_passed);
        if !is_over && spin.pause() {
            return Ok(());
        }
        if is_over {
            if self.bury_if_gone(word) {
                return Ok(());
            }
            return Err(if deadline.is_some() { Refused::TimedOut } else { Refused::WouldBlock });
        }
        spin.failed();
        // One may have taken a word that was free, and given it up without hope, before this one was counted.
        let is_same = || self.word.load(Ordering::SeqCst) == word && !(owner(word).is_none() && hopeless());
        if self.waiting.sleep_if(is_same, deadline)? == Heard::Ring && is_same() {
            // Who only waits would otherwise hear, ring after ring, what is for one who may do it.
            self.waiting.pass_on(passes);
        }
        if self.waiting.is_time_to_look() {
            self.bury_if_gone(word);
        }
        *spin = self.waiting.spin();
        Ok(())
    }
}

// SAFETY: the owner word's invariant 1, where COMPLETE is an owner that never goes; it is put there by the owner only.
unsafe impl<B: Bell> RawOnce for Once<B> {
    const NEW: Self = Once::with(0);
    const COMPLETE: Self = Once::with(COMPLETE);
    type Held = Held;

    #[inline]
    fn is_complete(&self) -> bool {
        self.word.load(Ordering::Acquire) == COMPLETE
    }

    #[cold]
    fn begin(&self, patience: Patience) -> Result<Begun<Held>, Refused> {
        thread::with(|me| {
            let identity = self.waiting.enter(me)?;
            let mut spin = self.waiting.spin();
            let mut passes = 0;
            loop {
                let word = self.word.load(Ordering::SeqCst);
                if word == COMPLETE {
                    spin.paid();
                    return Ok(Begun::Complete);
                }
                match owner(word) {
                    None => {
                        if self.word.take(word, identity, 0) {
                            let owner_died = word & OWNER_DIED != 0;
                            return Ok(Begun::Mine(Acquired { held: me.held_unlinked(), owner_died }));
                        }
                        continue;
                    }
                    Some(owner) if owner == identity => return Err(patience.refuse_own()),
                    Some(_) => {}
                }
                self.pass_the_time(word, || false, patience, &mut spin, &mut passes)?;
            }
        })
    }

    unsafe fn complete(&self, held: Held) -> Result<()> {
        thread::with(|me| {
            let Some(identity) = me.identity().filter(|_| me.is_holder(held)) else { return Err(Error::Inherited) };
            self.word.hand_over(identity, COMPLETE).map_err(|word| Error::Corrupted { word: word as u32 })?;
            self.wake();
            Ok(())
        })
    }

    unsafe fn give_up(&self, held: Held) {
        thread::with(|me| {
            // The holder's identity is known, or this is the copy of what a parent has begun.
            let Some(identity) = me.identity().filter(|_| me.is_holder(held)) else { return };
            self.word.release(identity);
            self.wake();
        });
    }

    fn is_inherited(&self, held: Held) -> bool {
        held.is_inherited()
    }

    fn wait(&self, patience: Patience, hopeless: impl Fn() -> bool) -> Result<Outcome, Refused> {
        if self.is_complete() {
            return Ok(Outcome::Complete);
        }
        thread::with(|me| {
            let identity = self.waiting.enter(me)?;
            let mut spin = self.waiting.spin();
            let mut passes = 0;
            loop {
                let word = self.word.load(Ordering::SeqCst);
                if word == COMPLETE {
                    spin.paid();
                    return Ok(Outcome::Complete);
                }
                match owner(word) {
                    Some(owner) if owner == identity => return Err(patience.refuse_own()),
                    None if hopeless() => return Ok(Outcome::Hopeless), // invariant 3
                    _ => {}
                }
                self.pass_the_time(word, &hopeless, patience, &mut spin, &mut passes)?;
            }
        })
    }

    fn owner_thread(&self) -> Option<u32> {
        let word = self.word.load(Ordering::Relaxed);
        owner(word).filter(|_| word != COMPLETE).map(Identity::thread)
    }

    unsafe fn settle(&self) -> Result<()> {
        if !self.is_complete() {
            self.word.clear();
        }
        // SAFETY: handed through.
        unsafe { self.waiting.settle() }
    }

    unsafe fn reset(&self) -> Result<()> {
        self.word.clear();
        // SAFETY: handed through.
        unsafe { self.waiting.settle() }
    }

    unsafe fn teardown(&self) {
        // SAFETY: handed through.
        unsafe { self.waiting.teardown() };
    }
}
