//! The sets that this process is registered with.
//!
//! Asked before every sleep and every ring, also in signal handlers: a table of fixed size, without a lock. An entry is a
//! process id and a set's id, so what a child has copied from its parent says nothing about the child. Where the table
//! is full an entry gives way to another, and its set is registered with once more, which does no harm.

use std::array;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::sysv_sem::Set;

/// Places; a power of two.
const PLACES: usize = 1024;

/// So many of them, one after another, may have a set's entry.
const CHOICES: usize = 8;

static KNOWN: [AtomicU64; PLACES] = [const { AtomicU64::new(0) }; PLACES];

fn entry(set: Set) -> u64 {
    u64::from(process::id()) << 32 | u64::from(set.id())
}

fn places(set: Set) -> [&'static AtomicU64; CHOICES] {
    let first = set.id().wrapping_mul(0x9e37_79b9) >> 16;
    array::from_fn(|i| &KNOWN[(first as usize + i) % PLACES])
}

/// Whether [`remember`] was called with the set, by this process.
pub(super) fn has(set: Set) -> bool {
    let entry = entry(set);
    places(set).iter().any(|place| place.load(Ordering::Relaxed) == entry)
}

/// From now on, [`has`] says so, unless many others come.
pub(super) fn remember(set: Set) {
    let entry = entry(set);
    let is_ours = |found: u64| found >> 32 == entry >> 32;
    let places = places(set);
    let place = places.iter().find(|place| !is_ours(place.load(Ordering::Relaxed)));
    // Full: the id says which one gives way, so that two sets don't keep pushing out each other.
    place.unwrap_or(&places[set.id() as usize % CHOICES]).store(entry, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_known_from_when_it_was_remembered_whatever_was_before() {
        for id in (0..10 * PLACES as u32).map(|i| i.wrapping_mul(32_769)) {
            let set = Set::from_id(id);
            remember(set);
            assert!(has(set), "{id}");
        }
        assert!(!has(Set::from_id(u32::MAX)));
    }

    #[test]
    fn what_a_parent_knew_a_child_does_not() {
        let set = Set::from_id(77_777);
        let of_another = entry(set) ^ 1 << 40;
        places(set).iter().for_each(|place| place.store(of_another, Ordering::Relaxed));
        assert!(!has(set));
        remember(set);
        assert!(has(set));
    }
}
