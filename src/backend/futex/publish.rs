//! Publishing by a robust word: one process prepares something, the others wait until it is ready, and a process that
//! dies while it prepares is replaced.
//!
//! # State
//!
//! | word | meaning |
//! |---|---|
//! | 0, D | unfinished, nobody at work |
//! | id | that thread is at work |
//! | READY | published, for good |
//!
//! READY has an owner part above every thread id, so the kernel's walk leaves it alone. It is stored and everybody is
//! woken by one FUTEX_WAKE_OP, so a creator that is killed around it strands nobody: before it the word is the dead
//! thread's and gets marked, after it there is nobody left to wake.
//!
//! The model is `tests/models/publish.py`.

use std::sync::atomic::{Ordering, fence};

use super::held::Held;
use super::process;
use super::robust::{Kind, OWNER, READY, READY_BIT, RobustWord};
use super::thread;
use crate::backend::{Acquired, Refused};
use crate::deadline::Patience;
use crate::error::{Error, Result};
use crate::sys::futex;

/// What entering an unfinished or finished thing came to.
pub(crate) enum Entered {
    /// It is published.
    Ready,
    /// It is this thread's to prepare.
    Mine(Held),
}

impl RobustWord {
    /// Whether the word says that what it stands for is published.
    pub(crate) fn is_ready(&self) -> bool {
        self.word().load(Ordering::Acquire) & OWNER == READY
    }

    /// Waits until the thing is published, or makes its preparation this thread's task.
    pub(crate) fn enter(&self, patience: Patience) -> Result<Entered, Refused> {
        // SAFETY: the word stays where it is, which is the caller's case for using it in a cell; settling it before
        // entering changes nothing but the namespace, from none to ours.
        unsafe { self.adopt_namespace() }.map_err(Refused::Failed)?;
        if self.is_ready() {
            return Ok(Entered::Ready);
        }
        match thread::with(|me| self.acquire_contended(me, patience, Kind::Publication)) {
            Ok(Acquired { held, .. }) => Ok(Entered::Mine(held)),
            Err(_) if self.is_ready() => Ok(Entered::Ready),
            Err(refused) => Err(refused),
        }
    }

    /// Makes the word one of this pid namespace: the one it was settled in ended with an earlier boot.
    pub(crate) fn leave_earlier_boot(&self) -> Result<()> {
        self.set_namespace(process::pid_namespace()?);
        Ok(())
    }

    /// Takes a word that was published in an earlier boot back into preparation; `None` if it isn't published any more.
    pub(crate) fn reopen(&self) -> Result<Option<Held>> {
        self.leave_earlier_boot()?;
        thread::with(|me| {
            me.refresh()?;
            me.reserve()?;
            me.set_pending(self);
            // W beside it is nobody's who sleeps: nobody waits for what is published.
            let take = |word| (word & OWNER == READY).then_some(me.tid());
            if self.word().fetch_update(Ordering::Acquire, Ordering::Relaxed, take).is_ok() {
                return Ok(Some(self.taken(me, true)));
            }
            me.clear_pending();
            Ok(None)
        })
    }

    /// Publishes what this thread has prepared and wakes everybody who waits for it.
    ///
    /// # Safety
    ///
    /// This thread got `held` from [`enter`](RobustWord::enter) or [`reopen`](RobustWord::reopen) and hasn't used it.
    pub(crate) unsafe fn publish(&self, held: Held) -> Result<()> {
        thread::with(|me| {
            if !me.is_holder(held) {
                return Err(Error::Inherited);
            }
            if held.is_linked() {
                me.set_pending(self);
                me.unlink(self);
            }
            fence(Ordering::Release); // what was prepared comes before READY; the system call is no fence by contract
            if futex::set_to_bit_and_wake_all(self.word(), READY_BIT).is_err() {
                // Not on a mapped, aligned word; but if so, sleepers look up once a second.
                self.word().store(READY, Ordering::Release);
            }
            if held.is_linked() {
                me.clear_pending();
            }
            Ok(())
        })
    }

    /// Publishes what nobody else can see yet.
    pub(crate) fn publish_unseen(&self) -> Result<()> {
        // SAFETY: nobody else sees the word, and it is being made where it will stay.
        unsafe { self.settle()? };
        self.word().store(READY, Ordering::Release);
        Ok(())
    }
}
