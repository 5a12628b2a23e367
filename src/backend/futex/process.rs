//! What is the same for all threads of a process, and its generation: a number that a forked child doesn't share with its
//! parent, kept in a word that the kernel zeroes in the child.

use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use super::held::Held;
use crate::error::Result;
use crate::sys::{self, fork, namespace};

/// A generation that no thread has: what is read before the first thread comes.
pub(super) static NOBODY: AtomicU32 = AtomicU32::new(u32::MAX);

/// The word that the kernel zeroes in a forked child; otherwise the process's generation.
static GENERATION: AtomicPtr<AtomicU32> = AtomicPtr::new(&raw const NOBODY as *mut AtomicU32);

/// Generations given so far, in this process and its ancestors.
static GIVEN: AtomicU32 = AtomicU32::new(0);

/// What is the same for all threads of a process, and the generation that it was found out for.
static NAMESPACE: AtomicU64 = AtomicU64::new(0);
static BOOT_OFFSET: AtomicI64 = AtomicI64::new(0);
static ENTERED: AtomicU32 = AtomicU32::new(0);

/// The boot-time offset of this process, see [`namespace::boot_time_offset`].
pub(in crate::backend) fn boot_time_offset() -> i64 {
    BOOT_OFFSET.load(Ordering::Relaxed)
}

/// The inode number of this process's pid namespace.
pub(crate) fn pid_namespace() -> Result<u64> {
    enter(generation_word()?)?;
    Ok(NAMESPACE.load(Ordering::Relaxed))
}

/// The same, where the process was entered.
pub(super) fn namespace_entered() -> u32 {
    NAMESPACE.load(Ordering::Relaxed) as u32 // they fit 32 bits
}

/// Makes the process-wide state this process's and returns its generation.
pub(super) fn enter(word: &AtomicU32) -> Result<u32> {
    let mut generation = word.load(Ordering::Relaxed);
    if generation == 0 {
        let new = Held::generation(GIVEN.fetch_add(1, Ordering::Relaxed));
        generation = match word.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => new,
            Err(other) => other,
        };
    }
    if ENTERED.load(Ordering::Acquire) != generation {
        let inode = namespace::pid_namespace().map_err(|e| {
            sys::failed("stat", "/proc/self/ns/pid", e, "mount /proc: it tells which pid namespace this process is in")
        })?;
        NAMESPACE.store(inode, Ordering::Relaxed);
        BOOT_OFFSET.store(namespace::boot_time_offset(), Ordering::Relaxed);
        ENTERED.store(generation, Ordering::Release);
    }
    Ok(generation)
}

/// The generation of this process; 0 or [`NOBODY`]'s where no thread has come yet.
pub(super) fn generation() -> u32 {
    // SAFETY: a static, or a page that is never unmapped.
    unsafe { &*GENERATION.load(Ordering::Acquire) }.load(Ordering::Relaxed)
}

pub(super) fn generation_word() -> Result<&'static AtomicU32> {
    let nobody = (&raw const NOBODY).cast_mut();
    let current = GENERATION.load(Ordering::Acquire);
    if current != nobody {
        // SAFETY: never unmapped once it stands there.
        return Ok(unsafe { &*current });
    }
    let word = fork::wiped_word().map_err(|e| {
        sys::failed("madvise(MADV_WIPEONFORK)", "a page", e, "Linux 4.14 or later is needed to notice forks")
    })?;
    match GENERATION.compare_exchange(nobody, word.as_ptr().cast::<AtomicU32>(), Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Ok(word),
        Err(winner) => {
            fork::unmap_wiped_word(word);
            // SAFETY: as above.
            Ok(unsafe { &*winner })
        }
    }
}
