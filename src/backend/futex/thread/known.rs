//! The threads of this process as others find them: whoever is about to unmap memory asks whether one of them has a lock
//! there on its list.
//!
//! What the memory itself says of its owners is no answer: a peer may have scribbled over it. So the threads' own records
//! are read, by reads that can't fault, since a thread may end meanwhile and its memory go.

use std::mem::offset_of;
use std::ops::Range;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering, fence};

use nix::errno::Errno;

use super::foreign::first_half;
use super::{FEW, MANY, Place, Thread};
use crate::backend::futex::process;
use crate::error::Result;
use crate::sys::robust_list::{LIMIT, LINK_AT};
use crate::sys::{self, self_memory, thread as system};

/// A place where a thread has its state. Never freed: the next thread that has it there takes this over.
struct Known {
    state: usize,
    /// The thread's id and, above it, the generation of its process.
    whose: AtomicU64,
    next: *mut Known,
}

static ALL: AtomicPtr<Known> = AtomicPtr::new(std::ptr::null_mut());

fn all() -> impl Iterator<Item = &'static Known> {
    let mut at: *const Known = ALL.load(Ordering::Acquire);
    std::iter::from_fn(move || {
        // SAFETY: null, or leaked by `make_known` and complete before it was published; `next` never changes after that.
        let it = unsafe { at.as_ref() }?;
        at = it.next;
        Some(it)
    })
}

/// Lets others find a thread of this process whose state is about to become fresh.
pub(super) fn make_known(thread: &Thread, generation: u32) -> Result<()> {
    let state = std::ptr::from_ref(thread).expose_provenance();
    let whose = u64::from(thread.tid()) | u64::from(generation) << 32;
    if let Some(known) = all().find(|known| known.state == state) {
        known.whose.store(whose, Ordering::Release);
        return Ok(());
    }
    let mut place = Vec::new();
    place.try_reserve_exact(1).map_err(|_| sys::failed("malloc", "a thread's record", Errno::ENOMEM, "free memory"))?;
    place.push(Known { state, whose: AtomicU64::new(whose), next: std::ptr::null_mut() });
    let known = &mut place.leak()[0];
    let mut first = ALL.load(Ordering::Relaxed);
    loop {
        known.next = first;
        // Release: who finds it finds it complete.
        match ALL.compare_exchange(first, known, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return Ok(()),
            Err(other) => first = other,
        }
    }
}

/// Whether a thread of this process may have a lock at these addresses on its robust list. The locks must not be taken or
/// given back meanwhile: they are those whose guards were forgotten.
pub(crate) fn is_held_within(addresses: &Range<usize>) -> bool {
    let generation = process::generation();
    super::with(|me| {
        let here = std::ptr::from_ref(me).addr();
        let others = all().filter(|known| known.state != here).any(|known| {
            let whose = known.whose.load(Ordering::Acquire);
            let is_of_this_process = (whose >> 32) as u32 == generation;
            is_of_this_process && system::exists_here(whose as u32) && may_hold(known.state, addresses)
        });
        others || me.is_fresh() && me.entry_within(addresses).is_some()
    })
}

/// Whether the record of the thread with its state there names a lock at these addresses.
fn may_hold(state: usize, addresses: &Range<usize>) -> bool {
    let more = match self_memory::read_word(state + offset_of!(Thread, more)) {
        Ok(both) => first_half(both) as usize,
        Err(errno) => return is_unknown(errno),
    };
    // The newest first: what is older only ever moves towards the oldest, so it isn't missed.
    (1..=(1 + more).min(LIMIT)).rev().any(|at| {
        fence(Ordering::Acquire);
        match lock_at(state, at) {
            Ok(lock) => addresses.contains(&lock.wrapping_add(LINK_AT)),
            Err(errno) => is_unknown(errno),
        }
    })
}

/// What is gone holds nothing; what can't be read may.
fn is_unknown(errno: Errno) -> bool {
    errno != Errno::EFAULT
}

/// The address that stands at a place of the record.
fn lock_at(state: usize, at: usize) -> std::result::Result<usize, Errno> {
    let place = match at.checked_sub(1 + FEW) {
        None => state + offset_of!(Thread, few) + at * size_of::<Place>(),
        Some(later) => {
            self_memory::read_word(state + offset_of!(Thread, many))? + later.min(MANY - 1) * size_of::<Place>()
        }
    };
    self_memory::read_word(place + offset_of!(Place, lock))
}
