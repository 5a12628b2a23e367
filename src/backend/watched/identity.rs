//! Who a thread is, in one word, for ever: what stands in a lock whose owner the kernel doesn't know.

use std::num::NonZeroU64;

use crate::backend::futex::{process, thread};
use crate::sys::thread as system;

/// Bits of the thread's id (`PID_MAX_LIMIT` is 2^22), of the mark of its program, and of a time when it lived.
const ID_BITS: u32 = 22;
const PROGRAM_BITS: u32 = 8;
const SEEN_BITS: u32 = 32;

/// Bits of an identity; those above are for who keeps one in a word.
pub(crate) const IDENTITY_BITS: u32 = ID_BITS + PROGRAM_BITS + SEEN_BITS;

/// A thread, as no other one is named: not a later one of its id, nor the same one after an exec.
///
/// | bits | meaning |
/// |---|---|
/// | 0–21 | the thread's id |
/// | 22–29 | a mark of the program that it ran, 0 where unknown |
/// | 30–61 | when it was first seen, in tenths of a second since boot: it is no younger |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity(NonZeroU64);

impl Identity {
    /// The calling thread's. `stamp` is its id and, above 32 bits, the time.
    #[cold]
    pub(crate) fn of_this_thread(stamp: u64) -> Identity {
        let (id, seen) = (stamp as u32, stamp >> 32);
        let program = system::status(id, process::boot_time_offset()).and_then(|status| status.program);
        let program = u64::from(program.map_or(0, |mark| mark.get()));
        let bits = u64::from(id) & ((1 << ID_BITS) - 1) | program << ID_BITS | seen << (ID_BITS + PROGRAM_BITS);
        // A thread's id isn't 0; were it, 1 is init, which is alive.
        Identity(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN))
    }

    /// What [`bits`](Identity::bits) gave, or what somebody scribbled; 0 is nobody.
    #[inline(always)]
    pub(crate) fn from_bits(bits: u64) -> Option<Identity> {
        NonZeroU64::new(bits).map(Identity)
    }

    #[inline(always)]
    pub(crate) fn bits(self) -> u64 {
        self.0.get()
    }

    /// The thread's id.
    pub(crate) fn thread(self) -> u32 {
        (self.bits() & ((1 << ID_BITS) - 1)) as u32
    }

    fn program(self) -> u8 {
        (self.bits() >> ID_BITS) as u8
    }

    fn seen(self) -> u32 {
        (self.bits() >> (ID_BITS + PROGRAM_BITS)) as u32
    }

    /// Whether that thread has ended, or has become another program by exec. Once true, true for ever.
    ///
    /// What remains: an id that is used again within the tenth of a second in which its former thread was first seen; a
    /// program that replaces itself where this process may not look into it (another user's), in the one case of 255 that
    /// has the same mark, or where addresses aren't randomized; a process that has ended and isn't reaped where `/proc` can't be read.
    #[cold]
    pub(crate) fn is_gone(self) -> bool {
        let id = self.thread();
        if id == 0 || self.is_of_an_earlier_here() || !system::exists(id) {
            return true;
        }
        let Some(status) = system::status(id, process::boot_time_offset()) else { return false };
        let replaced = status.program.is_some_and(|mark| self.program() != 0 && mark.get() != self.program());
        status.ended || status.started > self.seen() || replaced
    }

    /// Whether the calling thread has that id and another identity: two can't live at once.
    fn is_of_an_earlier_here(self) -> bool {
        thread::with(|me| me.identity().is_some_and(|mine| mine.thread() == self.thread() && mine != self))
    }

    /// Whether no living thread has that id.
    #[cold]
    pub(crate) fn is_thread_gone(id: u32) -> bool {
        !system::exists(id) || system::status(id, process::boot_time_offset()).is_some_and(|status| status.ended)
    }
}
