//! The configuration in shared memory, and what keeps it whole whoever is killed.
//!
//! - **A reader** that is killed leaves the lock as if it had unlocked. Nobody is told, nobody has to do anything.
//! - **The writer**, killed half-way through a reload, leaves settings of two versions mixed. Whoever comes next, a reader
//!   as a rule, is told, and goes back to the settings from before the reload: [`Undo`].

use std::sync::atomic::{AtomicU64, Ordering};

use pshared::{LockError, Result, RwLock, RwLockReadGuard, RwLockWriteGuard, ShmData, ShmSafe};

use crate::common::Undo;

/// As many readers as there is room for, in the lock, too.
pub const MAX_READERS: usize = 64;

const SETTINGS: usize = 8000;

/// The struct in shared memory.
#[repr(C)]
#[derive(ShmSafe)]
pub struct Config {
    pub settings: RwLock<Undo<Settings>>,
    /// The writer may go on until this version.
    pub released: AtomicU64,
    pub readers: [Reader; MAX_READERS],
}

/// What a reader has seen, for the boss; also what those saw that died in its place.
#[repr(C, align(64))]
#[derive(ShmSafe)]
pub struct Reader {
    pub reads: AtomicU64,
    pub torn: AtomicU64,
}

#[repr(C)]
#[derive(ShmData, Clone, Copy)]
pub struct Settings {
    pub version: u64,
    values: [u64; SETTINGS],
    checksum: u64,
}

impl Config {
    /// Version 0.
    pub fn new(released: u64) -> Config {
        let mut settings = Settings { version: 0, values: [0; SETTINGS], checksum: 0 };
        settings.load(0);
        Config {
            settings: RwLock::new(Undo::new(settings)),
            released: AtomicU64::new(released),
            readers: std::array::from_fn(|_| Reader { reads: AtomicU64::new(0), torn: AtomicU64::new(0) }),
        }
    }

    /// The settings, beside other readers.
    pub fn read(&self) -> Result<RwLockReadGuard<'_, Undo<Settings>>> {
        match self.settings.read() {
            Ok(settings) => Ok(settings),
            Err(LockError::Poisoned(poison)) => {
                drop(poison); // and the guard in it: to repair is to write
                Ok(RwLockWriteGuard::downgrade(self.write()?))
            }
            Err(other) => Err(other.into()),
        }
    }

    /// Replaces the settings by those of the next version.
    pub fn reload(&self) -> Result<()> {
        self.write()?.change(|settings| settings.load(settings.version + 1));
        Ok(())
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, Undo<Settings>>> {
        self.settings.write_or_recover(|settings, _cause| settings.repair())
    }

    /// How much the readers read, and how much of that was torn.
    pub fn seen(&self) -> (u64, u64) {
        let sum = |field: fn(&Reader) -> &AtomicU64| {
            self.readers.iter().map(|reader| field(reader).load(Ordering::Relaxed)).sum()
        };
        (sum(|reader| &reader.reads), sum(|reader| &reader.torn))
    }
}

impl Settings {
    /// Loads a version, one value after the other: half-way through, nothing fits together.
    fn load(&mut self, version: u64) {
        self.version = version;
        for (value, place) in self.values.iter_mut().zip(1..) {
            *value = version.wrapping_mul(place);
        }
        self.checksum = self.sum();
    }

    pub fn are_whole(&self) -> bool {
        self.checksum == self.sum() && self.values[0] == self.version
    }

    /// Depends on each value and its place.
    fn sum(&self) -> u64 {
        self.values.iter().fold(self.version, |sum, &value| sum.wrapping_mul(31).wrapping_add(value))
    }
}
