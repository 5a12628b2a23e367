//! One of everything, in shared memory.

use pshared::backend::Backend;
use pshared::generic::{Barrier, Condvar, Event, Mutex, Once, OnceLock, Permits, ReentrantMutex, RwLock, Semaphore};
use pshared::{Shm, ShmSafe};

#[repr(C)]
#[derive(ShmSafe)]
pub struct Scene<B: Backend> {
    pub mutex: Mutex<u64, B>,
    pub second: Mutex<u64, B>,
    pub reentrant: ReentrantMutex<u64, B>,
    pub rwlock: RwLock<u64, B, 64>,
    /// Nothing is there, between one path and the next.
    pub jobs: Semaphore<B>,
    /// Nobody waits for this one ever.
    pub posted: Semaphore<B>,
    pub permits: Permits<B, 4>,
    pub condvar: Condvar<B>,
    /// Set all the time.
    pub open: Event<B>,
    pub manual: Event<B>,
    pub auto: Event<B>,
    /// For one.
    pub barrier: Barrier<B, 4>,
    pub once: Once<B>,
    pub once_lock: OnceLock<u64, B>,
}

impl<B: Backend> Scene<B> {
    fn new() -> pshared::Result<Self> {
        Ok(Scene {
            mutex: Mutex::new(0),
            second: Mutex::new(0),
            reentrant: ReentrantMutex::new(0),
            rwlock: RwLock::with_readers(0),
            jobs: Semaphore::counting(0)?,
            posted: Semaphore::counting(0)?,
            permits: Permits::new(),
            condvar: Condvar::new(),
            open: Event::manual(true),
            manual: Event::manual(false),
            auto: Event::auto(false),
            barrier: Barrier::new(1)?,
            once: Once::new(),
            once_lock: OnceLock::new(),
        })
    }
}

/// A scene under a name of its own, which goes away with it.
pub struct Stage<B: Backend> {
    name: String,
    pub scene: Shm<Scene<B>>,
}

impl<B: Backend> Stage<B> {
    pub fn new() -> Self {
        let name = format!("pshared-instructions-{}-{}", std::process::id(), B::NAME);
        let scene = Shm::create(&name, Scene::new).expect("a scene");
        Stage { name, scene }
    }
}

impl<B: Backend> Drop for Stage<B> {
    fn drop(&mut self) {
        // With what the system holds for it.
        Shm::<Scene<B>>::remove(&self.name).expect("nobody else removes it");
    }
}
