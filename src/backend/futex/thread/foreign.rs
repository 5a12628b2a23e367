//! Entries of libc's own robust mutexes, which stand among ours on the list.

use crate::sys::robust_list::LIMIT;
use crate::sys::self_memory;

/// Tells an entry of libc's at the front of the list that `entry` is now before it, as libc's own linking does.
#[cold]
pub(super) fn tell_foreign(first: usize, entry: usize) {
    // SAFETY: libc reads and writes this word of its own entry, and only while it links or unlinks in this thread.
    let _ = unsafe { self_memory::write_word(back_of(first), entry) };
}

/// Where an entry of libc's has its link backwards.
pub(super) fn back_of(entry: usize) -> usize {
    (entry & !1).wrapping_sub(size_of::<usize>())
}

/// The 32-bit word that two of them begin with.
pub(super) fn first_half(both: usize) -> u32 {
    let [a, b, c, d, ..] = both.to_ne_bytes();
    u32::from_ne_bytes([a, b, c, d])
}

/// The address of the link, from the head on, whose value satisfies `found`. Reads that can't fault, a bounded number.
pub(super) fn walk(head: usize, found: impl Fn(usize) -> bool) -> Option<usize> {
    walk_from(head, head, found)
}

pub(super) fn walk_from(start: usize, head: usize, found: impl Fn(usize) -> bool) -> Option<usize> {
    let mut link = start & !1;
    for _ in 0..=LIMIT {
        let next = self_memory::read_word(link).ok()?;
        if found(next & !1) {
            return Some(link);
        }
        if next & !1 == head {
            return None;
        }
        link = next & !1;
    }
    None
}
