//! SysV shared memory.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

use super::{Mapping, PRIVATE, Region, Staged, already_exists, checked_mode, failed, not_found, space, unsupported};
use crate::error::{Error, Result};
use crate::sys;
use crate::sys::sysv::{Segment, Stat};

/// A SysV shared memory segment by key, gone after a reboot.
///
/// The system can't hide a segment until it is complete: it can be found as soon as it exists, as zeros
/// ([`Visibility::Immediately`](super::Visibility::Immediately)). A process killed while it fills one leaves it for the
/// next one to finish, and `ipcs -m` shows what was never removed.
///
/// ```
/// use pshared::region::{Region, SysV};
///
/// let region = SysV::key(0x5053_0000 | (std::process::id() as i32 & 0xffff))?;
/// let staged = region.stage(4096)?;
/// // SAFETY: 4096 bytes that nobody else looks for.
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
pub struct SysV {
    key: i32,
    mode: u32,
    what: Box<str>,
}

impl SysV {
    /// The segment of that key, any number but 0.
    pub fn key(key: i32) -> Result<SysV> {
        if key == 0 {
            let why = "the key 0 is IPC_PRIVATE, a new segment at each call; write another number, or use Anonymous";
            return Err(Error::InvalidName { name: "0".into(), why });
        }
        Ok(SysV { key, mode: PRIVATE, what: format!("SysV segment {key:#010x}").into() })
    }

    /// The segment whose key C's `ftok(path, id)` makes of an existing file and a number that isn't 0.
    ///
    /// The key is made of the low 16 bits of the file's inode number, the low 8 bits of its device number and `id`:
    /// two files may happen to make the same one, and a file that is deleted and written anew makes another.
    ///
    /// ```
    /// use pshared::region::{Region, SysV};
    ///
    /// let program = std::env::current_exe().unwrap();
    /// let (region, same) = (SysV::ftok(&program, b'd')?, SysV::ftok(&program, b'd')?);
    /// region.stage(64)?.publish()?;
    /// assert_eq!(same.size()?, 64);
    /// same.remove()?;
    /// # Ok::<(), pshared::Error>(())
    /// ```
    pub fn ftok(path: impl AsRef<Path>, id: u8) -> Result<SysV> {
        let path = path.as_ref();
        let invalid = |why| Error::InvalidName { name: path.to_string_lossy().into(), why };
        if path.as_os_str().is_empty() {
            return Err(invalid("it is empty; write the path of an existing file"));
        }
        if id == 0 {
            return Err(invalid("ftok's id is 0, which makes no usable key; write 1 to 255, such as b'a'"));
        }
        let c_path = CString::new(path.as_os_str().as_bytes());
        let c_path = c_path.map_err(|_| invalid("it contains a NUL character; leave it out"))?;
        let key = sys::sysv::ftok(&c_path, id).map_err(|errno| match errno {
            Errno::ENOENT => {
                let advice = "the key is made of a file's inode number: name a file that exists";
                sys::failed("ftok", format!("`{}`", path.display()), errno, advice)
            }
            errno => failed("ftok", &format!("`{}`", path.display()), errno),
        })?;
        let what = format!("SysV segment {key:#010x} of `{}` and {id}", path.display()).into();
        Ok(SysV { what, ..SysV::key(key)? })
    }

    /// The permissions that the segment is created with, such as `0o640`; 0600 unless told. No umask takes from them.
    ///
    /// It must let the owner read and write, because the creator attaches the segment as everybody else does.
    pub fn mode(self, mode: u32) -> Result<SysV> {
        let mode = checked_mode(mode, &self.what)?;
        if mode & PRIVATE != PRIVATE {
            return Err(unsupported(&self.what, "its creator attaches it too; give it a mode that contains 0o600"));
        }
        Ok(SysV { mode, ..self })
    }

    fn find(&self) -> Result<Segment> {
        Segment::find(self.key).map_err(|errno| self.gone("shmget", errno))
    }

    fn stat(&self, segment: Segment) -> Result<Stat> {
        segment.stat().map_err(|errno| self.gone("shmctl", errno))
    }

    /// Why a call on an existing segment failed: it may have been removed since the call before.
    fn gone(&self, call: &'static str, errno: Errno) -> Error {
        match errno {
            Errno::ENOENT | Errno::EIDRM | Errno::EINVAL => not_found(&self.what),
            errno => failed(call, &self.what, errno),
        }
    }

    fn create(&self, len: usize) -> Result<Segment> {
        Segment::create(self.key, len, self.mode).map_err(|errno| match errno {
            Errno::EEXIST => already_exists(&self.what),
            Errno::EINVAL => {
                unsupported(&self.what, "kernel.shmmax allows no segment that long; raise it, or ask for less")
            }
            Errno::ENOSPC => sys::failed("shmget", self.what.clone(), errno, TOO_MANY),
            errno => failed("shmget", &self.what, errno),
        })
    }

    fn fill(&self, segment: Segment, len: usize) -> Result<Mapping> {
        let mapping = Mapping::of_segment(segment, len, &self.what).map_err(|errno| self.gone("shmat", errno))?;
        space::populate(&mapping)?;
        Ok(mapping)
    }
}

impl Region for SysV {
    fn describe(&self) -> String {
        self.what.clone().into()
    }

    fn open(&self) -> Result<Mapping> {
        let segment = self.find()?;
        let len = self.stat(segment)?.len;
        Mapping::of_segment(segment, len, &self.what).map_err(|errno| self.gone("shmat", errno))
    }

    fn stage(&self, len: usize) -> Result<Staged> {
        space::check_len(len, &self.what)?;
        space::check_memory(len, "shmget", &self.what)?;
        let segment = self.create(len)?;
        match self.fill(segment, len) {
            Ok(mapping) => Ok(Staged::new(mapping, || Ok(()))),
            Err(error) => {
                // Whoever has come in meanwhile keeps it, and its key.
                if !self.stat(segment).is_ok_and(|now| now.attached > 0) {
                    segment.remove().map_err(|errno| self.gone("shmctl", errno))?;
                }
                Err(error)
            }
        }
    }

    fn remove(&self) -> Result<()> {
        self.find()?.remove().map_err(|errno| match errno {
            Errno::EPERM => sys::failed("shmctl", self.what.clone(), errno, "only its owner and creator may remove it"),
            errno => self.gone("shmctl", errno),
        })
    }

    fn size(&self) -> Result<usize> {
        Ok(self.stat(self.find()?)?.len)
    }
}

const TOO_MANY: &str = "the system has too many or too large segments: remove unused ones (ipcs -m, ipcrm), or raise \
                        kernel.shmmni and kernel.shmall";
