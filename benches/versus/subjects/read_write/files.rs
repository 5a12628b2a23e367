//! Locks on a file that has no name any more: others open it by the descriptor of the process that created it.

use std::cell::UnsafeCell;
use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use super::ReadWrite;
use crate::place::Placed;
use crate::subjects::Subject;

/// How a file is locked.
#[derive(Clone, Copy)]
enum Mode {
    Shared,
    Exclusive,
    Unlocked,
}

/// A file, and the numbers.
struct Locked {
    file: File,
    place: Placed<Shared>,
}

#[repr(C)]
struct Shared {
    creator: u32,
    descriptor: RawFd,
    numbers: UnsafeCell<[u64; 2]>,
}

impl Locked {
    fn create(name: &str) -> Self {
        let path = std::env::temp_dir().join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        // SAFETY: the numbers are 0; nothing has an address.
        let place = unsafe {
            Placed::create(name, |at: *mut Shared| {
                (&raw mut (*at).creator).write(std::process::id());
                (&raw mut (*at).descriptor).write(file.as_raw_fd());
            })
        };
        Locked { file, place }
    }

    fn open(name: &str) -> Self {
        // SAFETY: the same type made it.
        let place = unsafe { Placed::<Shared>::open(name) };
        let path = format!("/proc/{}/fd/{}", place.creator, place.descriptor);
        Locked { file: OpenOptions::new().read(true).write(true).open(path).unwrap(), place }
    }

    /// Runs `f` with the file locked by `lock`.
    #[inline(always)]
    fn with<R>(&self, mode: Mode, lock: fn(&File, Mode), f: impl FnOnce(*mut [u64; 2]) -> R) -> R {
        let file = black_box(&self.file);
        lock(file, mode);
        let result = f(self.place.numbers.get());
        lock(file, Mode::Unlocked);
        result
    }
}

fn flock(file: &File, mode: Mode) {
    let operation = match mode {
        Mode::Shared => libc::LOCK_SH,
        Mode::Exclusive => libc::LOCK_EX,
        Mode::Unlocked => libc::LOCK_UN,
    };
    // SAFETY: an open descriptor; no memory is touched.
    let result = unsafe { libc::flock(file.as_raw_fd(), operation) };
    assert_eq!(result, 0, "flock: {}", io::Error::last_os_error());
}

fn ofd(file: &File, mode: Mode) {
    let kind = match mode {
        Mode::Shared => libc::F_RDLCK,
        Mode::Exclusive => libc::F_WRLCK,
        Mode::Unlocked => libc::F_UNLCK,
    };
    let mut range = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0, // as these locks want it
    };
    // SAFETY: an open descriptor, and the struct for this command.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLKW, &raw mut range) };
    assert_eq!(result, 0, "fcntl: {}", io::Error::last_os_error());
}

macro_rules! locked_by {
    ($subject:ident, $name:literal, $lock:ident) => {
        pub struct $subject(Locked);

        impl Subject for $subject {
            const NAME: &'static str = $name;

            fn create(name: &str) -> Self {
                $subject(Locked::create(name))
            }

            fn open(name: &str) -> Self {
                $subject(Locked::open(name))
            }
        }

        impl ReadWrite for $subject {
            fn bytes() -> Option<usize> {
                None
            }

            #[inline(always)]
            fn reading<R>(&self, f: impl FnOnce(&[u64; 2]) -> R) -> R {
                // SAFETY: locked for reading.
                self.0.with(Mode::Shared, $lock, |numbers| f(unsafe { &*numbers }))
            }

            #[inline(always)]
            fn writing<R>(&self, f: impl FnOnce(&mut [u64; 2]) -> R) -> R {
                // SAFETY: locked for writing.
                self.0.with(Mode::Exclusive, $lock, |numbers| f(unsafe { &mut *numbers }))
            }
        }
    };
}

locked_by!(Flock, "flock", flock);
locked_by!(Ofd, "fcntl, F_OFD_SETLKW", ofd);
