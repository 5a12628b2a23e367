//! One operation of a thread, from its first look at the lock to its last.

use super::RwLock;
use crate::backend::futex::held::Held;
use crate::backend::futex::robust::{Kind, RobustWord};
use crate::backend::futex::thread::Thread;
use crate::error::{Error, Result};

/// A thread and what it found the lock to be when it came. `settled` is read once: were it asked again, a peer that
/// scribbles over it could have a word announced and not taken back, or linked where no room was made.
#[derive(Clone, Copy)]
pub(super) struct Visit<'a> {
    pub(super) me: &'a Thread,
    is_settled: bool,
}

impl<const READERS: usize> RwLock<READERS> {
    /// Begins an operation, if this thread may use the lock at all.
    pub(super) fn enter<'a>(&self, me: &'a Thread) -> Result<Visit<'a>> {
        me.refresh()?;
        let settled = self.gate.namespace();
        if settled != 0 && settled != me.namespace() {
            let (theirs, ours) = (u64::from(settled), u64::from(me.namespace()));
            return Err(Error::PidNamespace { what: "the lock".into(), theirs, ours });
        }
        Ok(Visit { me, is_settled: settled != 0 })
    }

    /// Begins an operation of a thread that has the gate in this way.
    pub(super) fn enter_by_gate<'a>(&self, me: &'a Thread, held: Held) -> Visit<'a> {
        Visit { me, is_settled: held.is_linked() }
    }
}

impl Visit<'_> {
    /// What the words of the lock are.
    pub(super) fn kind(self) -> Kind {
        if self.is_settled { Kind::Lock } else { Kind::Unsettled }
    }

    /// Makes sure that [`taken`](Visit::taken) has room.
    pub(super) fn reserve(self) -> Result<()> {
        if self.is_settled { self.me.reserve() } else { Ok(()) }
    }

    pub(super) fn set_pending(self, word: &RobustWord) {
        if self.is_settled {
            self.me.set_pending(word);
        }
    }

    pub(super) fn clear_pending(self) {
        if self.is_settled {
            self.me.clear_pending();
        }
    }

    /// What this thread does when the word has become its own.
    pub(super) fn taken(self, word: &RobustWord) -> Held {
        word.taken(self.me, self.is_settled)
    }
}
