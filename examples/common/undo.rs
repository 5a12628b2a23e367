//! Changes that are made or not made, whoever is killed.

use std::ops::Deref;
use std::sync::atomic::{Ordering, compiler_fence};

use pshared::ShmData;

/// A value with a backup of how it was before the change that is being made to it. It stands in a lock, and whoever takes
/// the lock after a death calls [`Undo::repair`].
#[repr(C)]
#[derive(ShmData)]
pub struct Undo<T> {
    value: T,
    backup: T,
    /// While set, `value` may be half-written and `backup` is whole. While clear, `value` is whole.
    changing: bool,
    repairs: u32,
}

impl<T: Copy> Undo<T> {
    pub fn new(value: T) -> Self {
        Undo { value, backup: value, changing: false, repairs: 0 }
    }

    /// Makes one change: whoever is killed during it has not made it.
    pub fn change<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        self.backup = self.value;
        in_this_order();
        self.changing = true;
        in_this_order();
        let result = change(&mut self.value);
        in_this_order();
        self.changing = false;
        in_this_order();
        result
    }

    /// Ends a change that was cut short as if it had never begun. May itself be cut short, and is then done again.
    pub fn repair(&mut self) {
        self.repairs += 1;
        if self.changing {
            self.value = self.backup;
            in_this_order();
            self.changing = false;
        }
    }

    /// How often the lock's owner was found dead.
    pub fn repairs(&self) -> u32 {
        self.repairs
    }
}

impl<T> Deref for Undo<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Keeps the compiler from moving stores across this line. That is all it takes: a process that is killed stops between
/// two instructions, and what it had stored until then is there for the next owner of the lock.
fn in_this_order() {
    compiler_fence(Ordering::SeqCst);
}
