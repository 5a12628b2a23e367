//! futex(2), always the process-shared kind.

use std::sync::atomic::{AtomicU32, Ordering};

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

/// How many words [`wait_any`] takes (`FUTEX_WAITV_MAX`).
pub(crate) const WAIT_ANY_MAX: usize = 128;

/// `futex(FUTEX_WAIT_BITSET)` until `until` on the monotonic clock, or for ever.
pub(crate) fn wait(word: &AtomicU32, expected: u32, until: Option<TimeSpec>) -> Result<Wake, Errno> {
    wait_as(ANYBODY, word, expected, until)
}

/// Which wake-ups are for a sleeper: those that have a bit in common with its own. Most sleepers, and all calls but
/// [`wake_only`], have all of them.
pub(crate) type Bits = u32;

/// All of them (`FUTEX_BITSET_MATCH_ANY`).
pub(crate) const ANYBODY: Bits = libc::FUTEX_BITSET_MATCH_ANY as Bits;

/// The same as a sleeper of some kind.
pub(crate) fn wait_as(bits: Bits, word: &AtomicU32, expected: u32, until: Option<TimeSpec>) -> Result<Wake, Errno> {
    let until = until.map(timespec);
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
            bits,
        )
    };
    if done == 0 { Ok(Wake::Woken) } else { woken_otherwise() }
}

/// A word and what it is expected to hold: `struct futex_waitv`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Expected<'a>(libc::futex_waitv, std::marker::PhantomData<&'a AtomicU32>);

impl<'a> Expected<'a> {
    pub(crate) fn new(word: &'a AtomicU32, value: u32) -> Expected<'a> {
        // SAFETY: integers only, so zeroes are a value; the reserved field must be 0.
        let mut entry: libc::futex_waitv = unsafe { std::mem::zeroed() };
        entry.val = u64::from(value);
        entry.uaddr = word.as_ptr().expose_provenance() as u64;
        entry.flags = libc::FUTEX2_SIZE_U32 as u32; // and not FUTEX2_PRIVATE
        Expected(entry, std::marker::PhantomData)
    }

    /// Whether the word still holds the value.
    pub(crate) fn holds(&self) -> bool {
        u64::from(self.word().load(Ordering::Relaxed)) == self.0.val
    }

    /// [`wait`] on this word alone.
    pub(crate) fn wait(&self, until: Option<TimeSpec>) -> Result<Wake, Errno> {
        wait(self.word(), self.0.val as u32, until)
    }

    fn word(&self) -> &'a AtomicU32 {
        // SAFETY: made from a reference that lives as long as `'a`.
        unsafe { AtomicU32::from_ptr(std::ptr::with_exposed_provenance_mut(self.0.uaddr as usize)) }
    }
}

/// `futex_waitv` (Linux 5.16) until `until` on the monotonic clock, or for ever: sleeps on all the words at once, at most
/// [`WAIT_ANY_MAX`] of them, compared and queued on in their order. A wake-up comes with the number of the word, the last
/// one if there were several.
pub(crate) fn wait_any(words: &[Expected<'_>], until: Option<TimeSpec>) -> Result<(Wake, Option<usize>), Errno> {
    let until = until.map(timespec);
    let until = until.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the words and the timespec outlive the call; the kernel only reads them.
    let done =
        unsafe { libc::syscall(libc::SYS_futex_waitv, words.as_ptr(), words.len(), 0, until, libc::CLOCK_MONOTONIC) };
    match usize::try_from(done) {
        Ok(number) => Ok((Wake::Woken, Some(number))),
        Err(_) => Ok((woken_otherwise()?, None)),
    }
}

fn woken_otherwise() -> Result<Wake, Errno> {
    match Errno::last() {
        Errno::EAGAIN => Ok(Wake::Changed),
        Errno::ETIMEDOUT => Ok(Wake::TimedOut),
        Errno::EINTR => Ok(Wake::Interrupted),
        other => Err(other),
    }
}

fn timespec(at: TimeSpec) -> libc::timespec {
    libc::timespec { tv_sec: at.tv_sec(), tv_nsec: at.tv_nsec() }
}

/// `futex(FUTEX_WAKE)`: wakes at most `count` sleepers and says how many there were.
pub(crate) fn wake(word: &AtomicU32, count: i32) -> Result<usize, Errno> {
    // SAFETY: the word outlives the call; the kernel uses its address only.
    let woken = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count) };
    usize::try_from(woken).map_err(|_| Errno::last())
}

/// `futex(FUTEX_WAKE_BITSET)`: the same among sleepers of some kinds.
pub(crate) fn wake_only(bits: Bits, word: &AtomicU32, count: i32) -> Result<usize, Errno> {
    // SAFETY: the word outlives the call; the kernel uses its address only, and neither of the pointers.
    let woken = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE_BITSET,
            count,
            std::ptr::null::<libc::timespec>(),
            std::ptr::null::<u32>(),
            bits,
        )
    };
    usize::try_from(woken).map_err(|_| Errno::last())
}

/// What [`wake_and_change`] does to a word.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// Adds a number below 2048.
    Add(u32),
    /// Clears the bit of this number.
    ClearBit(u32),
    /// Sets the bit of this number.
    SetBit(u32),
    /// Stores 1 in the bit of this number and 0 in all others.
    SetToBit(u32),
}

impl Change {
    /// `FUTEX_OP(op, oparg, cmp, cmparg)`. The 12 bits of an operand sign-extend, so bits are given by number. The
    /// comparison decides about a second wake, which nobody here wants: it is true for `0xffff_ffff` only, which hardly any
    /// word comes to; one sleeper too many would be woken.
    fn encoded(self) -> u32 {
        let (operation, operand) = match self {
            Change::Add(number) => (libc::FUTEX_OP_ADD, number & 0x7ff),
            Change::ClearBit(bit) => (libc::FUTEX_OP_ANDN | libc::FUTEX_OP_OPARG_SHIFT, bit),
            Change::SetBit(bit) => (libc::FUTEX_OP_OR | libc::FUTEX_OP_OPARG_SHIFT, bit),
            Change::SetToBit(bit) => (libc::FUTEX_OP_SET | libc::FUTEX_OP_OPARG_SHIFT, bit),
        };
        (operation as u32 & 0xf) << 28 | (libc::FUTEX_OP_CMP_EQ as u32 & 0xf) << 24 | operand << 12 | 0xfff
    }
}

/// `futex(FUTEX_WAKE_OP)`: changes `word` and wakes at most `count` sleepers on `on`, which may be the same word, as one
/// step for sleepers and for SIGKILL; says how many were woken.
pub(crate) fn wake_and_change(on: &AtomicU32, count: i32, word: &AtomicU32, change: Change) -> Result<usize, Errno> {
    // SAFETY: the words outlive the call and are atomics that the kernel may change atomically.
    let woken = unsafe {
        libc::syscall(libc::SYS_futex, on.as_ptr(), libc::FUTEX_WAKE_OP, count, 0usize, word.as_ptr(), change.encoded())
    };
    usize::try_from(woken).map_err(|_| Errno::last())
}

/// Clears bit `bit` of the word and wakes everybody who sleeps on it, as one step.
pub(crate) fn clear_bit_and_wake_all(word: &AtomicU32, bit: u32) -> Result<usize, Errno> {
    wake_and_change(word, i32::MAX, word, Change::ClearBit(bit))
}

/// Stores `1 << bit` and wakes everybody who sleeps on the word, as one step.
pub(crate) fn set_to_bit_and_wake_all(word: &AtomicU32, bit: u32) -> Result<usize, Errno> {
    wake_and_change(word, i32::MAX, word, Change::SetToBit(bit))
}

/// `futex(FUTEX_UNLOCK_PI)`: frees a word of this thread's, or hands it to the most important one that waits. `EPERM` where it
/// is another's.
pub(crate) fn unlock_pi(word: &AtomicU32) -> Result<(), Errno> {
    // SAFETY: the word outlives the call and is an atomic that the kernel may change atomically.
    let done = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_UNLOCK_PI) };
    Errno::result(done).map(drop)
}
