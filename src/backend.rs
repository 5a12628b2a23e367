//! The contract between the primitives that users see and the backends that do the locking.
//!
//! A backend knows words, threads and system calls; it never sees cells, regions, data or poison.

pub mod futex;

use crate::deadline::Patience;
use crate::error::{Error, Result};

/// A family of primitives built on one mechanism of the system.
///
/// The only implementor so far is [`Futex`](futex::Futex); the parameter exists so that types keep their names when
/// more come.
pub trait Backend: Send + Sync + 'static {
    /// The backend's name in fingerprints and tables.
    const NAME: &'static str;

    /// The backend's mutual exclusion.
    type Mutex: RawMutex;

    /// The backend's semaphore.
    type Semaphore: RawSemaphore;

    /// The backend's manual-reset event.
    type Event: RawEvent;

    /// The backend's condition variable.
    type Condvar: RawCondvar<Self::Mutex>;

    /// The backend's permits, `N` of them.
    type Permits<const N: usize>: RawPermits;

    /// The backend's barrier, with room for `N` that wait.
    type Barrier<const N: usize>: RawBarrier;

    /// The backend's way to do something once.
    type Once: RawOnce;

    /// The backend's shared and exclusive locking, for so many readers at a time.
    type RwLock<const READERS: usize>: RawRwLock;
}

/// What a backend can do that can wait for any of several things at once.
pub trait WaitAny: Backend {
    /// Waits until one of the things can be had and takes it; says which. Several are taken in the order they stand in.
    fn wait_any(things: &[Awaited<'_, Self>], patience: Patience) -> Result<usize, Refused>
    where
        Self: Sized;
}

/// One thing to wait for.
#[derive(Debug)]
pub enum Awaited<'a, B: Backend> {
    /// A permit.
    Semaphore(&'a B::Semaphore),
    /// That it is set.
    Event(&'a B::Event),
}

/// Mutual exclusion without data.
///
/// All zero bytes are an unlocked lock that isn't settled.
///
/// # Safety
///
/// At most one [`Acquired`] exists at any time between its acquisition and its release, over all threads of all
/// processes that use the lock at the address where it was settled (of one process, while it is not settled).
pub unsafe trait RawMutex: Send + Sync + Sized + 'static {
    /// An unlocked lock, not settled.
    const UNLOCKED: Self;

    /// What the holder needs to unlock; of the thread that locked.
    type Held: Copy;

    /// Takes the lock if nobody has it, nobody waits, no owner died in it, and the backend has nothing else to do: the
    /// way of every uncontended lock, to be inlined. `None` says nothing; ask [`lock`](RawMutex::lock).
    fn lock_at_once(&self) -> Option<Self::Held>;

    /// Takes the lock.
    fn lock(&self, patience: Patience) -> Result<Acquired<Self::Held>, Refused>;

    /// Gives the lock back. Does nothing in a child of the process that took it.
    ///
    /// # Safety
    ///
    /// `held` came from [`lock`](RawMutex::lock) on this lock, in this thread or in the thread that this process was
    /// forked from, and was not given back before.
    unsafe fn unlock(&self, held: Self::Held);

    /// `held` with the one bit set that it keeps for the guard: a guard of two words stays in registers, one of three
    /// goes through memory.
    fn mark(held: Self::Held) -> Self::Held;

    /// Whether that bit is set.
    fn is_marked(held: Self::Held) -> bool;

    /// Whether `held` was got by the process that this one was forked from.
    fn is_inherited(&self, held: Self::Held) -> bool;

    /// What the calling thread got when it took the lock, unmarked, if it holds the lock.
    fn held_here(&self) -> Option<Self::Held>;

    /// Whether somebody holds the lock.
    fn is_locked(&self) -> bool;

    /// Whether the last owner died and nobody has taken the lock since.
    fn owner_died(&self) -> bool;

    /// Forgets that the last owner died, if nobody has taken the lock since.
    fn forget_death(&self);

    /// The thread that holds the lock.
    fn owner_thread(&self) -> Option<u32>;

    /// The process that holds the lock, where the system can tell.
    fn owner_process(&self) -> Option<u32>;

    /// Makes the lock ready for other processes.
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

/// A count of permits that nobody owns: posted by anyone, taken by whoever comes.
///
/// All zero bytes are a semaphore without permits that isn't settled.
///
/// # Safety
///
/// Every permit posted is taken once, and no permit is taken that wasn't posted, whatever threads and processes are
/// killed. Whoever takes one sees what those who posted before did.
pub unsafe trait RawSemaphore: Send + Sync + Sized + 'static {
    /// The greatest maximum that a semaphore can have.
    const MAX: u32;

    /// A semaphore for one permit at most, without it, not settled.
    const TAKEN: Self;

    /// A semaphore for one permit at most, with it, not settled.
    const FREE: Self;

    /// A semaphore with `value` permits and room for `max`, which is at most [`MAX`](RawSemaphore::MAX); not settled.
    fn new(value: u32, max: u32) -> Self;

    /// Takes a permit if there is one: the way of every uncontended wait, to be inlined. `false` says nothing; ask
    /// [`take`](RawSemaphore::take).
    fn take_at_once(&self) -> bool;

    /// Takes a permit.
    fn take(&self, patience: Patience) -> Result<(), Refused>;

    /// Adds `permits`, or none if they would pass the maximum. May be called from a signal handler that interrupts
    /// anything, this crate's own calls too.
    fn post(&self, permits: u32) -> Result<Posted>;

    /// The permits that are there.
    fn value(&self) -> u32;

    /// The permits that there can be.
    fn max(&self) -> u32;

    /// Makes the semaphore ready for other processes, with the permits that it has.
    ///
    /// # Safety
    ///
    /// See [`Resident::settle`](crate::Resident::settle).
    unsafe fn settle(&self) -> Result<()>;

    /// Gives back what the system holds for the semaphore.
    ///
    /// # Safety
    ///
    /// See [`Resident::teardown`](crate::Resident::teardown).
    unsafe fn teardown(&self);
}

/// What became of permits that were posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// They are there.
    Done,
    /// There was no room, and nothing changed; whoever takes a permit later sees what the poster did before all the same.
    Full,
}

/// A flag that lets everybody pass while it is set.
///
/// All zero bytes are an event that isn't set and not settled.
///
/// # Safety
///
/// Whoever was let pass sees what those who set it before did.
pub unsafe trait RawEvent: Send + Sync + Sized + 'static {
    /// An event that isn't set, not settled.
    const UNSET: Self;

    /// An event that is set, not settled.
    const SET: Self;

    /// Whether it is set.
    fn is_set(&self) -> bool;

    /// Sets it and lets everybody pass who waits, even if it is reset before they run. May be called from a signal
    /// handler that interrupts anything, this crate's own calls too.
    fn set(&self) -> Result<()>;

    /// Resets it. May be called from a signal handler as well.
    fn reset(&self);

    /// Waits until it is set.
    fn wait(&self, patience: Patience) -> Result<(), Refused>;

    /// Makes the event ready for other processes, set or not as it is.
    ///
    /// # Safety
    ///
    /// See [`Resident::settle`](crate::Resident::settle).
    unsafe fn settle(&self) -> Result<()>;

    /// Gives back what the system holds for the event.
    ///
    /// # Safety
    ///
    /// See [`Resident::teardown`](crate::Resident::teardown).
    unsafe fn teardown(&self);
}

/// Waiting, with a lock given up meanwhile, for somebody to notify.
///
/// All zero bytes are one that nobody waits for and that isn't settled.
///
/// # Safety
///
/// A wait that comes back without an error has taken the lock, as [`RawMutex::lock`] takes it.
pub unsafe trait RawCondvar<M: RawMutex>: Send + Sync + Sized + 'static {
    /// One that nobody waits for, not settled.
    const NEW: Self;

    /// Gives the lock back, waits as long as `patience` says until somebody notifies, and takes the lock again, however
    /// long that takes. What is sent after the lock was given back is not missed. May come back without a notification.
    ///
    /// With an error, the lock is not held.
    ///
    /// # Safety
    ///
    /// As for [`RawMutex::unlock`]; and `held` is not inherited.
    unsafe fn wait(&self, mutex: &M, held: M::Held, patience: Patience) -> Result<Waited<M::Held>, Refused>;

    /// Wakes one waiter, if there is any.
    fn notify_one(&self);

    /// Wakes all waiters.
    fn notify_all(&self);

    /// Makes it ready for other processes.
    ///
    /// # Safety
    ///
    /// See [`Resident::settle`](crate::Resident::settle).
    unsafe fn settle(&self) -> Result<()>;

    /// Gives back what the system holds for it.
    ///
    /// # Safety
    ///
    /// See [`Resident::teardown`](crate::Resident::teardown).
    unsafe fn teardown(&self);
}

/// A wait that is over.
#[derive(Clone, Copy, Debug)]
pub struct Waited<H> {
    /// The lock, held again.
    pub lock: Acquired<H>,
    /// The time was up, and nobody had notified since the wait began.
    pub timed_out: bool,
}

/// A number of permits, each of which belongs to the thread that took it.
///
/// All zero bytes are permits that nobody has and that aren't settled.
///
/// # Safety
///
/// At most as many [`Held`](RawPermits::Held) as there are permits exist at any time, over all threads of all processes
/// that use the permits at the address where they were settled (of one process, while they aren't settled).
pub unsafe trait RawPermits: Send + Sync + Sized + 'static {
    /// Permits that nobody has, not settled.
    const FREE: Self;

    /// What the holder needs to give a permit back; of the thread that took it.
    type Held: Copy;

    /// Takes a permit if one is free, nobody waits, and the backend has nothing else to do: to be inlined. `None` says
    /// nothing; ask [`acquire`](RawPermits::acquire).
    fn acquire_at_once(&self) -> Option<Self::Held>;

    /// Takes a permit. [`Refused::WouldDeadlock`] if the calling thread has them all.
    fn acquire(&self, patience: Patience) -> Result<Self::Held, Refused>;

    /// Gives a permit back. Does nothing in a child of the process that took it.
    ///
    /// # Safety
    ///
    /// `held` came from these permits, in this thread or in the thread that this process was forked from, and was not
    /// given back before.
    unsafe fn release(&self, held: Self::Held);

    /// How many permits nobody has.
    fn available(&self) -> usize;

    /// Shows the thread id of every holder to `see`, once for each permit.
    fn each_owner(&self, see: &mut dyn FnMut(u32));

    /// Makes the permits ready for other processes, all free.
    ///
    /// # Safety
    ///
    /// See [`Resident::settle`](crate::Resident::settle).
    unsafe fn settle(&self) -> Result<()>;

    /// Gives back what the system holds for the permits.
    ///
    /// # Safety
    ///
    /// See [`Resident::teardown`](crate::Resident::teardown).
    unsafe fn teardown(&self);
}

/// A meeting of a number of threads, round after round.
///
/// All zero bytes are a barrier at which nobody waits and that isn't settled.
///
/// # Safety
///
/// A round is completed by as many threads as were asked for, each of which is told so, and nothing that one of them does
/// after its [`wait`](RawBarrier::wait) happens before what another has done before.
pub unsafe trait RawBarrier: Send + Sync + Sized + 'static {
    /// A barrier at which nobody waits, not settled.
    const EMPTY: Self;

    /// Waits for the other participants of a round, of `participants` in all. Who runs out of patience breaks it.
    fn wait(&self, participants: usize, patience: Patience) -> Result<Met, Refused>;

    /// Breaks the round if anybody waits in it, and begins another.
    fn reset(&self) -> Result<()>;

    /// Whether who comes now is told that the round is broken.
    fn is_broken(&self) -> bool;

    /// How many wait.
    fn waiting(&self) -> usize;

    /// Shows the thread id of everybody who waits to `see`.
    fn each_owner(&self, see: &mut dyn FnMut(u32));

    /// Makes the barrier ready for other processes, with nobody waiting.
    ///
    /// # Safety
    ///
    /// See [`Resident::settle`](crate::Resident::settle).
    unsafe fn settle(&self) -> Result<()>;

    /// Gives back what the system holds for the barrier.
    ///
    /// # Safety
    ///
    /// See [`Resident::teardown`](crate::Resident::teardown).
    unsafe fn teardown(&self);
}

/// How a round at a barrier ended for one who waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// Completed, and this thread is the one of its round to do what one is to do.
    AsLeader,
    /// Completed.
    AsOther,
    /// Not completed: somebody who waited died or gave up, or the barrier was reset.
    Broken,
}

/// Something that is done once: who begins it completes it, or is replaced.
///
/// All zero bytes are one that nobody has begun and that isn't settled.
///
/// # Safety
///
/// - At most one [`Begun::Mine`] exists at any time between its beginning and its end, and none once it is complete: over
///   all threads of all processes that use it at the address where it was settled (of one process, while it isn't).
/// - Who is told that it is complete sees everything that was done before [`complete`](RawOnce::complete).
pub unsafe trait RawOnce: Send + Sync + Sized + 'static {
    /// One that nobody has begun, not settled.
    const NEW: Self;

    /// One that is complete, not settled.
    const COMPLETE: Self;

    /// What whoever has begun needs to end it; of the thread that began.
    type Held: Copy;

    /// Whether it is complete.
    fn is_complete(&self) -> bool;

    /// Makes it this thread's to do, unless it is complete; waits while another is at it.
    fn begin(&self, patience: Patience) -> Result<Begun<Self::Held>, Refused>;

    /// It is done: for good, and for everybody who waits.
    ///
    /// # Errors
    ///
    /// [`Error::Inherited`] in a child of the process that began: it is still the parent's to do.
    ///
    /// # Safety
    ///
    /// `held` came from [`begin`](RawOnce::begin) here, in this thread or in the one that this process was forked from,
    /// and was not used before.
    unsafe fn complete(&self, held: Self::Held) -> Result<()>;

    /// It isn't done, and is the next one's to do. Does nothing in a child of the process that began.
    ///
    /// # Safety
    ///
    /// As [`complete`](RawOnce::complete).
    unsafe fn give_up(&self, held: Self::Held);

    /// Whether `held` was got by the process that this one was forked from.
    fn is_inherited(&self, held: Self::Held) -> bool;

    /// Waits until it is complete, without doing it. While nobody is at it, `hopeless` is asked whether to go on: what it
    /// says may become true before [`give_up`](RawOnce::give_up), and then stays so.
    fn wait(&self, patience: Patience, hopeless: impl Fn() -> bool) -> Result<Outcome, Refused>;

    /// The thread that is at it.
    fn owner_thread(&self) -> Option<u32>;

    /// Makes it ready for other processes, complete or not.
    ///
    /// # Safety
    ///
    /// See [`Resident::settle`](crate::Resident::settle).
    unsafe fn settle(&self) -> Result<()>;

    /// The same, and not complete.
    ///
    /// # Safety
    ///
    /// See [`Resident::reset`](crate::Resident::reset).
    unsafe fn reset(&self) -> Result<()>;

    /// Gives back what the system holds for it.
    ///
    /// # Safety
    ///
    /// See [`Resident::teardown`](crate::Resident::teardown).
    unsafe fn teardown(&self);
}

/// What beginning something that is done once came to.
#[derive(Clone, Copy, Debug)]
pub enum Begun<H> {
    /// It is complete.
    Complete,
    /// It is this thread's to do.
    Mine(Acquired<H>),
}

/// How waiting for something that is done once ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is complete.
    Complete,
    /// There is no hope.
    Hopeless,
}

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

/// A lock that was taken.
#[derive(Clone, Copy, Debug)]
pub struct Acquired<H> {
    /// What unlocking needs.
    pub held: H,
    /// The owner before died while it held the lock; said once.
    pub owner_died: bool,
}

/// A lock that was not taken.
#[derive(Clone, Debug)]
pub enum Refused {
    /// It is held and the call doesn't wait.
    WouldBlock,
    /// It was held until the deadline.
    TimedOut,
    /// The calling thread holds it.
    WouldDeadlock,
    /// It can't be used.
    Failed(Error),
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        match refused {
            Refused::WouldBlock => Error::WouldBlock,
            Refused::TimedOut => Error::TimedOut,
            Refused::WouldDeadlock => Error::WouldDeadlock,
            Refused::Failed(error) => error,
        }
    }
}
