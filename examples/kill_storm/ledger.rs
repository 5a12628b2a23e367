//! The books inside the locks: what a lock guards here, and what whoever takes it must find.
//!
//! A holder signs, adds 1 to the one number, notes at its desk that it did, adds 1 to the other and takes its name out.
//! So whoever comes next finds no name and two numbers that are equal, and equal to what all desks say together, or is
//! told that the last owner died.

use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use pshared::{Cause, ShmData, ShmSafe};

#[repr(C)]
#[derive(ShmData, Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The life of whoever is inside.
    pub owner: u64,
    pub one: u64,
    pub other: u64,
    /// The deaths that were over when somebody last put this right.
    pub killed: u64,
}

/// The same where a guard lends `&T` only.
#[repr(C)]
#[derive(ShmSafe, Default)]
pub struct SharedLedger {
    owner: AtomicU64,
    one: AtomicU64,
    other: AtomicU64,
    killed: AtomicU64,
}

/// Reading and writing a ledger, store by store: the order is what a death leaves behind.
pub trait Steps {
    fn read(&self) -> Ledger;
    fn sign(&mut self, owner: u64);
    fn set_one(&mut self, to: u64);
    fn set_other(&mut self, to: u64);
    fn set_killed(&mut self, to: u64);
}

macro_rules! in_this_order {
    ($store:stmt) => {
        compiler_fence(Ordering::SeqCst);
        $store
        compiler_fence(Ordering::SeqCst);
    };
}

impl Steps for Ledger {
    fn read(&self) -> Ledger {
        compiler_fence(Ordering::SeqCst);
        *self
    }

    #[inline(never)]
    fn sign(&mut self, owner: u64) {
        in_this_order!(self.owner = owner);
    }

    #[inline(never)]
    fn set_one(&mut self, to: u64) {
        in_this_order!(self.one = to);
    }

    #[inline(never)]
    fn set_other(&mut self, to: u64) {
        in_this_order!(self.other = to);
    }

    #[inline(never)]
    fn set_killed(&mut self, to: u64) {
        in_this_order!(self.killed = to);
    }
}

impl Steps for &SharedLedger {
    fn read(&self) -> Ledger {
        let [owner, one, other, killed] =
            [&self.owner, &self.one, &self.other, &self.killed].map(|word| word.load(Ordering::SeqCst));
        Ledger { owner, one, other, killed }
    }

    fn sign(&mut self, owner: u64) {
        self.owner.store(owner, Ordering::SeqCst);
    }

    fn set_one(&mut self, to: u64) {
        self.one.store(to, Ordering::SeqCst);
    }

    fn set_other(&mut self, to: u64) {
        self.other.store(to, Ordering::SeqCst);
    }

    fn set_killed(&mut self, to: u64) {
        self.killed.store(to, Ordering::SeqCst);
    }
}

/// What is known besides, when a lock was just taken or is known to be free.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// What the desks say was added.
    pub added: u64,
    /// The deaths that were brought about, over or not.
    pub killing: u64,
}

/// What is wrong with what somebody found who has just taken the lock.
pub fn wrong(found: Ledger, told: Option<Cause>, known: Known) -> Option<String> {
    let Ledger { owner, one, other, killed } = found;
    match told {
        Some(Cause::Panicked) => Some("told of a panic; nobody panics".into()),
        // The victim died after the last repair, so its death wasn't over then.
        Some(Cause::OwnerDied) if known.killing <= killed => {
            Some(format!("told of an owner's death, but nobody was killed since the {killed}th death"))
        }
        Some(Cause::OwnerDied) => None,
        None if owner != 0 => Some(format!("process {} is inside, or died there and nobody says so", owner as u32)),
        None if one != other => Some(format!("half-written and nobody says so: {one} and {other}")),
        None if one != known.added => Some(format!("{one} noted inside, {} at the desks", known.added)),
        None => None,
    }
}

/// Makes the ledger agree with the desks. May be cut short, and is then done again.
pub fn repair(book: &mut dyn Steps, added: u64, killed: u64) {
    book.set_one(added);
    book.set_other(added);
    book.set_killed(killed);
    book.sign(0);
}
