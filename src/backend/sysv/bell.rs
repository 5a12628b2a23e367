//! A bell that is a semaphore of a set in the kernel.
//!
//! # Why
//!
//! Anybody may remove a set at any time: an administrator, [`sweep()`](super::sweep()), the end of a region that others still
//! use. Nothing depends on a bell but time, so the next sleeper makes a new set.
//!
//! # Invariants
//!
//! 1. `set` goes from one value to another by compare-exchange, from what was found gone to a set that is new. Who loses
//!    removes its own.
//! 2. A sleeper whose set is gone doesn't sleep: it returns as if it had heard a ring, so that it looks at the words again
//!    before it sleeps on the new set. So who rings a set that is gone, and finds no other in its place, has nobody to wake.
//!
//! # Memory orderings
//!
//! SeqCst throughout, which 2 needs: the words' change, then a look at `set` that finds it unchanged, then its change by a
//! sleeper, then that one's look at the words.
//!
//! # Limits
//!
//! Who can't use the set sleeps for its slices, and isn't woken before they are over: processes of other users and of other
//! IPC namespaces, and all where the set is gone and the system has no room for a new one.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::sys::time::TimeSpec;

use super::set::{BELL, Name, Trouble, not_made};
use crate::backend::watched::bell::{Bell, Heard};
use crate::error::{Error, Result};
use crate::sys::{self, clock, namespace};

/// Rings go after a set that is replaced meanwhile, so many times; then they are lost, which costs a slice.
const MOST_REPLACED: u32 = 8;

/// See the module's text. All zero where nobody has made a set.
#[repr(C)]
#[derive(Debug)]
pub struct SysvBell {
    /// A [`Name`] in bits.
    set: AtomicU64,
    /// The IPC namespace that its id belongs to.
    namespace: AtomicU32,
    spare: AtomicU32,
}

impl SysvBell {
    fn name(&self) -> Name {
        Name::from_bits(self.set.load(Ordering::SeqCst))
    }

    /// Puts a new set in the place of one that is gone.
    #[cold]
    fn replace(&self, gone: Name, until: TimeSpec) -> Result<Heard> {
        if namespace::ipc_namespace() != Ok(u64::from(self.namespace.load(Ordering::Relaxed))) {
            return Ok(nap(until)); // it may be there, where its namespace is
        }
        let new = match Name::create() {
            Ok(new) => new,
            Err(Errno::ENOSPC | Errno::ENOMEM) => return Ok(nap(until)),
            Err(errno) => return Err(not_made(errno)),
        };
        let (gone, bits) = (gone.to_bits(), new.to_bits());
        if self.set.compare_exchange(gone, bits, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            // Err: it is gone already.
            let _ = new.remove();
        }
        Ok(Heard::Ring)
    }
}

impl Bell for SysvBell {
    const BACKEND: &'static str = "SysV semaphores";
    const NEW: Self = SysvBell { set: AtomicU64::new(0), namespace: AtomicU32::new(0), spare: AtomicU32::new(0) };

    fn wait(&self, until: TimeSpec) -> Result<Heard> {
        let name = self.name();
        match name.enter().and_then(|set| Ok(set.take(BELL, until)?)) {
            Ok(true) => Ok(Heard::Ring),
            Ok(false) => Ok(Heard::Nothing),
            Err(Trouble::Gone) => self.replace(name, until),
            Err(Trouble::Barred) => Ok(nap(until)),
            Err(Trouble::Failed(errno)) => Err(failed("semtimedop", name, errno)),
        }
    }

    fn ring(&self, times: u32) -> Result<()> {
        let mut name = self.name();
        for _ in 0..MOST_REPLACED {
            match name.enter().and_then(|set| Ok(set.add(BELL, times)?)) {
                Ok(()) => break,
                // There are enough rings for all who may be asleep.
                Err(Trouble::Failed(Errno::ERANGE)) => break,
                Err(Trouble::Gone) => match self.name() {
                    same if same == name => break, // invariant 2
                    other => name = other,
                },
                Err(Trouble::Barred) => break,
                Err(Trouble::Failed(errno)) => return Err(failed("semop", name, errno)),
            }
        }
        Ok(())
    }

    fn unheard(&self) -> Result<u32> {
        let name = self.name();
        match name.enter().and_then(|set| Ok(set.value(BELL)?)) {
            Ok(rings) => Ok(rings),
            Err(Trouble::Gone | Trouble::Barred) => Ok(0),
            Err(Trouble::Failed(errno)) => Err(failed("semctl(GETVAL)", name, errno)),
        }
    }

    unsafe fn settle(&self) -> Result<()> {
        let namespace = namespace::ipc_namespace().map_err(|errno| {
            sys::failed(
                "stat",
                "/proc/self/ns/ipc",
                errno,
                "mount /proc: it tells which IPC namespace this process is in",
            )
        })?;
        let name = Name::create_with_room()?;
        self.namespace.store(namespace as u32, Ordering::Relaxed); // they fit 32 bits
        self.set.store(name.to_bits(), Ordering::SeqCst);
        Ok(())
    }

    unsafe fn teardown(&self) {
        // Whoever still waits by it makes a new set, for the next sweep.
        // Err: it is gone, or another user's.
        let _ = Name::from_bits(self.set.swap(0, Ordering::SeqCst)).remove();
    }
}

/// Sleeps without a bell.
fn nap(until: TimeSpec) -> Heard {
    clock::sleep_until(until);
    Heard::Nothing
}

fn failed(call: &'static str, name: Name, errno: Errno) -> Error {
    sys::failed(call, name.describe(), errno, "see what ipcs -s shows of it, or make the region anew")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_counted_as_far_as_the_system_can() {
        let bell = SysvBell::NEW;
        // SAFETY: nobody else uses it, and it stays here.
        unsafe { bell.settle() }.unwrap();
        assert_eq!(bell.unheard(), Ok(0));
        for (rings, unheard) in
            [(0, 0), (32_000, 32_000), (0, 32_000), (1000, 32_000), (u32::MAX, 32_000), (767, 32_767)]
        {
            bell.ring(rings).unwrap();
            assert_eq!(bell.unheard(), Ok(unheard), "{rings} more");
        }
        assert_eq!(bell.wait(clock::monotonic()), Ok(Heard::Ring));
        assert_eq!(bell.unheard(), Ok(32_766));
        // SAFETY: nobody uses it.
        unsafe { bell.teardown() };
        assert_eq!((bell.ring(1), bell.unheard()), (Ok(()), Ok(0)));
    }

    #[test]
    fn an_error_names_the_call_the_set_and_what_to_do() {
        let name = Name::from_bits(0xd5c1_2345_0000_0007);
        let told = failed("semtimedop", name, Errno::ENOSYS).to_string();
        for part in ["semtimedop", "set 7", "0xd5c12345", "ipcs -s", "not implemented"] {
            assert!(told.contains(part), "{told}");
        }
    }
}
