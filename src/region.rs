//! Regions: memory that several processes map. They know nothing of cells or locks.

mod mapping;

pub use mapping::Mapping;

use crate::error::{Error, Result};

/// A place for shared memory: what a cell is created in, opened from and removed from.
///
/// The five implementors are [`Posix`], [`SysV`], [`File`], [`Memfd`] and [`Anonymous`].
pub trait Region {
    /// What error messages call the region, such as ``shared memory `stats` ``.
    fn describe(&self) -> String;

    /// Maps what exists.
    fn open(&self) -> Result<Mapping>;

    /// Reserves `len` bytes of zeros that nobody finds yet, or that [`Mapping::is_published`] calls findable at once
    /// where the system can't hide them.
    fn stage(&self, len: usize) -> Result<Staged>;

    /// Removes the name; whoever has the region mapped keeps it.
    fn remove(&self) -> Result<()>;

    /// The region's size in bytes.
    fn size(&self) -> Result<usize>;
}

/// Memory that is filled before anybody can find it. Dropped without [`publish`](Staged::publish) it leaves nothing.
pub struct Staged {
    mapping: Mapping,
    // …how to publish
}

impl Staged {
    /// The memory to fill.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Makes the region findable by its name.
    pub fn publish(self) -> std::result::Result<Mapping, (Staged, Error)> {
        Ok(self.mapping)
    }
}
