//! A lock like those of other libraries: a futex word without an owner. Killed in it, its holder leaves everybody asleep.

use std::sync::atomic::{AtomicU32, Ordering};

use pshared::ShmSafe;

const FREE: u32 = 0;
const TAKEN: u32 = 1;
/// Taken, and somebody may be asleep.
const WAITED_FOR: u32 = 2;

#[repr(C)]
#[derive(ShmSafe)]
pub struct PlainLock {
    word: AtomicU32,
}

impl PlainLock {
    pub const fn new() -> PlainLock {
        PlainLock { word: AtomicU32::new(FREE) }
    }

    pub fn lock(&self) {
        if self.word.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            return;
        }
        while self.word.swap(WAITED_FOR, Ordering::Acquire) != FREE {
            self.call(libc::FUTEX_WAIT, WAITED_FOR);
        }
    }

    pub fn unlock(&self) {
        if self.word.swap(FREE, Ordering::Release) == WAITED_FOR {
            self.call(libc::FUTEX_WAKE, 1);
        }
    }

    /// Its result says nothing that the next look at the word doesn't.
    fn call(&self, operation: i32, value: u32) {
        // SAFETY: the word outlives the call, and no timeout is given.
        unsafe { libc::syscall(libc::SYS_futex, self.word.as_ptr(), operation, value, std::ptr::null::<u8>()) };
    }
}
