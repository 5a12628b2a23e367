//! The locks of pshared, gone through by the loom model checker: every order of the steps of a few threads, and every value
//! that the memory orderings let a load see. The locks are the crate's own, in a machine of atomics and system calls that the
//! cfg `loom` puts below them (`src/modelled.rs` there says how, and what loom can't see).
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p pshared-loom
//! ```
//!
//! Nothing is here without that cfg.

#![cfg(loom)]

use loom::cell::UnsafeCell;
use pshared::Resident;
use pshared::modelled::{self, Fences};

/// How often threads may be interrupted in one execution where they could have gone on.
#[derive(Clone, Copy)]
pub enum Interruptions {
    /// Twice; three times where `PSHARED_MODELS` is `full`.
    ForTwoThreads,
    /// Never, so only where they sleep or end: those of more threads take minutes. Once where `PSHARED_MODELS` is `full`.
    ForThreeThreads,
}

impl Interruptions {
    fn most(self) -> usize {
        let more = std::env::var("PSHARED_MODELS").is_ok_and(|how| how == "full");
        let most = match self {
            Interruptions::ForTwoThreads => 2,
            Interruptions::ForThreeThreads => 0,
        };
        most + usize::from(more)
    }
}

/// Goes through all executions of `model` with so many interruptions (or `LOOM_MAX_PREEMPTIONS`), for both places where the
/// fences of `SeqCst` accesses may stand.
pub fn check(name: &str, interruptions: Interruptions, model: fn()) {
    for fences in [Fences::AfterWrites, Fences::BeforeReads] {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = builder.preemption_bound.or(Some(interruptions.most()));
        builder.max_branches = 10_000;
        let before = modelled::executions();
        builder.check(move || {
            modelled::begin(fences);
            model();
        });
        println!("{name}, {fences:?}: {} executions", modelled::executions() - before);
    }
}

/// Runs `f` in a thread of the model, one that the library knows: so it may take locks at once.
pub fn spawn(f: impl FnOnce() + Send + 'static) -> loom::thread::JoinHandle<()> {
    modelled::share(false); // nobody but this thread knows what is new
    let own = Shared::new(pshared::posix::Mutex::new(()));
    modelled::share(true);
    loom::thread::spawn(move || {
        drop(own.lock.lock().expect("nobody else knows it"));
        f();
    })
}

/// Waits for all of them.
pub fn join(threads: impl IntoIterator<Item = loom::thread::JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
}

/// Something in what the model takes for shared memory, with what loom watches beside it: the data of a lock.
pub struct Shared<L> {
    /// Settled.
    pub lock: L,
    data: UnsafeCell<u32>,
}

// SAFETY: the locks are for all threads, and loom looks who comes to the data.
unsafe impl<L: Sync> Sync for Shared<L> {}

impl<L: Resident + 'static> Shared<L> {
    /// Puts it where it stays until the end of the execution.
    pub fn new(lock: L) -> &'static Shared<L> {
        let shared: &'static Shared<L> = Box::leak(Box::new(Shared { lock, data: UnsafeCell::new(0) }));
        // SAFETY: it stays where it is, and nobody else uses it yet.
        unsafe { shared.lock.settle() }.expect("it settles");
        shared
    }

    /// Changes the data, which nobody else may look at meanwhile: what the lock must see to, or loom panics.
    pub fn write(&self) {
        // SAFETY: loom looks whether anybody else has a pointer.
        self.data.with_mut(|data| unsafe { *data += 1 });
    }

    /// Looks at the data, which nobody may change meanwhile.
    pub fn read(&self) -> u32 {
        // SAFETY: as above.
        self.data.with(|data| unsafe { *data })
    }
}

/// Two locks that are used together.
pub struct Both<A, B>(pub A, pub B);

impl<A: Resident, B: Resident> Resident for Both<A, B> {
    unsafe fn settle(&self) -> pshared::Result<()> {
        // SAFETY: handed through.
        unsafe { self.0.settle().and_then(|()| self.1.settle()) }
    }

    unsafe fn teardown(&self) {}

    unsafe fn reset(&self) -> pshared::Result<()> {
        Ok(())
    }

    fn each_owner(&self, _see: &mut dyn FnMut(u32)) {}
}
