//! Memory whose surroundings tell whether somebody wrote there.

use std::ptr::{self, NonNull};

const PAGE: usize = 4096;
const PATTERN: u64 = 0xc5a7_13e9_5b0f_d26c;

/// Shared memory between two pages of this process's own, between two that nobody may touch.
pub struct Fenced {
    start: NonNull<u8>,
    pages: usize,
}

// SAFETY: an address and a number; what is there is read and written as a whole word or through atomics.
unsafe impl Sync for Fenced {}

impl Fenced {
    /// For `len` bytes, shared with the children that are forked later. Never unmapped.
    pub fn new(len: usize) -> Fenced {
        let pages = len.div_ceil(PAGE);
        let (both, fixed) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_FIXED | libc::MAP_ANONYMOUS);
        let map = |at: *mut u8, pages: usize, protection, flags| {
            // SAFETY: either at a place of the kernel's choice, or inside what was mapped by the first call.
            let at = unsafe { libc::mmap(at.cast(), pages * PAGE, protection, flags, -1, 0) };
            assert_ne!(at, libc::MAP_FAILED, "{}", nix::errno::Errno::last());
            at.cast::<u8>()
        };
        let start = map(ptr::null_mut(), pages + 4, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let inside = |page| start.wrapping_add(page * PAGE);
        map(inside(1), 1, both, libc::MAP_PRIVATE | fixed);
        map(inside(2), pages, both, libc::MAP_SHARED | fixed);
        map(inside(2 + pages), 1, both, libc::MAP_PRIVATE | fixed);
        let fenced = Fenced { start: NonNull::new(start).unwrap(), pages };
        for i in 0..fenced.words() {
            fenced.set(i, PATTERN);
        }
        fenced
    }

    /// What is shared, zeros at first.
    pub fn memory(&self) -> NonNull<[u8]> {
        // SAFETY: within the mapping.
        NonNull::slice_from_raw_parts(unsafe { self.start.add(2 * PAGE) }, self.pages * PAGE)
    }

    /// How many words of 8 bytes the two pages around it have.
    pub const fn words(&self) -> usize {
        2 * PAGE / 8
    }

    /// Where a word of theirs is, and whether anything may write there.
    pub fn word(&self, i: usize) -> *mut u64 {
        assert!(i < self.words());
        let page = if i < PAGE / 8 { 1 } else { 2 + self.pages };
        // SAFETY: within the mapping.
        unsafe { self.start.add(page * PAGE).cast::<u64>().add(i % (PAGE / 8)).as_ptr() }
    }

    /// Puts something else there than the pattern.
    pub fn set(&self, i: usize, value: u64) {
        // SAFETY: mapped for writing, and nothing refers to it.
        unsafe { self.word(i).write_volatile(value) };
    }

    /// Words that are neither the pattern nor what `set` has put there.
    pub fn written(&self, set: &[(usize, u64)]) -> Vec<(usize, u64)> {
        let expected = |i| set.iter().find(|(at, _)| *at == i).map_or(PATTERN, |(_, value)| *value);
        // SAFETY: mapped for reading.
        let found = (0..self.words()).map(|i| (i, unsafe { self.word(i).read_volatile() }));
        found.filter(|(i, value)| *value != expected(*i)).collect()
    }
}
