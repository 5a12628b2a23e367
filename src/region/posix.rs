//! POSIX shared memory.

use std::ffi::CString;
use std::path::PathBuf;

use super::entry::{Entry, NAME_MAX, region_of_an_entry};
use super::{Mapping, Region, Staged};
use crate::error::{Error, Result};
use crate::sys;

/// POSIX shared memory by name, what `shm_open` opens: a file in `/dev/shm`, in memory, gone after a reboot.
///
/// The name appears in one step, when the contents are complete. The space is all reserved: a full `/dev/shm` is an
/// error. Any process with permission can still shorten the file by other means, and whoever then touches what is
/// missing gets SIGBUS; only a [`Memfd`](super::Memfd) is safe from that.
///
/// ```
/// use pshared::region::{Posix, Region};
///
/// let region = Posix::new(&format!("pshared-doc-posix-{}", std::process::id()))?;
/// let staged = region.stage(4096)?;
/// // SAFETY: staged memory is nobody else's yet, and 4096 bytes long.
/// unsafe { staged.mapping().as_ptr().write(7) };
/// staged.publish()?;
///
/// let mapping = region.open()?; // any process of this user can
/// // SAFETY: a mapped byte that nobody writes any more.
/// assert_eq!(unsafe { mapping.as_ptr().read() }, 7);
/// assert_eq!(region.size()?, 4096);
/// region.remove()?;
/// # Ok::<(), pshared::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Posix {
    entry: Entry,
}

impl Posix {
    /// The region of that name: at most 255 bytes, without a `/`, not `.` or `..`.
    ///
    /// C's `shm_open` finds it by the same name with a `/` before it.
    pub fn new(name: &str) -> Result<Posix> {
        let invalid = |why| Err(Error::InvalidName { name: name.into(), why });
        match name {
            "" => return invalid("it is empty; write at least one character"),
            "." | ".." => return invalid("that is a directory; write a name such as \"stats\""),
            _ if name.contains('/') => {
                return invalid("it contains '/'; write \"stats\" for C's \"/stats\", and '-' or '.' to subdivide");
            }
            _ if name.len() > NAME_MAX => return invalid("it is longer than 255 bytes; write a shorter one"),
            _ => {}
        }
        let Ok(c_name) = CString::new(name) else {
            return invalid("it contains a NUL character; leave it out");
        };
        let entry = Entry::new(PathBuf::from(sys::file::SHARED_MEMORY), c_name, format!("shared memory `{name}`"));
        Ok(Posix { entry })
    }
}

region_of_an_entry!(Posix);
