//! System V message queues by number. They outlive whoever makes them: what a run that was interrupted has left behind is
//! removed by the next one.

use std::fs;
use std::io;
use std::path::Path;

/// A queue, removed by the one that made it.
pub struct Queue {
    id: libc::c_int,
    is_ours: bool,
}

/// What the keys of ours begin with; then comes the process that made it, then a number.
const MARK: u32 = 0b010110;
const MARK_AT: u32 = 26;
const PROCESS_AT: u32 = 4;

/// Whose queue has this key, if it is one of ours.
fn maker(key: u32) -> Option<u32> {
    (key >> MARK_AT == MARK).then_some((key & ((1 << MARK_AT) - 1)) >> PROCESS_AT)
}

impl Queue {
    /// A new one.
    pub fn create() -> io::Result<Queue> {
        sweep();
        let keys = (MARK << MARK_AT) | (std::process::id() << PROCESS_AT);
        for number in 0..1 << PROCESS_AT {
            // SAFETY: makes a queue or doesn't, nothing else.
            let id = unsafe { libc::msgget((keys | number) as libc::key_t, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) };
            match id {
                -1 if io::Error::last_os_error().raw_os_error() == Some(libc::EEXIST) => {}
                -1 => return Err(io::Error::last_os_error()),
                id => return Ok(Queue { id, is_ours: true }),
            }
        }
        Err(io::Error::other("this process has made all the queues that it has keys for"))
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
            remove(self.id);
        }
    }
}

fn remove(id: libc::c_int) {
    // SAFETY: nothing is read or written for this command. It fails if the queue is gone, or somebody else's.
    unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
}

/// Removes queues of ours whose maker has ended.
fn sweep() {
    let table = fs::read_to_string("/proc/sysvipc/msg").unwrap_or_default();
    for line in table.lines().skip(1) {
        let mut fields = line.split_whitespace().map(|field| field.parse::<i32>().unwrap_or_default());
        let (Some(key), Some(id)) = (fields.next(), fields.next()) else { continue };
        if maker(key as u32).is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
            remove(id);
        }
    }
}
