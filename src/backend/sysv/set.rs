//! Sets of this crate: how they are told from others, made, and registered with.
//!
//! # State
//!
//! | semaphore | value |
//! |---|---|
//! | 0–2 | 0, never used: so many that other programs' sets rarely have as many |
//! | [`BELL`] | rings that nobody has heard yet |
//! | [`USERS`] | processes that use the set and live: each adds 1 with `SEM_UNDO` |
//!
//! # Invariants
//!
//! 1. Nothing is done to a set that this process isn't registered with but looking at it; and it registers only where the
//!    set has the key that stands beside its id, one of ours, and as many semaphores as ours. So whatever somebody
//!    scribbled into the memory, other programs' sets stay as they are. (An id that was removed comes back after some
//!    two million others; sets with fewer semaphores refuse our operations even then.)
//! 2. A set without users is used by nobody, or by a process that is about to find it gone: the kernel takes back a
//!    process's 1 however it ends. Undoing is per process, not thread, and survives an exec, which is right here: it says
//!    nothing about ownership.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;

use super::{known, sweep};
use crate::error::{Error, Result};
use crate::sys::sysv_sem::Set;
use crate::sys::{self, clock};

/// Rings to hear.
pub(super) const BELL: u16 = 3;
/// Living processes that use the set.
pub(super) const USERS: u16 = 4;
const COUNT: u16 = 5;

/// The user's own: whoever may operate on a set may steal its rings.
const MODE: u32 = 0o600;

/// All our keys begin with these bits; the others are random.
const MARK: u32 = 0xd5c << RANDOM_BITS;
const RANDOM_BITS: u32 = 20;

/// So many keys may be taken by others before this one gives up.
const TRIES: u32 = 10_000;

/// A set's id and its key, as they stand in shared memory: whatever somebody wrote there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) set: Set,
    key: i32,
}

/// Why a set can't be used.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    /// It was removed, it never was, or it isn't ours.
    Gone,
    /// This process may not use it.
    Barred,
    /// Something else.
    Failed(Errno),
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Trouble {
        match errno {
            Errno::EIDRM | Errno::EINVAL | Errno::EFBIG => Trouble::Gone,
            Errno::EACCES | Errno::EPERM => Trouble::Barred,
            errno => Trouble::Failed(errno),
        }
    }
}

/// Whether a set of that key, with so many semaphores, is one of ours.
pub(super) fn is_ours(key: i32, count: u64) -> bool {
    key as u32 >> RANDOM_BITS == MARK >> RANDOM_BITS && count == u64::from(COUNT)
}

impl Name {
    /// Key and id in a word; no set's is 0.
    pub(super) fn to_bits(self) -> u64 {
        u64::from(self.key as u32) << 32 | u64::from(self.set.id())
    }

    pub(super) fn from_bits(bits: u64) -> Name {
        Name { set: Set::from_id(bits as u32), key: (bits >> 32) as u32 as i32 }
    }

    /// Makes a set, registered with; sweeps first where there is no room.
    pub(super) fn create_with_room() -> Result<Name> {
        let made = match Name::create() {
            // A sweep that fails makes no room, which is what is to be told.
            Err(Errno::ENOSPC) if sweep::sweep().is_ok_and(|removed| removed > 0) => Name::create(),
            made => made,
        };
        made.map_err(not_made)
    }

    /// Makes a set, registered with. Killed on the way, this process leaves one without users.
    pub(super) fn create() -> Result<Name, Errno> {
        for _ in 0..TRIES {
            let key = candidate();
            match Set::create(key, COUNT, MODE) {
                Ok(set) => {
                    let name = Name { set, key };
                    // Err: somebody removed it already, and the first to use it notices.
                    let _ = name.register();
                    return Ok(name);
                }
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EEXIST)
    }

    /// The set, if it can be used; from now on this process is registered with it.
    pub(super) fn enter(self) -> Result<Set, Trouble> {
        if !is_ours(self.key, u64::from(COUNT)) {
            return Err(Trouble::Gone); // none, or scribbled over
        }
        if known::has(self.set) {
            return Ok(self.set);
        }
        self.check()?;
        self.register()?;
        Ok(self.set)
    }

    fn register(self) -> Result<(), Trouble> {
        match self.set.add_while_alive(USERS).map_err(Trouble::from) {
            Err(trouble @ (Trouble::Gone | Trouble::Barred)) => return Err(trouble),
            // Short of memory, or too many users: unregistered it may be swept too early, which costs a new one.
            Err(Trouble::Failed(_)) => {}
            Ok(()) => known::remember(self.set),
        }
        Ok(())
    }

    /// Invariant 1.
    fn check(self) -> Result<(), Trouble> {
        let found = self.set.stat()?;
        if found.key == self.key && is_ours(found.key, found.count) { Ok(()) } else { Err(Trouble::Gone) }
    }

    /// Removes the set, if it is there and ours.
    pub(super) fn remove(self) -> Result<(), Trouble> {
        self.check()?;
        Ok(self.set.remove()?)
    }

    pub(super) fn describe(self) -> String {
        format!("semaphore set {} of key {:#010x}", self.set.id(), self.key)
    }
}

/// A key that is likely to be free.
fn candidate() -> i32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let now = clock::monotonic();
    let seed =
        u64::from(process::id()) << 40 ^ u64::from(number) << 32 ^ (now.tv_nsec() as u64) ^ (now.tv_sec() as u64);
    let mixed = (seed ^ seed >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (MARK | (mixed >> (64 - RANDOM_BITS)) as u32) as i32
}

/// [`Name::create`] failed.
pub(super) fn not_made(errno: Errno) -> Error {
    let advice = match errno {
        Errno::ENOSPC => {
            "the system has as many semaphore sets as it may: remove unused ones (ipcs -s, ipcrm -s, \
             pshared::sysv::sweep), or raise the last number of kernel.sem"
        }
        Errno::ENOMEM => "free memory",
        Errno::ENOSYS => "this kernel has no SysV semaphores; take another backend",
        _ => "see what ipcs -s shows, or take another backend",
    };
    sys::failed("semget", "a new semaphore set", errno, advice)
}
