//! Message queues of the system. What is longer than one of their messages goes in several.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd};

use nix::mqueue::{MQ_OFlag, MqAttr, MqdT, mq_close, mq_open, mq_receive, mq_send, mq_unlink};
use nix::sys::stat::Mode;
use zerocopy::IntoBytes;

use super::{Address, Own, Way, own, sysv};

const WORD: usize = size_of::<u64>();

/// A limit of the system, or what it is by default.
fn limit(path: &str, default: usize) -> usize {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(default)
}

/// A POSIX message queue, with messages as many and as long as the system lets everybody have.
pub struct PosixQueue {
    queue: Option<MqdT>,
    length: usize,
    /// The most bytes in a message of the queue.
    piece: usize,
    /// With room for one such message more: whoever receives has to have it, whatever comes.
    own: Own,
}

impl PosixQueue {
    fn new(queue: MqdT, length: usize) -> Self {
        let piece = Self::piece();
        PosixQueue { queue: Some(queue), length, piece, own: own(length + piece.div_ceil(WORD)) }
    }

    fn piece() -> usize {
        limit("/proc/sys/fs/mqueue/msgsize_max", 8192)
    }

    fn queue(&self) -> &MqdT {
        self.queue.as_ref().expect("open until it is dropped")
    }
}

impl Way for PosixQueue {
    const NAME: &'static str = "POSIX message queue";

    fn create(name: &str, length: usize) -> io::Result<Self> {
        let path = CString::new(format!("/{name}"))?;
        let room = limit("/proc/sys/fs/mqueue/msg_max", 10);
        let attributes = MqAttr::new(0, room as i64, Self::piece() as i64, 0);
        let how = MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL | MQ_OFlag::O_RDWR;
        let queue = mq_open(path.as_c_str(), how, Mode::S_IRUSR | Mode::S_IWUSR, Some(&attributes))?;
        // The others find it by this descriptor.
        mq_unlink(path.as_c_str())?;
        Address::of(&queue).publish(name)?;
        Ok(PosixQueue::new(queue, length))
    }

    fn open(name: &str, length: usize) -> io::Result<Self> {
        let file = Address::find(name)?.open()?;
        // SAFETY: a queue's descriptor, which on Linux is what mq_open returns, and nobody else's.
        Ok(PosixQueue::new(unsafe { MqdT::from_raw_fd(file.into_raw_fd()) }, length))
    }

    fn send(&self, fill: impl FnOnce(&mut [u64])) -> io::Result<()> {
        let message = &mut self.own.borrow_mut()[..self.length];
        fill(message);
        for piece in message.as_bytes().chunks(self.piece) {
            mq_send(self.queue(), piece, 0)?;
        }
        Ok(())
    }

    fn receive<R>(&self, look: impl FnOnce(&[u64]) -> R) -> io::Result<R> {
        let own = &mut *self.own.borrow_mut();
        let mut got = 0;
        while got < self.length * WORD {
            got += mq_receive(self.queue(), &mut own.as_mut_bytes()[got..], &mut 0)?;
        }
        Ok(look(&own[..self.length]))
    }
}

impl Drop for PosixQueue {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            let _ = mq_close(queue); // it is open, and nobody else closes it
        }
    }
}

/// A System V message queue, as large as the system makes it.
pub struct SysvQueue {
    queue: sysv::Queue,
    length: usize,
    /// The most numbers in a message of the queue.
    piece: usize,
    /// The type that each message of the queue begins with, and then ours.
    own: Own,
}

impl SysvQueue {
    fn new(queue: sysv::Queue, length: usize) -> Self {
        let piece = limit("/proc/sys/kernel/msgmax", 8192) / WORD;
        SysvQueue { queue, length, piece, own: own(1 + length) }
    }
}

impl Way for SysvQueue {
    const NAME: &'static str = "SysV message queue";

    fn create(name: &str, length: usize) -> io::Result<Self> {
        let queue = sysv::Queue::create()?;
        Address::new(queue.id()).publish(name)?;
        Ok(SysvQueue::new(queue, length))
    }

    fn open(name: &str, length: usize) -> io::Result<Self> {
        Ok(SysvQueue::new(sysv::Queue::open(Address::find(name)?.number), length))
    }

    fn send(&self, fill: impl FnOnce(&mut [u64])) -> io::Result<()> {
        let own = &mut *self.own.borrow_mut();
        fill(&mut own[1..]);
        for sent in (0..self.length).step_by(self.piece) {
            own[sent] = 1; // the type, in the place of what has gone already
            let end = (sent + self.piece).min(self.length);
            self.queue.send(&own[sent..=end])?;
        }
        Ok(())
    }

    fn receive<R>(&self, look: impl FnOnce(&[u64]) -> R) -> io::Result<R> {
        let own = &mut *self.own.borrow_mut();
        let mut got = 0;
        while got < self.length {
            let end = (got + self.piece).min(self.length);
            let before = own[got]; // where the type goes
            let count = self.queue.receive(&mut own[got..=end])?;
            own[got] = before;
            got += count;
        }
        Ok(look(&own[1..]))
    }
}
