//! A name in a directory: what [`Posix`](super::Posix) and [`File`](super::File) have in common.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::stat::FileStat;

use super::{Mapping, PRIVATE, Staged, already_exists, checked_mode, failed, not_found, space, unsupported};
use crate::error::{Error, Result};
use crate::sys;

/// The longest name that a directory holds, in bytes.
pub(super) const NAME_MAX: usize = 255;

/// What regions that are an [`Entry`] have in common: all but their names.
macro_rules! region_of_an_entry {
    ($region:ident) => {
        impl $region {
            /// The permissions that it is created with, such as `0o640`; 0600 unless told. No umask takes from them.
            ///
            /// # Errors
            ///
            /// [`Error::Unsupported`](crate::Error::Unsupported): other bits than permissions.
            pub fn mode(self, mode: u32) -> Result<$region> {
                Ok($region { entry: self.entry.with_mode(mode)? })
            }
        }

        impl Region for $region {
            fn describe(&self) -> String {
                self.entry.describe().into()
            }

            fn open(&self) -> Result<Mapping> {
                self.entry.open()
            }

            fn stage(&self, len: usize) -> Result<Staged> {
                self.entry.stage(len)
            }

            fn remove(&self) -> Result<()> {
                self.entry.remove()
            }

            fn size(&self) -> Result<usize> {
                self.entry.size()
            }
        }
    };
}
pub(super) use region_of_an_entry;

#[derive(Clone, Debug)]
pub(super) struct Entry {
    directory: PathBuf,
    name: CString,
    mode: u32,
    what: Box<str>,
}

impl Entry {
    /// `name` has been checked: one component.
    pub(super) fn new(directory: PathBuf, name: CString, what: String) -> Entry {
        Entry { directory, name, mode: PRIVATE, what: what.into() }
    }

    pub(super) fn with_mode(self, mode: u32) -> Result<Entry> {
        Ok(Entry { mode: checked_mode(mode, &self.what)?, ..self })
    }

    pub(super) fn describe(&self) -> &str {
        &self.what
    }

    pub(super) fn open(&self) -> Result<Mapping> {
        let file =
            sys::file::open_named(self.existing_directory()?.as_fd(), &self.name).map_err(|errno| match errno {
                Errno::ENOENT => not_found(&self.what),
                Errno::ELOOP => unsupported(&self.what, SYMLINK),
                Errno::EISDIR | Errno::ENXIO => unsupported(&self.what, NOT_REGULAR),
                errno => failed("open", &self.what, errno),
            })?;
        let stat = sys::file::stat(file.as_fd()).map_err(|errno| failed("fstat", &self.what, errno))?;
        Mapping::of_file(file.as_fd(), self.len(&stat)?, &self.what)
    }

    pub(super) fn stage(&self, len: usize) -> Result<Staged> {
        space::check_len(len, &self.what)?;
        let directory = self.directory().map_err(|errno| failed("open", &self.directory_name(), errno))?;
        let file = sys::file::open_unnamed(directory.as_fd()).map_err(|errno| match errno {
            Errno::EOPNOTSUPP | Errno::EISDIR | Errno::EINVAL => {
                sys::failed("open(O_TMPFILE)", self.directory_name(), errno, NO_TMPFILE)
            }
            Errno::EACCES | Errno::EPERM => sys::failed("open(O_TMPFILE)", self.directory_name(), errno, NO_ACCESS),
            errno => failed("open(O_TMPFILE)", &self.directory_name(), errno),
        })?;
        sys::file::chmod(file.as_fd(), self.mode).map_err(|errno| failed("fchmod", &self.what, errno))?;
        space::reserve(file.as_fd(), len, &self.what)?;
        let mapping = Mapping::of_file(file.as_fd(), len, &self.what)?;

        let Entry { name, what, .. } = self.clone();
        Ok(Staged::new(mapping, move || {
            let linked = match sys::file::link_descriptor(file.as_fd(), directory.as_fd(), &name) {
                Err(Errno::ENOENT) => sys::file::link_through_proc(file.as_fd(), directory.as_fd(), &name),
                done => done,
            };
            linked.map_err(|errno| match errno {
                Errno::EEXIST => already_exists(&what),
                Errno::ENOENT => sys::failed("linkat", what.clone(), errno, NOT_LINKED),
                errno => failed("linkat", &what, errno),
            })
        }))
    }

    pub(super) fn remove(&self) -> Result<()> {
        sys::file::unlink(self.existing_directory()?.as_fd(), &self.name).map_err(|errno| match errno {
            Errno::ENOENT => not_found(&self.what),
            Errno::EISDIR => unsupported(&self.what, NOT_REGULAR),
            Errno::EACCES | Errno::EPERM => sys::failed("unlink", self.what.clone(), errno, NOT_YOURS),
            errno => failed("unlink", &self.what, errno),
        })
    }

    pub(super) fn size(&self) -> Result<usize> {
        let found = sys::file::stat_named(self.existing_directory()?.as_fd(), &self.name);
        self.len(&found.map_err(|errno| match errno {
            Errno::ENOENT => not_found(&self.what),
            errno => failed("fstatat", &self.what, errno),
        })?)
    }

    fn len(&self, stat: &FileStat) -> Result<usize> {
        if !sys::file::is_regular(stat) {
            return Err(unsupported(&self.what, NOT_REGULAR));
        }
        match usize::try_from(stat.st_size) {
            Ok(0) => Err(unsupported(&self.what, EMPTY)),
            Ok(len) => space::check_len(len, &self.what).map(|()| len),
            Err(_) => Err(unsupported(&self.what, "it is longer than this process's address space")),
        }
    }

    fn directory(&self) -> Result<OwnedFd, Errno> {
        sys::file::open_directory(&self.directory)
    }

    /// Nothing exists in a directory that doesn't.
    fn existing_directory(&self) -> Result<OwnedFd> {
        self.directory().map_err(|errno| match errno {
            Errno::ENOENT => Error::NotFound { what: self.what.clone() },
            errno => failed("open", &self.directory_name(), errno),
        })
    }

    fn directory_name(&self) -> String {
        format!("directory `{}`", self.directory.display())
    }
}

const SYMLINK: &str = "it is a symbolic link; name the file that it points to";
const NOT_REGULAR: &str = "it is no regular file; choose another name";
const EMPTY: &str = "it is empty, so this crate hasn't made it; choose another name, or remove it";
const NO_ACCESS: &str = "choose a directory that this process may create files in";
const NOT_YOURS: &str = "only its owner, or the directory's, may remove it";
const NO_TMPFILE: &str = "this file system has no files without a name (O_TMPFILE), as NFS, FAT and FUSE, so nothing \
                          can appear in it complete; choose a directory on tmpfs, ext4, xfs or btrfs";
const NOT_LINKED: &str = "its directory is gone, or the region was published and removed before, or this kernel, \
                          older than 6.10, needs /proc mounted";
