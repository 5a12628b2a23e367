//! futex(2), always the process-shared kind.

use std::sync::atomic::AtomicU32;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;

/// How a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// A wake-up meant for this sleeper.
    Woken,
    /// The word didn't hold the expected value, so there was no sleep.
    Changed,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
}

/// `futex(FUTEX_WAIT_BITSET)` until `until` on the monotonic clock, or for ever.
pub(crate) fn wait(word: &AtomicU32, expected: u32, until: Option<TimeSpec>) -> Result<Wake, Errno> {
    let until = until.map(|t| libc::timespec { tv_sec: t.tv_sec(), tv_nsec: t.tv_nsec() });
    let until = until.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the word and the timespec outlive the call; the kernel only reads them.
    let done = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT_BITSET,
            expected,
            until,
            std::ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    };
    if done == 0 {
        return Ok(Wake::Woken);
    }
    match Errno::last() {
        Errno::EAGAIN => Ok(Wake::Changed),
        Errno::ETIMEDOUT => Ok(Wake::TimedOut),
        Errno::EINTR => Ok(Wake::Interrupted),
        other => Err(other),
    }
}

/// `futex(FUTEX_WAKE)`: wakes at most `count` sleepers and says how many there were.
pub(crate) fn wake(word: &AtomicU32, count: i32) -> Result<usize, Errno> {
    // SAFETY: the word outlives the call; the kernel uses its address only.
    let woken = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count) };
    usize::try_from(woken).map_err(|_| Errno::last())
}

/// `futex(FUTEX_WAKE_OP)`: clears bit `bit` of the word and wakes everybody who sleeps on it, as one step for sleepers
/// and for SIGKILL.
pub(crate) fn clear_bit_and_wake_all(word: &AtomicU32, bit: u32) -> Result<usize, Errno> {
    wake_all_after(word, libc::FUTEX_OP_ANDN, bit)
}

/// `futex(FUTEX_WAKE_OP)`: stores `1 << bit` and wakes everybody who sleeps on the word, as one step.
pub(crate) fn set_to_bit_and_wake_all(word: &AtomicU32, bit: u32) -> Result<usize, Errno> {
    wake_all_after(word, libc::FUTEX_OP_SET, bit)
}

fn wake_all_after(word: &AtomicU32, operation: i32, bit: u32) -> Result<usize, Errno> {
    // The operand is 12 bits and sign-extends; shifted it is 1 << bit. The comparison wakes nobody who isn't woken
    // already: both words are the same.
    let encoded = ((operation | libc::FUTEX_OP_OPARG_SHIFT) as u32 & 0xf) << 28
        | (libc::FUTEX_OP_CMP_EQ as u32 & 0xf) << 24
        | (bit & 0xfff) << 12;
    // SAFETY: the word outlives the call and is an atomic that the kernel may change atomically.
    let woken = unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE_OP, i32::MAX, 0usize, word.as_ptr(), encoded)
    };
    usize::try_from(woken).map_err(|_| Errno::last())
}
