//! What all processes share: permits to work, and the books, which say who does what.
//!
//! A worker that is killed leaves behind
//!
//! - **its permit**, which comes back by itself: somebody who waits for one has it at once;
//! - **its job**, which the books have in its slot: the next worker in its place does it again;
//! - **a change of the books, half-made**, which whoever takes the lock next undoes: [`Undo`].

use pshared::{Mutex, Permits, Result, ShmData, ShmSafe};

use crate::common::Undo;

/// So many workers work at a time.
pub const PERMITS: usize = 3;

/// As many workers as the books have slots for.
pub const MAX_WORKERS: usize = 64;

/// The struct in shared memory.
#[repr(C)]
#[derive(ShmSafe)]
pub struct Pool {
    pub permits: Permits<PERMITS>,
    books: Mutex<Undo<Books>>,
}

#[repr(C)]
#[derive(ShmData, Clone, Copy)]
pub struct Books {
    /// So many jobs there are, numbered from 0,
    jobs: u64,
    /// so many of them may be taken by now,
    pub released: u64,
    /// so many were taken,
    taken: u64,
    /// so many are done,
    pub done: u64,
    /// and this is the sum of their results.
    pub sum: u64,
    /// Jobs that a worker took over from a dead one.
    pub taken_over: u64,
    slots: [Slot; MAX_WORKERS],
}

#[repr(C)]
#[derive(ShmData, Clone, Copy)]
struct Slot {
    /// Whether the worker has a job; if it lives, it works on it.
    busy: bool,
    job: u64,
}

/// What a worker has to do now.
pub enum Turn {
    /// Do this job, then [`Books::settle`] it.
    Work(u64),
    /// Ask again in a moment.
    Wait,
    /// There is nothing left.
    Finish,
}

impl Pool {
    /// So many jobs, the first of which may be taken at once.
    pub fn new(jobs: u64, released: u64) -> Pool {
        let slots = [Slot { busy: false, job: 0 }; MAX_WORKERS];
        let books = Books { jobs, released, taken: 0, done: 0, sum: 0, taken_over: 0, slots };
        Pool { permits: Permits::new(), books: Mutex::new(Undo::new(books)) }
    }

    /// Makes one change to the books: whoever is killed during it has not made it.
    pub fn change<R>(&self, change: impl FnOnce(&mut Books) -> R) -> Result<R> {
        let mut books = self.books.lock_or_recover(|books, _cause| books.repair())?;
        Ok(books.change(change))
    }
}

impl Books {
    /// The worker's next job.
    pub fn next_turn(&mut self, worker: usize) -> Turn {
        let slot = &mut self.slots[worker];
        if slot.busy {
            // A worker settles what it took before it asks again: this was taken by one that died.
            self.taken_over += 1;
            Turn::Work(slot.job)
        } else if self.taken < self.released {
            *slot = Slot { busy: true, job: self.taken };
            self.taken += 1;
            Turn::Work(slot.job)
        } else if self.taken < self.jobs {
            Turn::Wait
        } else {
            Turn::Finish
        }
    }

    /// Enters the result of the worker's job.
    pub fn settle(&mut self, worker: usize, result: u64) {
        self.done += 1;
        self.sum = self.sum.wrapping_add(result);
        self.slots[worker].busy = false;
    }

    /// The workers that have a job.
    pub fn busy(&self) -> Vec<usize> {
        (0..MAX_WORKERS).filter(|&worker| self.slots[worker].busy).collect()
    }
}
