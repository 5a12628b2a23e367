//! Ways to get a message from one process to another, each with what one would take by default.

pub mod queues;
pub mod ring;
pub mod streams;
mod sysv;

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use pshared::{Shm, ShmSafe};

/// A way to get messages of one size from one process to another.
///
/// Three processes have it: one that creates it and keeps it, one that sends and one that receives. A message is numbers, so
/// that who sends and who receives can do something with each byte of it at the speed of memory, and it is whole when the
/// receiver is given it.
pub trait Way: Sized + 'static {
    /// In tables and charts.
    const NAME: &'static str;

    /// A new one that others can open by `name`, for messages of `length` numbers. Nothing else of it has a name that would
    /// be left behind.
    fn create(name: &str, length: usize) -> io::Result<Self>;

    /// What another process created, to send or to receive.
    fn open(name: &str, length: usize) -> io::Result<Self>;

    /// Sends what `fill` writes.
    fn send(&self, fill: impl FnOnce(&mut [u64])) -> io::Result<()>;

    /// Waits for a message and shows it to `look`.
    fn receive<R>(&self, look: impl FnOnce(&[u64]) -> R) -> io::Result<R>;
}

/// Where others find what the creator has.
#[repr(C)]
#[derive(Clone, Copy, ShmSafe)]
struct Address {
    creator: u32,
    /// A descriptor, or another number that the way has.
    number: i32,
}

impl Address {
    fn new(number: i32) -> Address {
        Address { creator: std::process::id(), number }
    }

    fn of(file: impl AsFd) -> Address {
        Address::new(file.as_fd().as_raw_fd())
    }

    /// Lets others find this by `name`, until that is removed.
    fn publish(self, name: &str) -> io::Result<()> {
        Shm::create(name, || Ok(self)).map(drop).map_err(io::Error::other)
    }

    fn find(name: &str) -> io::Result<Address> {
        Shm::<Address>::open(name).map(|address| *address).map_err(io::Error::other)
    }

    /// The creator's file, opened again.
    fn open(self) -> io::Result<File> {
        let path = format!("/proc/{}/fd/{}", self.creator, self.number);
        let file = File::options().read(true).write(true).open(&path);
        file.map_err(|error| io::Error::new(error.kind(), format!("open {path}: {error}")))
    }
}

/// A process's own memory for one message.
type Own = RefCell<Box<[u64]>>;

fn own(length: usize) -> Own {
    RefCell::new(vec![0; length].into())
}
