//! One of everything that may stand in a cell, on one backend, around data of which every bit pattern is a value.

use pshared::backend::Backend;
use pshared::generic::{Barrier, Condvar, Event, Mutex, Once, OnceLock, Permits, ReentrantMutex, RwLock, Semaphore};
use pshared::{ShmData, ShmSafe, ShmString, ShmVec};

/// So many readers at a time, permits, and participants.
pub const ROOM: usize = 3;

#[repr(C)]
#[derive(Debug, ShmData)]
pub struct Data {
    pub numbers: [u64; 3],
    pub text: ShmString<12>,
    pub list: ShmVec<u16, 6>,
    pub maybe: Option<std::num::NonZeroU32>,
}

impl Data {
    pub fn new() -> Data {
        Data { numbers: [1, 2, 3], text: ShmString::new(), list: ShmVec::new(), maybe: None }
    }

    /// Reads all of it.
    pub fn look(&self) -> usize {
        let text = self.text.to_string();
        let list: u64 = self.list.iter().map(|item| u64::from(*item)).sum();
        text.len() + list as usize % 7 + self.numbers[0] as usize % 5 + usize::from(self.maybe.is_some())
    }

    /// Writes to all of it.
    pub fn change(&mut self, n: u64) {
        self.numbers[n as usize % 3] ^= n;
        self.maybe = std::num::NonZeroU32::new(n as u32);
        // Full, it is made empty.
        if self.text.push_str("é!").is_err() {
            self.text.clear();
        }
        if self.list.push(n as u16).is_err() {
            self.list.pop();
            self.list.clear();
        }
    }
}

#[repr(C)]
#[derive(ShmSafe)]
pub struct Everything<B: Backend> {
    pub mutexes: [Mutex<Data, B>; 3],
    pub reentrant: ReentrantMutex<u64, B>,
    pub rwlock: RwLock<Data, B, ROOM>,
    pub condvar: Condvar<B>,
    pub semaphores: [Semaphore<B>; 2],
    pub permits: Permits<B, ROOM>,
    pub events: [Event<B>; 2],
    pub barrier: Barrier<B, ROOM>,
    pub once: Once<B>,
    pub once_lock: OnceLock<Data, B>,
}

pub fn everything<B: Backend>() -> pshared::Result<Everything<B>> {
    Ok(Everything {
        mutexes: std::array::from_fn(|_| Mutex::new(Data::new())),
        reentrant: ReentrantMutex::new(7),
        rwlock: RwLock::with_readers(Data::new()),
        condvar: Condvar::new(),
        semaphores: [Semaphore::counting(2)?, Semaphore::binary(true)],
        permits: Permits::new(),
        events: [Event::auto(false), Event::manual(true)],
        barrier: Barrier::new(2)?,
        once: Once::new(),
        once_lock: OnceLock::new(),
    })
}
