//! Memory-mapped files.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::entry::{Entry, NAME_MAX, region_of_an_entry};
use super::{Mapping, Region, Staged};
use crate::error::{Error, Result};

/// A memory-mapped file by path: what is in it outlives the machine's uptime.
///
/// The file appears in one step, when its contents are complete, and all its space is reserved.
///
/// # Limits
/// - The file system must know files without a name (`O_TMPFILE`: ext4, xfs, btrfs, tmpfs and others do; NFS, FAT, 9p
///   and most of FUSE don't). Elsewhere creating is an error.
/// - Network file systems don't share memory: two machines that map one file see changes late or never, and locks in it
///   exclude nobody.
/// - Whoever may write the file can also shorten it, and a process that then touches what is missing gets SIGBUS. The
///   kernel lets no one forbid that on files with a name; a [`Memfd`](super::Memfd) is sealed against it.
/// - Changes reach the disk when the kernel sees fit. After a crash of the machine the file may hold any mixture of old
///   and new pages.
/// - A relative path is looked up in the current directory at each call. A symbolic link as the last part is refused.
///
/// ```
/// use pshared::region::{File, Region};
///
/// let path = std::env::temp_dir().join(format!("pshared-doc-file-{}", std::process::id()));
/// let region = File::new(&path)?.mode(0o640)?;
/// let staged = region.stage(4096)?;
/// // SAFETY: staged memory is nobody else's yet, and 4096 bytes long.
/// unsafe { staged.mapping().as_ptr().write(7) };
/// staged.publish()?;
///
/// let mapping = region.open()?; // any process that may read and write it can
/// // SAFETY: a mapped byte that nobody writes any more.
/// assert_eq!(unsafe { mapping.as_ptr().read() }, 7);
/// assert_eq!(region.size()?, 4096);
/// region.remove()?;
/// # Ok::<(), pshared::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct File {
    entry: Entry,
}

impl File {
    /// The file at `path`, whose directory exists.
    pub fn new(path: impl AsRef<Path>) -> Result<File> {
        let path = path.as_ref();
        let invalid = |why| Err(Error::InvalidName { name: path.to_string_lossy().into(), why });
        // By bytes: Path's own ways to take it apart hide a trailing slash or dot.
        let bytes = path.as_os_str().as_bytes();
        let (directory, name) = match bytes.iter().rposition(|byte| *byte == b'/') {
            Some(0) => (&b"/"[..], &bytes[1..]),
            Some(slash) => (&bytes[..slash], &bytes[slash + 1..]),
            None => (&b"."[..], bytes),
        };
        match name {
            _ if bytes.is_empty() => return invalid("it is empty; write the path of a file"),
            b"" => return invalid("it ends in '/'; write the path of a file, not of a directory"),
            b"." | b".." => return invalid("it names a directory; write the path of a file in it"),
            _ if bytes.contains(&0) => return invalid("it contains a NUL character; leave it out"),
            _ if name.len() > NAME_MAX => {
                return invalid("its last part is longer than 255 bytes; write a shorter one");
            }
            _ => {}
        }
        let Ok(name) = CString::new(name) else {
            return invalid("it contains a NUL character; leave it out");
        };
        let what = format!("file `{}`", path.display());
        Ok(File { entry: Entry::new(PathBuf::from(OsStr::from_bytes(directory)), name, what) })
    }
}

region_of_an_entry!(File);
