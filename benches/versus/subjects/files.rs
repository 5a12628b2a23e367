//! Locks of files, beside a number in shared memory.

use std::cell::UnsafeCell;
use std::fs::File;
use std::io::Error;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use super::{Lock, Subject};
use crate::place::Placed;

/// How a file is locked.
pub trait FileLock: 'static {
    const NAME: &'static str;

    fn lock(file: &File);

    fn unlock(file: &File);
}

pub struct Flock;

impl FileLock for Flock {
    const NAME: &'static str = "flock";

    #[inline(always)]
    fn lock(file: &File) {
        // SAFETY: a descriptor of this process.
        assert_eq!(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) }, 0, "{}", Error::last_os_error());
    }

    #[inline(always)]
    fn unlock(file: &File) {
        // SAFETY: as above.
        assert_eq!(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_UN) }, 0, "{}", Error::last_os_error());
    }
}

/// An open file description's lock of the whole file.
pub struct Ofd;

impl FileLock for Ofd {
    const NAME: &'static str = "fcntl, F_OFD_SETLKW";

    #[inline(always)]
    fn lock(file: &File) {
        change(file, libc::F_WRLCK);
    }

    #[inline(always)]
    fn unlock(file: &File) {
        change(file, libc::F_UNLCK);
    }
}

#[inline(always)]
fn change(file: &File, to: libc::c_int) {
    // SAFETY: integers.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    (lock.l_type, lock.l_whence) = (to as i16, libc::SEEK_SET as i16);
    // SAFETY: a descriptor of this process, a lock that the kernel reads.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLKW, &lock) };
    assert_eq!(done, 0, "{}", Error::last_os_error());
}

pub struct Std;

impl FileLock for Std {
    const NAME: &'static str = "std::fs::File::lock";

    #[inline(always)]
    fn lock(file: &File) {
        file.lock().unwrap();
    }

    #[inline(always)]
    fn unlock(file: &File) {
        file.unlock().unwrap();
    }
}

/// A file of its own for each who has it, as they have one open file description each.
pub struct Locked<L> {
    file: File,
    number: Placed<UnsafeCell<u64>>,
    how: std::marker::PhantomData<L>,
}

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(name)
}

impl<L: FileLock> Subject for Locked<L> {
    const NAME: &'static str = L::NAME;

    fn create(name: &str) -> Self {
        let file = File::options().read(true).write(true).create_new(true).open(path(name)).unwrap();
        // SAFETY: a 0.
        let number = unsafe { Placed::create(name, |_| {}) };
        Locked { file, number, how: std::marker::PhantomData }
    }

    fn open(name: &str) -> Self {
        let file = File::options().read(true).write(true).open(path(name)).unwrap();
        // SAFETY: the same type made it.
        let number = unsafe { Placed::open(name) };
        Locked { file, number, how: std::marker::PhantomData }
    }

    fn remove(name: &str) {
        std::fs::remove_file(path(name)).unwrap();
        crate::place::remove(name);
    }
}

impl<L: FileLock> Lock for Locked<L> {
    const BYTES: Option<usize> = None;

    #[inline(always)]
    fn section<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
        L::lock(&self.file);
        // SAFETY: whoever has the file locked is alone.
        let result = f(unsafe { &mut *self.number.get() });
        L::unlock(&self.file);
        result
    }
}
