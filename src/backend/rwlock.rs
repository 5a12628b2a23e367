//! Shared and exclusive locking, as the primitives need it of a backend.

use super::Refused;
use crate::deadline::Patience;
use crate::error::{Error, Result};

/// So many guards of one lock can a thread have: more couldn't be counted.
pub(crate) const MOST_GUARDS: u32 = u32::MAX;

/// What one more gets.
pub(crate) const TOO_MANY_GUARDS: Error = Error::TooManyGuards { limit: MOST_GUARDS };

/// Shared and exclusive locking without data.
///
/// All zero bytes are an unlocked lock that isn't settled. `died` is called when the last writer has died while it had
/// the data, before the lock forgets it: if the caller dies too, the next one is told again. It may be called though
/// the lock isn't taken then.
///
/// # Safety
///
/// Between its acquisition and its release, an [`Exclusive`](RawRwLock::Exclusive) exists at no time together with
/// another one or with a [`Shared`](RawRwLock::Shared), over all threads of all processes that use the lock at the
/// address where it was settled (of one process, while it is not settled).
pub unsafe trait RawRwLock: Send + Sync + Sized + 'static {
    /// An unlocked lock, not settled.
    const UNLOCKED: Self;

    /// What a reader needs to unlock; of the thread that locked.
    type Shared: Copy;

    /// What a writer needs to unlock; of the thread that locked.
    type Exclusive: Copy;

    /// Takes the lock for reading if nothing else is to be done: the way of every uncontended lock, to be inlined.
    /// `None` says nothing; ask [`read`](RawRwLock::read).
    fn read_at_once(&self) -> Option<Self::Shared>;

    /// Takes the lock for reading.
    fn read(&self, patience: Patience, died: &dyn Fn()) -> Result<Self::Shared, Refused>;

    /// Gives a reader's lock back. Does nothing in a child of the process that took it.
    ///
    /// # Safety
    ///
    /// `held` came from this lock, in this thread or in the thread that this process was forked from, and was not given
    /// back or turned into another before.
    unsafe fn unlock_read(&self, held: Self::Shared);

    /// Takes the lock for writing if nothing else is to be done, as [`read_at_once`](RawRwLock::read_at_once).
    fn write_at_once(&self) -> Option<Self::Exclusive>;

    /// The same for who doesn't wait otherwise either, and keeps nobody out by trying in vain where that can be helped.
    #[inline(always)]
    fn try_write_at_once(&self) -> Option<Self::Exclusive> {
        self.write_at_once()
    }

    /// Takes the lock for writing.
    fn write(&self, patience: Patience, died: &dyn Fn()) -> Result<Self::Exclusive, Refused>;

    /// Gives a writer's lock back. Does nothing in a child of the process that took it.
    ///
    /// # Safety
    ///
    /// As [`unlock_read`](RawRwLock::unlock_read).
    unsafe fn unlock_write(&self, held: Self::Exclusive);

    /// `held` with the one bit set that it keeps for the guard.
    fn mark(held: Self::Exclusive) -> Self::Exclusive;

    /// Whether that bit is set.
    fn is_marked(held: Self::Exclusive) -> bool;

    /// Whether `held` was got by the process that this one was forked from.
    fn is_inherited(&self, held: Self::Exclusive) -> bool;

    /// Whether somebody holds the lock, in whatever way.
    fn is_locked(&self) -> bool;

    /// Whether a writer holds the lock.
    fn is_locked_exclusively(&self) -> bool;

    /// Whether the last writer died while it had the data and nobody has been told since.
    fn writer_died(&self) -> bool;

    /// Forgets that the last writer died, if nobody has been told since.
    fn forget_death(&self);

    /// Shows the thread id of every holder to `see`.
    fn each_owner(&self, see: &mut dyn FnMut(u32));

    /// Makes the lock ready for other processes, with no holder.
    ///
    /// # Safety
    ///
    /// See [`Resident::settle`](crate::Resident::settle).
    unsafe fn settle(&self) -> Result<()>;

    /// Gives back what the system holds for the lock.
    ///
    /// # Safety
    ///
    /// See [`Resident::teardown`](crate::Resident::teardown).
    unsafe fn teardown(&self);
}

/// A lock that turns from one kind into another without being free in between: upgradable reads and downgrades.
///
/// # Safety
///
/// As [`RawRwLock`]; an [`Upgradable`](RawUpgradableRwLock::Upgradable) exists beside readers, never beside another one
/// or a writer. What turns from exclusive into another kind isn't free in between.
pub unsafe trait RawUpgradableRwLock: RawRwLock {
    /// What an upgradable reader needs to unlock; of the thread that locked.
    type Upgradable: Copy;

    /// Takes the lock for reading and perhaps writing later.
    fn upgradable_read(&self, patience: Patience, died: &dyn Fn()) -> Result<Self::Upgradable, Refused>;

    /// Gives an upgradable reader's lock back. Does nothing in a child of the process that took it.
    ///
    /// # Safety
    ///
    /// As [`unlock_read`](RawRwLock::unlock_read).
    unsafe fn unlock_upgradable(&self, held: Self::Upgradable);

    /// Turns an upgradable reader into a writer. Refused, `held` is as it was.
    ///
    /// # Safety
    ///
    /// As [`unlock_read`](RawRwLock::unlock_read).
    unsafe fn upgrade(&self, held: Self::Upgradable, patience: Patience) -> Result<Self::Exclusive, Refused>;

    /// Turns a writer into a reader.
    ///
    /// # Safety
    ///
    /// As [`unlock_read`](RawRwLock::unlock_read).
    unsafe fn downgrade(&self, held: Self::Exclusive) -> Self::Shared;

    /// Turns a writer into an upgradable reader.
    ///
    /// # Safety
    ///
    /// As [`unlock_read`](RawRwLock::unlock_read).
    unsafe fn downgrade_to_upgradable(&self, held: Self::Exclusive) -> Self::Upgradable;

    /// Turns an upgradable reader into a reader.
    ///
    /// # Safety
    ///
    /// As [`unlock_read`](RawRwLock::unlock_read).
    unsafe fn downgrade_upgradable(&self, held: Self::Upgradable) -> Self::Shared;
}
