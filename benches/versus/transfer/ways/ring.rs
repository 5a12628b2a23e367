//! A ring of messages with our semaphores beside it: in shared memory, where they are made and looked at in place or copied
//! in and out, or in a file.

use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

use pshared::region::{Mapping, Memfd, Region};
use pshared::{Semaphore, Shm, ShmSafe};
use zerocopy::IntoBytes;

use super::{Address, Own, Way, own};

/// As much as a pipe has room for.
const ROOM: usize = 64 << 10;

/// What a ring's messages stand in, and how they get in and out.
///
/// A slot belongs to the sender or to the receiver, as the ring's semaphores say.
pub trait Store: Sized + 'static {
    /// In tables and charts.
    const NAME: &'static str;

    /// Room for so many messages of so many numbers; `name` is nobody else's.
    fn create(name: &str, slots: usize, length: usize) -> io::Result<Self>;

    /// The descriptor by which others find it.
    fn descriptor(&self) -> io::Result<BorrowedFd<'_>>;

    /// The one with this descriptor, for messages of so many numbers.
    fn open(descriptor: File, length: usize) -> io::Result<Self>;

    /// Has `fill` make a message and puts it into `slot`.
    fn put(&self, slot: usize, fill: impl FnOnce(&mut [u64])) -> io::Result<()>;

    /// Gets the message in `slot` and shows it.
    fn get<R>(&self, slot: usize, look: impl FnOnce(&[u64]) -> R) -> io::Result<R>;
}

/// A ring in an `S`.
pub struct Ring<S> {
    gates: Shm<Gates>,
    store: S,
    next: Cell<usize>,
}

/// Whose the slots are, and where.
#[repr(C)]
#[derive(ShmSafe)]
struct Gates {
    /// Slots that may be written.
    free: Line,
    /// Slots that may be read.
    full: Line,
    address: Address,
    slots: u64,
}

#[repr(C, align(128))]
#[derive(ShmSafe)]
struct Line(Semaphore);

impl<S> Ring<S> {
    fn next(&self) -> usize {
        let slot = self.next.get();
        self.next.set((slot + 1) % self.gates.slots as usize);
        slot
    }
}

impl<S: Store> Way for Ring<S> {
    const NAME: &'static str = S::NAME;

    fn create(name: &str, length: usize) -> io::Result<Self> {
        let slots = (ROOM / size_of::<u64>() / length).max(2);
        let store = S::create(name, slots, length)?;
        let address = Address::of(store.descriptor()?);
        let gates = Shm::create(name, || {
            let (free, full) = (Semaphore::counting(slots as u32)?, Semaphore::counting(0)?);
            Ok(Gates { free: Line(free), full: Line(full), address, slots: slots as u64 })
        });
        Ok(Ring { gates: gates.map_err(io::Error::other)?, store, next: Cell::new(0) })
    }

    fn open(name: &str, length: usize) -> io::Result<Self> {
        let gates = Shm::<Gates>::open(name).map_err(io::Error::other)?;
        let store = S::open(gates.address.open()?, length)?;
        Ok(Ring { gates, store, next: Cell::new(0) })
    }

    #[inline]
    fn send(&self, fill: impl FnOnce(&mut [u64])) -> io::Result<()> {
        self.gates.free.0.wait().map_err(io::Error::other)?;
        self.store.put(self.next(), fill)?;
        self.gates.full.0.post().map_err(io::Error::other)
    }

    #[inline]
    fn receive<R>(&self, look: impl FnOnce(&[u64]) -> R) -> io::Result<R> {
        self.gates.full.0.wait().map_err(io::Error::other)?;
        let result = self.store.get(self.next(), look)?;
        self.gates.free.0.post().map_err(io::Error::other)?;
        Ok(result)
    }
}

/// Shared memory: the message is made where the receiver looks at it.
pub struct InPlace {
    region: Memfd,
    memory: Mapping,
    length: usize,
}

impl InPlace {
    fn slot(&self, slot: usize) -> NonNull<[u64]> {
        let start = slot * self.length;
        assert!((start + self.length) * size_of::<u64>() <= self.memory.len(), "no such slot");
        // SAFETY: within the mapping, as was just seen.
        let start = unsafe { self.memory.as_ptr().cast::<u64>().add(start) };
        NonNull::slice_from_raw_parts(start, self.length)
    }
}

impl Store for InPlace {
    const NAME: &'static str = "pshared: shared memory, in place";

    fn create(_name: &str, slots: usize, length: usize) -> io::Result<Self> {
        let region = Memfd::new("pshared-versus").map_err(io::Error::other)?;
        let staged = region.stage(slots * length * size_of::<u64>()).map_err(io::Error::other)?;
        staged.publish().map_err(io::Error::other)?;
        Ok(InPlace { memory: staged.into_mapping(), region, length })
    }

    fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        self.region.as_fd().ok_or_else(|| io::Error::other("the memfd isn't published"))
    }

    fn open(descriptor: File, length: usize) -> io::Result<Self> {
        let region = Memfd::from_fd(descriptor.into()).map_err(io::Error::other)?;
        let memory = region.open().map_err(io::Error::other)?;
        Ok(InPlace { memory, region, length })
    }

    #[inline]
    fn put(&self, slot: usize, fill: impl FnOnce(&mut [u64])) -> io::Result<()> {
        // SAFETY: mapped and aligned; any bytes are numbers; the slot is this process's, which has one thread that uses it.
        fill(unsafe { self.slot(slot).as_mut() });
        Ok(())
    }

    #[inline]
    fn get<R>(&self, slot: usize, look: impl FnOnce(&[u64]) -> R) -> io::Result<R> {
        // SAFETY: as in put.
        Ok(look(unsafe { self.slot(slot).as_ref() }))
    }
}

/// Shared memory: the sender copies the message in, the receiver copies it out.
pub struct Copied {
    shared: InPlace,
    own: Own,
}

impl Store for Copied {
    const NAME: &'static str = "pshared: shared memory, copied in and out";

    fn create(name: &str, slots: usize, length: usize) -> io::Result<Self> {
        Ok(Copied { shared: InPlace::create(name, slots, length)?, own: own(length) })
    }

    fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        self.shared.descriptor()
    }

    fn open(descriptor: File, length: usize) -> io::Result<Self> {
        Ok(Copied { shared: InPlace::open(descriptor, length)?, own: own(length) })
    }

    fn put(&self, slot: usize, fill: impl FnOnce(&mut [u64])) -> io::Result<()> {
        let own = &mut *self.own.borrow_mut();
        fill(own);
        self.shared.put(slot, |shared| shared.copy_from_slice(own))
    }

    fn get<R>(&self, slot: usize, look: impl FnOnce(&[u64]) -> R) -> io::Result<R> {
        let own = &mut *self.own.borrow_mut();
        self.shared.get(slot, |shared| own.copy_from_slice(shared))?;
        Ok(look(own))
    }
}

/// A file in the directory for temporary ones, which has lost its name already. Nothing waits for the disk.
pub struct InFile {
    file: File,
    own: Own,
}

impl InFile {
    fn offset(slot: usize, message: &[u64]) -> u64 {
        (slot * size_of_val(message)) as u64
    }
}

impl Store for InFile {
    const NAME: &'static str = "file, and pshared::Semaphore";

    fn create(name: &str, _slots: usize, length: usize) -> io::Result<Self> {
        let path = std::env::temp_dir().join(name);
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        fs::remove_file(&path)?;
        Ok(InFile { file, own: own(length) })
    }

    fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.file.as_fd())
    }

    fn open(descriptor: File, length: usize) -> io::Result<Self> {
        Ok(InFile { file: descriptor, own: own(length) })
    }

    fn put(&self, slot: usize, fill: impl FnOnce(&mut [u64])) -> io::Result<()> {
        let own = &mut *self.own.borrow_mut();
        fill(own);
        self.file.write_all_at(own.as_bytes(), Self::offset(slot, own))
    }

    fn get<R>(&self, slot: usize, look: impl FnOnce(&[u64]) -> R) -> io::Result<R> {
        let own = &mut *self.own.borrow_mut();
        let offset = Self::offset(slot, own);
        self.file.read_exact_at(own.as_mut_bytes(), offset)?;
        Ok(look(own))
    }
}
