//! What can go wrong: [`Error`] for everything, [`LockError`] for the ways to take a lock.

use std::fmt;
use std::time::Duration;

/// The result of everything in this crate that doesn't hand out a guard.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The result of every way to take a lock.
pub type LockResult<G> = std::result::Result<G, LockError<G>>;

/// [`LockError`] under the name that `std::sync` has for it.
pub type TryLockError<G> = LockError<G>;

/// Anything that this crate reports.
///
/// Every message says what was asked, of what, and what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a call; [`Error::errno`] has its number.
    #[error("{call} on {what} failed: {}; {advice}", std::io::Error::from_raw_os_error(*errno))]
    Os {
        /// The call, as its man page names it.
        call: &'static str,
        /// What it was called on.
        what: Box<str>,
        /// The call's errno.
        errno: i32,
        /// What can be done.
        advice: &'static str,
    },

    /// A name, path or key that no region, or no semaphore, can have.
    #[error("{name:?} can't be used as a name: {why}")]
    InvalidName {
        /// The name as it was given.
        name: Box<str>,
        /// What is wrong with it, and what to write instead.
        why: &'static str,
    },

    /// Nothing of that name exists.
    #[error("{what} doesn't exist; create it first, or use open_or_create")]
    NotFound {
        /// The region.
        what: Box<str>,
    },

    /// Something of that name exists already.
    #[error("{what} exists already; open it, use open_or_create, or remove it first")]
    AlreadyExists {
        /// The region.
        what: Box<str>,
    },

    /// The memory holds something else than the type that was asked for.
    #[error("{}", .0)]
    Mismatch(Box<Mismatch>),

    /// The cell stays unfinished: its creator is still at work, or died and nobody who can create it came.
    #[error("{what} was not ready within {waited:?}; if its creator died, open_or_create finishes it")]
    NotReady {
        /// The region.
        what: Box<str>,
        /// How long this call waited.
        waited: Duration,
    },

    /// The memory belongs to another pid namespace, where the same thread ids mean other threads.
    #[error(
        "{what} belongs to pid namespace {theirs}, this process is in {ours}: thread ids collide between them; \
         share it among processes of one namespace only"
    )]
    PidNamespace {
        /// The cell or lock.
        what: Box<str>,
        /// The namespace's inode number of whoever created it.
        theirs: u64,
        /// The namespace's inode number of this process.
        ours: u64,
    },

    /// A lock of a backend whose locks work in shared memory only.
    #[error("a lock on {backend} works in a cell only: put it into one (Shm::create), or take one on futexes")]
    NotInCell {
        /// The backend's name.
        backend: &'static str,
    },

    /// The system lacks something that the call needs.
    #[error("{what} can't be used: {why}")]
    Unsupported {
        /// What was to be used.
        what: Box<str>,
        /// What it lacks.
        why: &'static str,
    },

    /// Memory given by the caller can't take the cell.
    #[error("a cell of {needed} bytes aligned to {align} doesn't fit {len} bytes at {address:#x}")]
    BadMemory {
        /// Where the memory starts.
        address: usize,
        /// How long it is, in bytes.
        len: usize,
        /// How long the cell and its table are, in bytes.
        needed: usize,
        /// The alignment that the cell needs, in bytes.
        align: usize,
    },

    /// One more lock held by this thread would be past what the kernel looks at when the thread dies.
    #[error("this thread holds {limit} locks, all that the kernel releases at a thread's death; unlock one first")]
    TooManyLocks {
        /// The kernel's limit.
        limit: usize,
    },

    /// A guard that this process only has a copy of, or the end of something that it didn't begin: it was forked from the
    /// one that holds the lock, or is at work.
    #[error("what was held or begun before the fork is the parent's, not this process's; lock or begin it here")]
    Inherited,

    /// An initialiser panicked, and [`Once::call_once`](crate::generic::Once::call_once) doesn't try another.
    #[error(
        "an initialiser panicked; what it should have done is half done at best: use call_once_force to do it over"
    )]
    InitPanicked,

    /// It has its value already.
    #[error("it is initialised already, for good; use the value that get returns")]
    AlreadyInitialized,

    /// A [`ReentrantMutex`](crate::generic::ReentrantMutex), or an [`RwLock`](crate::generic::RwLock) that is read again, has as
    /// many guards as it can count.
    #[error("this thread has {limit} guards of one lock, more can't be counted; drop one first")]
    TooManyGuards {
        /// The largest number.
        limit: u32,
    },

    /// A lock word that no code of this crate writes: somebody scribbled over it.
    #[error(
        "the lock word {word:#010x} is corrupt; the lock is now marked as poisoned, \
         so the next attempt gets it together with the poison"
    )]
    Corrupted {
        /// What the word held.
        word: u32,
    },

    /// A [`ShmString`](crate::ShmString) or [`ShmVec`](crate::ShmVec) is too small for what it was to hold; it is
    /// unchanged.
    #[error("no room for {needed} {what} of capacity {capacity}; store less, or declare a larger one")]
    Full {
        /// What of what: bytes in a string, items in a vector.
        what: &'static str,
        /// How many it can hold.
        capacity: usize,
        /// How many it would have had to hold.
        needed: usize,
    },

    /// A [`Barrier`](crate::Barrier) for nobody, or for more than it has room for.
    #[error("a barrier with room for {room} can't be for {wanted} participants; choose between 1 and {room}")]
    Participants {
        /// How many were asked for.
        wanted: usize,
        /// How many may wait at once: the type's parameter.
        room: usize,
    },

    /// A participant died or gave up while it waited at the [`Barrier`](crate::Barrier), or the barrier was reset
    /// meanwhile.
    #[error("the barrier is broken: a participant died or gave up while it waited; reset it and begin again")]
    BarrierBroken,

    /// [`LockError::Poisoned`], the guard dropped and the poison left in place.
    #[error("{0}; use lock_or_recover, or LockError::recover and clear_poison")]
    Poisoned(Cause),

    /// More permits than a semaphore has room for; it is unchanged.
    #[error(
        "{value} permits and {more} more are above the semaphore's maximum of {max}; wait for some to be taken, \
         or make it with a greater maximum"
    )]
    TooManyPermits {
        /// The permits that were there.
        value: u32,
        /// The permits that were to be added.
        more: u32,
        /// The most that it can have.
        max: u32,
    },

    /// A call can wait for so many things at once, and not for none.
    #[error("waiting for any of {count} things is not possible, for 1 to {most} like these it is; {advice}")]
    CantWaitForAny {
        /// How many they were.
        count: usize,
        /// How many of their kinds are possible.
        most: usize,
        /// What can be done.
        advice: &'static str,
    },

    /// The call doesn't wait, and would have had to; [`LockError::WouldBlock`].
    #[error("it can't be had at once, the lock is held or no permit is there; try again, or use the call that waits")]
    WouldBlock,

    /// The deadline came first; [`LockError::TimedOut`].
    #[error("the time was up before it could be had; wait longer, or find out who has it")]
    TimedOut,

    /// [`LockError::WouldDeadlock`].
    #[error("this thread has it already and would wait for itself; drop its guard, or leave the initialiser, first")]
    WouldDeadlock,
}

impl Error {
    /// The errno of the call that failed, where a call failed.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::Os { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    pub(crate) fn mismatch(
        what: impl Into<Box<str>>,
        field: impl Into<Box<str>>,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Error {
        Error::Mismatch(Box::new(Mismatch {
            what: what.into(),
            field: field.into(),
            found: found.to_string().into(),
            expected: expected.to_string().into(),
        }))
    }
}

/// The first difference between the memory and the type it was opened as.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} holds something else: {field} is {found}, this build expects {expected}; open it with the type and build that created it, or remove it"
)]
#[non_exhaustive]
pub struct Mismatch {
    /// The region.
    pub what: Box<str>,
    /// The first thing that differs: part of the header, or a field of the type by its path.
    pub field: Box<str>,
    /// What the memory has.
    pub found: Box<str>,
    /// What this process expects.
    pub expected: Box<str>,
}

/// Why data may be half-written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A thread panicked while it held the lock.
    Panicked,
    /// A thread or process ended while it held the lock: killed, exited, or replaced itself by exec.
    OwnerDied,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Panicked => "an owner of the lock panicked, its data may be half-written",
            Cause::OwnerDied => "an owner of the lock died, its data may be half-written",
        })
    }
}

/// The guard of a lock whose data may be half-written, as [`std::sync::PoisonError`], with the cause.
pub struct PoisonError<G> {
    guard: G,
    cause: Cause,
}

impl<G> PoisonError<G> {
    /// Puts a guard and a cause together.
    pub fn new(guard: G, cause: Cause) -> Self {
        PoisonError { guard, cause }
    }

    /// Why the data may be half-written.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// The guard; the poison stays until somebody calls `clear_poison`.
    pub fn into_inner(self) -> G {
        self.guard
    }

    /// The guard, borrowed.
    pub fn get_ref(&self) -> &G {
        &self.guard
    }

    /// The guard, mutably borrowed.
    pub fn get_mut(&mut self) -> &mut G {
        &mut self.guard
    }
}

impl<G> fmt::Debug for PoisonError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoisonError").field("cause", &self.cause).finish_non_exhaustive()
    }
}

impl<G> fmt::Display for PoisonError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl<G> std::error::Error for PoisonError<G> {}

/// Why a lock was not simply taken.
///
/// `?` turns it into an [`Error`] in functions that return [`Result`]: the lock is released and stays poisoned.
pub enum LockError<G> {
    /// The lock is held by this call, and its data may be half-written.
    Poisoned(PoisonError<G>),
    /// Somebody holds the lock (this thread included), and the call doesn't wait.
    WouldBlock,
    /// Somebody held the lock until the deadline.
    TimedOut,
    /// This thread holds the lock and would wait for itself.
    WouldDeadlock,
    /// The lock can't be used; see the error.
    Failed(Error),
}

impl<G> LockError<G> {
    /// The guard and the cause where the lock is held but poisoned, an [`Error`] for everything else.
    pub fn recover(self) -> Result<(G, Cause)> {
        match self {
            LockError::Poisoned(poison) => Ok((poison.guard, poison.cause)),
            other => Err(other.into()),
        }
    }

    /// The same error around another guard.
    pub fn map<H>(self, f: impl FnOnce(G) -> H) -> LockError<H> {
        match self {
            LockError::Poisoned(PoisonError { guard, cause }) => LockError::Poisoned(PoisonError::new(f(guard), cause)),
            LockError::WouldBlock => LockError::WouldBlock,
            LockError::TimedOut => LockError::TimedOut,
            LockError::WouldDeadlock => LockError::WouldDeadlock,
            LockError::Failed(error) => LockError::Failed(error),
        }
    }
}

impl<G> From<LockError<G>> for Error {
    fn from(error: LockError<G>) -> Error {
        match error {
            LockError::Poisoned(poison) => Error::Poisoned(poison.cause),
            LockError::WouldBlock => Error::WouldBlock,
            LockError::TimedOut => Error::TimedOut,
            LockError::WouldDeadlock => Error::WouldDeadlock,
            LockError::Failed(error) => error,
        }
    }
}

impl<G> From<PoisonError<G>> for LockError<G> {
    fn from(poison: PoisonError<G>) -> Self {
        LockError::Poisoned(poison)
    }
}

impl<G> fmt::Debug for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Poisoned(poison) => f.debug_tuple("Poisoned").field(&poison.cause).finish(),
            LockError::WouldBlock => f.write_str("WouldBlock"),
            LockError::TimedOut => f.write_str("TimedOut"),
            LockError::WouldDeadlock => f.write_str("WouldDeadlock"),
            LockError::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl<G> fmt::Display for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Poisoned(poison) => Error::Poisoned(poison.cause).fmt(f),
            LockError::WouldBlock => Error::WouldBlock.fmt(f),
            LockError::TimedOut => Error::TimedOut.fmt(f),
            LockError::WouldDeadlock => Error::WouldDeadlock.fmt(f),
            LockError::Failed(error) => error.fmt(f),
        }
    }
}

impl<G> std::error::Error for LockError<G> {}

static_assertions::assert_impl_all!(Error: Send, Sync, std::error::Error, Clone);
