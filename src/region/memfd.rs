//! Files in memory without a name, handed from process to process.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};

use nix::errno::Errno;

use super::{Mapping, Region, Staged, already_exists, failed, not_found, space, unsupported};
use crate::error::{Error, Result};
use crate::sys;

/// Memory behind a descriptor: found only by whom it is handed to, and sealed, so that nobody can shrink it and
/// nobody ever gets SIGBUS from it.
///
/// A `Memfd` is one piece of memory, and its clones are the same one. It goes away with its last descriptor and mapping
/// in any process, so there is nothing that [`remove`](Region::remove) could remove.
///
/// ```
/// use pshared::region::{Memfd, Region};
/// use std::os::unix::net::UnixStream;
///
/// let region = Memfd::new("stats")?;
/// let staged = region.stage(4096)?;
/// // SAFETY: staged memory is nobody else's yet, and 4096 bytes long.
/// unsafe { staged.mapping().as_ptr().write(7) };
/// staged.publish()?;
///
/// let (ours, theirs) = UnixStream::pair().unwrap();
/// region.send(&ours)?;
///
/// let received = Memfd::receive(&theirs)?; // another process would
/// let mapping = received.open()?;
/// // SAFETY: a mapped byte that nobody writes any more.
/// assert_eq!(unsafe { mapping.as_ptr().read() }, 7);
/// assert_eq!(received.size()?, 4096);
/// # Ok::<(), pshared::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Memfd {
    label: CString,
    what: Box<str>,
    /// Empty until something is published.
    file: Arc<OnceLock<Arc<OwnedFd>>>,
}

/// What travels with the descriptor; a message needs a byte to be one.
const MARK: u8 = b'M';

impl Memfd {
    /// A region that doesn't exist before it is staged and published. The label, at most 249 bytes, only serves people
    /// who read `/proc/PID/maps` and error messages; it need not be unique.
    pub fn new(label: &str) -> Result<Memfd> {
        let invalid = |why| Error::InvalidName { name: label.into(), why };
        if label.len() > sys::memfd::LABEL_MAX {
            return Err(invalid("a memfd's label has at most 249 bytes; write a shorter one"));
        }
        let c_label = CString::new(label).map_err(|_| invalid("it contains a NUL character; leave it out"))?;
        Ok(Memfd { label: c_label, what: format!("memfd `{label}`").into(), file: Arc::default() })
    }

    /// The region behind a descriptor that came some other way, for instance inherited through exec.
    ///
    /// It must be sealed with `F_SEAL_SHRINK`, as every published one is: otherwise whoever shrinks it kills each
    /// process that then touches what is missing.
    pub fn from_fd(file: OwnedFd) -> Result<Memfd> {
        let what = format!("memfd on descriptor {}", file.as_raw_fd());
        match sys::memfd::cannot_shrink(file.as_fd()) {
            Ok(true) => {}
            Ok(false) => return Err(unsupported(&what, UNSEALED)),
            Err(Errno::EINVAL) => {
                return Err(unsupported(&what, "it is no memfd; hand over one made by Memfd or memfd_create"));
            }
            Err(errno) => return Err(failed("fcntl(F_GET_SEALS)", &what, errno)),
        }
        Ok(Memfd { label: CString::default(), what: what.into(), file: Arc::new(OnceLock::from(Arc::new(file))) })
    }

    /// Hands the region to whoever calls [`receive`](Memfd::receive) at the other end of the socket.
    ///
    /// [`Error::NotFound`] if nothing was published yet. It travels with one byte of the stream, in order with whatever
    /// else is written there.
    pub fn send(&self, socket: &UnixStream) -> Result<()> {
        let file = self.published()?;
        sys::socket::send(socket.as_fd(), MARK, file).map_err(|errno| match errno {
            Errno::EPIPE | Errno::ECONNRESET => sys::failed("sendmsg", SOCKET, errno, "the peer has closed its end"),
            Errno::EAGAIN => {
                sys::failed("sendmsg", SOCKET, errno, "it is full and doesn't block: wait until it can be written")
            }
            errno => failed("sendmsg", SOCKET, errno),
        })
    }

    /// The region that the peer [sends](Memfd::send), waiting for it as long as reads from the socket wait.
    ///
    /// Takes one byte from the stream, so everything written before must have been read. A message that isn't exactly
    /// one sealed descriptor is an error, and what came with it is closed.
    pub fn receive(socket: &UnixStream) -> Result<Memfd> {
        let message = sys::socket::receive(socket.as_fd()).map_err(|errno| match errno {
            Errno::EAGAIN => sys::failed("recvmsg", SOCKET, errno, "nothing came: wait until it can be read"),
            Errno::ECONNRESET => sys::failed("recvmsg", SOCKET, errno, "the peer has closed its end"),
            errno => failed("recvmsg", SOCKET, errno),
        })?;
        let Some(byte) = message.byte else {
            return Err(unsupported(SOCKET, "the peer closed its end before it sent a memfd"));
        };
        let mut files = message.descriptors;
        match (files.pop(), byte) {
            (Some(file), MARK) if files.is_empty() && !message.truncated => Memfd::from_fd(file),
            (None, MARK) if message.truncated => Err(failed("recvmsg", SOCKET, Errno::EMFILE)),
            _ => Err(unsupported(
                SOCKET,
                "what came is not one memfd; read everything else first, then receive what send sent",
            )),
        }
    }

    /// The descriptor, once there is one. It is closed by exec unless `FD_CLOEXEC` is taken off a copy.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.get().map(|file| file.as_fd())
    }

    fn published(&self) -> Result<BorrowedFd<'_>> {
        self.as_fd().ok_or_else(|| not_found(&self.what))
    }
}

impl Region for Memfd {
    fn describe(&self) -> String {
        self.what.clone().into()
    }

    fn open(&self) -> Result<Mapping> {
        Mapping::of_file(self.published()?, self.size()?, &self.what)
    }

    /// [`Error::AlreadyExists`] after something was published: one `Memfd` is one piece of memory.
    fn stage(&self, len: usize) -> Result<Staged> {
        space::check_len(len, &self.what)?;
        if self.as_fd().is_some() {
            return Err(already_exists(&self.what));
        }
        let file = sys::memfd::create(&self.label).map_err(|errno| failed("memfd_create", &self.what, errno))?;
        space::reserve(file.as_fd(), len, &self.what)?;
        let mapping = Mapping::of_file(file.as_fd(), len, &self.what)?;

        let Memfd { what, file: published, .. } = self.clone();
        let file = Arc::new(file);
        Ok(Staged::new(mapping, move || {
            sys::memfd::seal_size(file.as_fd()).map_err(|errno| failed("fcntl(F_ADD_SEALS)", &what, errno))?;
            published.set(Arc::clone(&file)).map_err(|_| already_exists(&what))
        }))
    }

    /// Only says whether there is something: closing the last descriptor and mapping is what removes it.
    fn remove(&self) -> Result<()> {
        self.published().map(drop)
    }

    fn size(&self) -> Result<usize> {
        let stat = sys::file::stat(self.published()?).map_err(|errno| failed("fstat", &self.what, errno))?;
        let len = usize::try_from(stat.st_size).map_err(|_| unsupported(&self.what, TOO_LONG))?;
        space::check_len(len, &self.what).map(|()| len)
    }
}

const SOCKET: &str = "the Unix socket";
const TOO_LONG: &str = "it is longer than this process's address space";
const UNSEALED: &str = "it isn't sealed against shrinking, so its owner could take memory away under this process; \
                        seal it first: fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK)";
