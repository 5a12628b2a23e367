//! The event: a flag, and a count of how often it was set.
//!
//! # State
//!
//! | `word` | meaning |
//! |---|---|
//! | bit 0 | it is set |
//! | bits 1… | how often it was set so far: who waits sees that it was, even if it is reset by then |
//!
//! Setting is one change of the word; ringing comes after, and what is lost there costs sleepers a slice.
//!
//! The protocol is `tests/models/watched.py`.

use std::sync::atomic::Ordering;

use super::bell::{Bell, Heard};
use super::waiting::{Waiting, deadline_of};
use crate::atomic::AtomicU32;
use crate::backend::futex::thread;
use crate::backend::{RawEvent, Refused};
use crate::deadline::{Deadline, Patience};
use crate::error::Result;

const SET: u32 = 1;
const ONE: u32 = 2;

/// An event. All zero when not set and not settled.
#[repr(C)]
#[derive(Debug)]
pub struct Event<B: Bell> {
    word: AtomicU32,
    spare: AtomicU32,
    waiting: Waiting<B>,
}

impl<B: Bell> Event<B> {
    const fn with(word: u32) -> Self {
        Event { word: AtomicU32::new(word), spare: AtomicU32::new(0), waiting: Waiting::new() }
    }
}

// SAFETY: setting is a release and being let pass an acquire (SeqCst both) of the same word.
unsafe impl<B: Bell> RawEvent for Event<B> {
    const UNSET: Self = Event::with(0);
    const SET: Self = Event::with(SET);

    fn is_set(&self) -> bool {
        self.word.load(Ordering::SeqCst) & SET != 0
    }

    fn set(&self) -> Result<()> {
        self.waiting.check_settled()?;
        let raise = |word: u32| if word & SET != 0 { word } else { word.wrapping_add(ONE) | SET };
        let before = self.word.fetch_update(Ordering::SeqCst, Ordering::Relaxed, |word| Some(raise(word)));
        // Were it set before, who set it may have been killed before it rang.
        if before.is_ok() && !self.waiting.is_empty() {
            self.waiting.wake_all();
        }
        Ok(())
    }

    fn reset(&self) {
        self.word.fetch_and(!SET, Ordering::SeqCst);
    }

    fn wait(&self, patience: Patience) -> Result<(), Refused> {
        self.waiting.check_settled().map_err(Refused::Failed)?;
        let entered = self.word.load(Ordering::SeqCst);
        if entered & SET != 0 {
            return Ok(());
        }
        thread::with(|me| self.waiting.enter(me))?;
        let deadline = deadline_of(patience);
        let mut passes = 0;
        let mut spin = self.waiting.spin();
        loop {
            if self.word.load(Ordering::SeqCst) != entered {
                spin.paid();
                return Ok(());
            }
            let is_over = matches!(patience, Patience::None) || deadline.is_some_and(Deadline::has_passed);
            if !is_over && spin.pause() {
                continue;
            }
            if is_over {
                return Err(if deadline.is_some() { Refused::TimedOut } else { Refused::WouldBlock });
            }
            spin.failed();
            let is_same = || self.word.load(Ordering::SeqCst) == entered;
            if self.waiting.sleep_if(is_same, deadline)? == Heard::Ring && is_same() {
                self.waiting.pass_on(&mut passes);
            }
            spin = self.waiting.spin();
        }
    }

    unsafe fn settle(&self) -> Result<()> {
        // SAFETY: handed through.
        unsafe { self.waiting.settle() }
    }

    unsafe fn teardown(&self) {
        // SAFETY: handed through.
        unsafe { self.waiting.teardown() };
    }
}
