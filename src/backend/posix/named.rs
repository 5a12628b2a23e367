//! `NamedSemaphore`: the semaphores that other programs open by name.

use std::ffi::CString;
use std::fmt;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::deadline::{Deadline, Patience};
use crate::error::{Error, Result};
use crate::sys;
use crate::sys::sem::NamedSem;

/// The longest name, in bytes: glibc puts `sem.` before it, and a file's name has 255.
const NAME_MAX: usize = 251;

/// How long a wait sleeps before it looks by itself.
const SLICE: Duration = Duration::from_millis(50);

/// A POSIX semaphore by its name, what C's `sem_open` opens: to work together with programs that use it already.
///
/// It is a plain count that any program may raise and lower, and that is all it promises: **nobody owns a permit, none
/// comes back when its taker dies, and nothing says that somebody died**. Between processes that all use this crate, take
/// a [`Permits`](crate::Permits) or a [`Semaphore`](crate::Semaphore) in a cell. What this type adds to C's calls: waits
/// look up by themselves every 50 ms, so that they outlast a waiter that is killed with the wake-up in its hands, which
/// others sleep for ever after; times are by the monotonic clock; signals don't end a wait.
///
/// It stays until it is [removed](NamedSemaphore::remove) or the machine restarts. On Linux it is the file
/// `/dev/shm/sem.NAME`.
///
/// ```
/// use pshared::Error;
/// use pshared::posix::NamedSemaphore;
///
/// # let name = &format!("pshared-doc-named-{}", std::process::id());
/// // For C: sem_open("/jobs", O_CREAT, 0600, 2)
/// let jobs = NamedSemaphore::open_or_create(name, 0o600, 2)?;
/// jobs.wait()?;
/// jobs.try_wait()?;
/// assert!(matches!(jobs.try_wait(), Err(Error::WouldBlock)));
/// jobs.post()?;
/// assert_eq!(jobs.value()?, 1);
/// NamedSemaphore::remove(name)?;
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors of every call by name
///
/// [`Error::InvalidName`] for a name that is empty, `.` or `..`, has a `/` or a NUL character inside, or is longer than
/// 251 bytes. A `/` before it, as C programs write it, may stand there or not.
///
/// # Limits
///
/// - A process that may open it may also make its count anything, or its file too short, which costs SIGBUS.
/// - Programs of another libc have another `sem_t`, or look for it in another place.
/// - For signal handlers [`post`](NamedSemaphore::post) only.
pub struct NamedSemaphore {
    sem: NamedSem,
    what: Box<str>,
}

impl NamedSemaphore {
    /// Makes a new one with `value` permits and the permissions `mode`, such as 0o600, from which the umask takes.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](Error::AlreadyExists) if there is one of that name; [`TooManyPermits`](Error::TooManyPermits) for
    /// a value above 2^31 - 1; [`Unsupported`](Error::Unsupported) for a mode with other bits than permissions;
    /// [`Os`](Error::Os) if the system refuses.
    pub fn create(name: &str, mode: u32, value: u32) -> Result<NamedSemaphore> {
        NamedSemaphore::created(name, sys::sem::Existing::Refused, mode, value)
    }

    /// Opens the one of that name.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Error::NotFound) if there is none; [`Os`](Error::Os) if the system refuses, for want of permission
    /// above all.
    pub fn open(name: &str) -> Result<NamedSemaphore> {
        let c_name = checked(name)?;
        NamedSemaphore::of(name, NamedSem::open(&c_name))
    }

    /// Opens the one of that name, or makes it: then with `value` permits and the permissions `mode`.
    ///
    /// # Errors
    ///
    /// As [`create`](NamedSemaphore::create) but for `AlreadyExists`.
    pub fn open_or_create(name: &str, mode: u32, value: u32) -> Result<NamedSemaphore> {
        NamedSemaphore::created(name, sys::sem::Existing::Opened, mode, value)
    }

    fn created(name: &str, existing: sys::sem::Existing, mode: u32, value: u32) -> Result<NamedSemaphore> {
        let c_name = checked(name)?;
        if mode & !0o777 != 0 {
            let why = "its mode has more than the nine permission bits; write it in octal, as 0o640";
            return Err(Error::Unsupported { what: described(name), why });
        }
        if value > sys::sem::VALUE_MAX {
            return Err(Error::TooManyPermits { value: 0, more: value, max: sys::sem::VALUE_MAX });
        }
        NamedSemaphore::of(name, NamedSem::create(&c_name, existing, mode, value))
    }

    fn of(name: &str, opened: Result<NamedSem, Errno>) -> Result<NamedSemaphore> {
        let what = described(name);
        match opened {
            Ok(sem) => Ok(NamedSemaphore { sem, what }),
            Err(Errno::ENOENT) => Err(Error::NotFound { what }),
            Err(Errno::EEXIST) => Err(Error::AlreadyExists { what }),
            Err(errno) => Err(failed("sem_open", &what, errno)),
        }
    }

    /// Removes the name. Those who have it open go on with it.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Error::NotFound) if there is none; [`Os`](Error::Os) if the system refuses.
    pub fn remove(name: &str) -> Result<()> {
        sys::sem::unlink(&checked(name)?).map_err(|errno| match errno {
            Errno::ENOENT => Error::NotFound { what: described(name) },
            errno => failed("sem_unlink", &described(name), errno),
        })
    }

    /// Takes a permit, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// [`Os`](Error::Os) if the system refuses.
    pub fn wait(&self) -> Result<()> {
        self.wait_with(Patience::Forever)
    }

    /// Takes a permit if there is one.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](Error::WouldBlock) if there is none; as [`wait`](NamedSemaphore::wait).
    pub fn try_wait(&self) -> Result<()> {
        if self.take()? { Ok(()) } else { Err(Error::WouldBlock) }
    }

    /// Takes a permit, waiting for at most `timeout`, by the monotonic clock. One that is there is taken however short the
    /// time; a time beyond what the clock can express is for ever.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](Error::TimedOut), never before the time is up; as [`wait`](NamedSemaphore::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<()> {
        self.wait_with(Patience::for_duration(timeout))
    }

    /// Takes a permit, waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](NamedSemaphore::wait_timeout).
    pub fn wait_until(&self, deadline: Instant) -> Result<()> {
        self.wait_with(Patience::until(deadline))
    }

    fn wait_with(&self, patience: Patience) -> Result<()> {
        let deadline = match patience {
            Patience::Until(deadline) => Some(deadline),
            Patience::Forever | Patience::None => None,
        };
        loop {
            // Before the clock: a waiter whose time is up takes what it was woken for.
            if self.take()? {
                return Ok(());
            }
            if deadline.is_some_and(Deadline::has_passed) {
                return Err(Error::TimedOut);
            }
            let until = Deadline::or_slice(deadline, SLICE);
            if self.sem.sem().wait(until).map_err(|errno| failed("sem_clockwait", &self.what, errno))? {
                return Ok(());
            }
        }
    }

    fn take(&self) -> Result<bool> {
        self.sem.sem().try_wait().map_err(|errno| failed("sem_trywait", &self.what, errno))
    }

    /// Adds a permit. May be called from a signal handler.
    ///
    /// # Errors
    ///
    /// [`TooManyPermits`](Error::TooManyPermits) if there are 2^31 - 1; [`Os`](Error::Os) if the system refuses.
    pub fn post(&self) -> Result<()> {
        let max = sys::sem::VALUE_MAX;
        self.sem.sem().post().map_err(|errno| match errno {
            Errno::EOVERFLOW => Error::TooManyPermits { value: max, more: 1, max },
            errno => failed("sem_post", &self.what, errno),
        })
    }

    /// How many permits are there at this moment; others may take them before the caller does.
    ///
    /// # Errors
    ///
    /// [`Os`](Error::Os) if the system refuses.
    pub fn value(&self) -> Result<u32> {
        self.sem.sem().value().map_err(|errno| failed("sem_getvalue", &self.what, errno))
    }
}

impl fmt::Debug for NamedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("NamedSemaphore");
        shown.field("what", &self.what).field("value", &self.value().ok()).finish_non_exhaustive()
    }
}

/// The name for C.
fn checked(name: &str) -> Result<CString> {
    let invalid = |why| Err(Error::InvalidName { name: name.into(), why });
    let bare = name.strip_prefix('/').unwrap_or(name);
    match bare {
        "" => return invalid("it is empty; write at least one character"),
        "." | ".." => return invalid("that is a directory; write a name such as \"jobs\""),
        _ if bare.contains('/') => return invalid("it contains '/'; write '-' or '.' to subdivide"),
        _ if bare.len() > NAME_MAX => return invalid("it is longer than 251 bytes; write a shorter one"),
        _ => {}
    }
    match CString::new(format!("/{bare}")) {
        Ok(c_name) => Ok(c_name),
        Err(_) => invalid("it contains a NUL character; leave it out"),
    }
}

fn described(name: &str) -> Box<str> {
    format!("semaphore `{}`", name.strip_prefix('/').unwrap_or(name)).into()
}

fn failed(call: &'static str, what: &str, errno: Errno) -> Error {
    let advice = match errno {
        Errno::EACCES | Errno::EPERM => "ask its owner for read and write permission, which the mode gives",
        Errno::EINVAL => "it was made by something else than this libc's sem_open; remove it, or choose another name",
        Errno::EMFILE | Errno::ENFILE => "close some files, or raise the limit",
        _ => "nothing more is known",
    };
    sys::failed(call, what, errno, advice)
}

static_assertions::assert_impl_all!(NamedSemaphore: Send, Sync);
