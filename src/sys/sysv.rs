//! SysV shared memory segments.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr::{NonNull, null, null_mut};

use nix::errno::Errno;

/// A segment's identifier, valid in the whole IPC namespace until the segment is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment(libc::c_int);

/// What [`Segment::stat`] says.
pub(crate) struct Stat {
    /// The size that was asked for, in bytes.
    pub(crate) len: usize,
    /// How many times it is attached now, this process included.
    pub(crate) attached: u64,
}

/// `ftok`: a key made of a file's device and inode number and `id`.
pub(crate) fn ftok(path: &CStr, id: u8) -> Result<i32, Errno> {
    Errno::clear();
    // SAFETY: a C string that outlives the call.
    let key = unsafe { libc::ftok(path.as_ptr(), libc::c_int::from(id)) };
    // −1 is also what a file with all the right bits set gives, so errno decides.
    match Errno::last_raw() {
        errno if key == -1 && errno != 0 => Err(Errno::from_raw(errno)),
        _ => Ok(key),
    }
}

impl Segment {
    /// `shmget(IPC_CREAT | IPC_EXCL)`: zeros that everybody finds from now on.
    pub(crate) fn create(key: i32, len: usize, mode: u32) -> Result<Segment, Errno> {
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | mode as libc::c_int;
        // SAFETY: takes numbers only.
        Errno::result(unsafe { libc::shmget(key, len, flags) }).map(Segment)
    }

    /// `shmget` of what exists.
    pub(crate) fn find(key: i32) -> Result<Segment, Errno> {
        // SAFETY: takes numbers only.
        Errno::result(unsafe { libc::shmget(key, 0, 0) }).map(Segment)
    }

    /// `shmat`, for reading and writing, at an address of the kernel's choice.
    pub(crate) fn attach(self) -> Result<NonNull<u8>, Errno> {
        // SAFETY: without an address given nothing that is mapped changes.
        let address = unsafe { libc::shmat(self.0, null(), 0) };
        if address.addr() == usize::MAX {
            return Err(Errno::last());
        }
        NonNull::new(address.cast()).ok_or(Errno::ENOMEM)
    }

    /// `shmctl(IPC_STAT)`.
    pub(crate) fn stat(self) -> Result<Stat, Errno> {
        let mut found = MaybeUninit::<libc::shmid_ds>::zeroed();
        // SAFETY: the kernel writes one shmid_ds to where there's room for one.
        Errno::result(unsafe { libc::shmctl(self.0, libc::IPC_STAT, found.as_mut_ptr()) })?;
        // SAFETY: zeroed, then filled by the successful call; all its fields are integers.
        let found = unsafe { found.assume_init() };
        #[allow(clippy::useless_conversion, reason = "u32 on 32-bit targets")]
        Ok(Stat { len: found.shm_segsz, attached: u64::from(found.shm_nattch) })
    }

    /// `shmctl(IPC_RMID)`: the key is free at once, the memory when the last process detaches.
    pub(crate) fn remove(self) -> Result<(), Errno> {
        // SAFETY: IPC_RMID reads nothing through the pointer.
        Errno::result(unsafe { libc::shmctl(self.0, libc::IPC_RMID, null_mut()) }).map(drop)
    }
}

/// `shmdt`.
///
/// # Safety
/// - `address` is what [`Segment::attach`] returned, not detached since.
/// - Nobody uses the memory any more.
pub(crate) unsafe fn detach(address: NonNull<u8>) -> Result<(), Errno> {
    // SAFETY: a whole attachment that nobody uses, by this function's contract.
    Errno::result(unsafe { libc::shmdt(address.as_ptr().cast()) }).map(drop)
}
