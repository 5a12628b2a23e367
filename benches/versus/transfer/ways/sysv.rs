//! System V message queues by number.

use std::io;

use crate::left_over::Kept;

/// A queue, removed by the one that made it.
pub struct Queue {
    id: libc::c_int,
    is_ours: bool,
}

impl Queue {
    /// A new one.
    pub fn create() -> io::Result<Queue> {
        // SAFETY: makes a queue or doesn't, nothing else.
        let id = unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) };
        if id < 0 {
            return Err(io::Error::last_os_error());
        }
        let queue = Queue { id, is_ours: true };
        Kept::Queue(id).note()?;
        Ok(queue)
    }

    /// One that another process has made.
    pub fn open(id: libc::c_int) -> Queue {
        Queue { id, is_ours: false }
    }

    pub fn id(&self) -> libc::c_int {
        self.id
    }

    /// Sends what stands behind the first number, which is the message's type and not 0.
    pub fn send(&self, message: &[u64]) -> io::Result<()> {
        let size = size_of_val(message) - size_of::<u64>();
        // SAFETY: a type and `size` bytes, read by the kernel.
        let result = unsafe { libc::msgsnd(self.id, message.as_ptr().cast(), size, 0) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Waits for a message and puts it behind the first number, which becomes its type; how many numbers there were.
    pub fn receive(&self, message: &mut [u64]) -> io::Result<usize> {
        let size = size_of_val(message) - size_of::<u64>();
        // SAFETY: room for a type and `size` bytes, written by the kernel.
        let got = unsafe { libc::msgrcv(self.id, message.as_mut_ptr().cast(), size, 0, 0) };
        usize::try_from(got).map(|got| got / size_of::<u64>()).map_err(|_| io::Error::last_os_error())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.is_ours {
            Kept::Queue(self.id).remove();
        }
    }
}
