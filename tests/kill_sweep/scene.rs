//! What the processes of the sweep share.

use std::sync::atomic::{AtomicU32, Ordering};

use pshared::backend::Backend;
use pshared::generic::{Barrier, Condvar, Event, Mutex, Once, Permits, ReentrantMutex, RwLock, Semaphore};
use pshared::{Shm, ShmSafe};

use crate::support::claims::tells_of_deaths;
use crate::support::plain_lock::PlainLock;

/// How many can read at a time.
pub const READERS: usize = 4;

/// How many permits there are.
pub const PERMITS: usize = 1;

/// How many there are of those that one may have while another is taken.
pub const PAIR: usize = 2;

/// How many meet at the barrier.
pub const PARTICIPANTS: usize = 3;

/// So many bytes stand before the sequence of a condition variable on futexes.
const BATON: usize = 40;

/// One of each.
#[repr(C)]
#[derive(ShmSafe)]
pub struct Scene<B: Backend> {
    pub mutex: Mutex<u32, B>,
    /// For those who have two.
    pub second: Mutex<u32, B>,
    pub nested: ReentrantMutex<u32, B>,
    pub rwlock: RwLock<u32, B, READERS>,
    pub condvar: Condvar<B>,
    pub jobs: Semaphore<B>,
    pub permits: Permits<B, PERMITS>,
    pub pair: Permits<B, PAIR>,
    pub meeting: Barrier<B, 4>,
    pub once: Once<B>,
    pub auto: Event<B>,
    pub manual: Event<B>,
    pub plain: PlainLock,
}

impl<B: Backend> Scene<B> {
    fn new() -> pshared::Result<Self> {
        Ok(Scene {
            mutex: Mutex::new(0),
            second: Mutex::new(0),
            nested: ReentrantMutex::new(0),
            rwlock: RwLock::with_readers(0),
            condvar: Condvar::new(),
            jobs: Semaphore::counting(0)?,
            permits: Permits::new(),
            pair: Permits::new(),
            meeting: Barrier::new(PARTICIPANTS)?,
            once: Once::new(),
            auto: Event::auto(false),
            manual: Event::manual(false),
            plain: PlainLock::new(),
        })
    }
}

impl<B: Backend> Scene<B> {
    /// How many notifications there were.
    pub fn notifications(&self) -> u32 {
        let at = if tells_of_deaths::<B>() { BATON } else { 0 };
        let condvar = &raw const self.condvar;
        // SAFETY: inside the condition variable, which has the atomic word of its sequence there, aligned.
        let sequence = unsafe { &*condvar.cast::<u8>().add(at).cast::<AtomicU32>() };
        sequence.load(Ordering::SeqCst) >> 1 // above the bit that says whether somebody sleeps
    }
}

/// Whether the thread owns something in there, as the lock says.
pub fn owns<T: ShmSafe>(tid: u32, thing: &T) -> bool {
    let mut found = false;
    let looked = thing.each_lock(&mut |lock| {
        lock.each_owner(&mut |owner| found |= owner == tid);
        Ok(())
    });
    looked.is_ok() && found
}

/// What the victims of the rows about cells create: complete only if all of it is there.
#[repr(C)]
#[derive(ShmSafe)]
pub struct Made<B: Backend> {
    pub first: AtomicU32,
    pub lock: Mutex<[u32; 8], B>,
    pub jobs: Semaphore<B>,
    pub last: AtomicU32,
}

impl<B: Backend> Made<B> {
    pub fn new() -> pshared::Result<Self> {
        let (first, last) = (AtomicU32::new(1), AtomicU32::new(1));
        Ok(Made { first, lock: Mutex::new([1; 8]), jobs: Semaphore::counting(1)?, last })
    }

    /// Whether all of it is there.
    pub fn is_complete(&self) -> bool {
        let ends = [&self.first, &self.last].map(|end| end.load(Ordering::SeqCst));
        let inside = self.lock.try_lock().is_ok_and(|numbers| *numbers == [1; 8]);
        ends == [1; 2] && inside && self.jobs.try_wait().is_ok() && self.jobs.post().is_ok()
    }
}

/// A scene under a name of its own, which goes away with it.
pub struct Stage<B: Backend> {
    pub name: String,
    pub scene: Shm<Scene<B>>,
}

impl<B: Backend> Stage<B> {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("pshared-sweep-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let scene = Shm::create(&name, Scene::new).expect("a scene");
        Stage { name, scene }
    }

    /// The name of what the victims make.
    pub fn made_name(&self) -> String {
        made_name(&self.name)
    }
}

pub fn made_name(name: &str) -> String {
    format!("{name}-made")
}

impl<B: Backend> Drop for Stage<B> {
    fn drop(&mut self) {
        let _ = Shm::<Made<B>>::remove(&self.made_name()); // mostly there is none
        Shm::<Scene<B>>::remove(&self.name).expect("nobody else removes it");
    }
}
