//! What all processes share: the books, and how a change that was cut short is undone.
//!
//! Two things can be left behind by a worker that is killed, and each has its own remedy:
//!
//! - It died *inside* the lock, half-way through a change. Whoever takes the lock next learns that from
//!   `lock_or_recover` and puts the books back to what they were before the change: [`Undo`].
//! - It died *outside* the lock, while it counted a file. The books are in order and say, in the worker's slot, which file
//!   that was. The boss starts a new worker for that slot, and [`Books::next_turn`] gives it the same file.
//!
//! So each file's counts are added exactly once: adding them and clearing the slot are one change, made or not made.

use std::ops::AddAssign;

use pshared::{Mutex, Result, ShmData, ShmSafe};

use crate::common::Undo;

/// As many workers as the books have slots for.
pub const MAX_WORKERS: usize = 128;

/// The struct in shared memory.
#[repr(C)]
#[derive(ShmSafe)]
pub struct Job {
    pub books: Mutex<Undo<Books>>,
}

impl Job {
    /// A job of so many files, the last `held_back` of which are kept for later.
    pub fn new(files: u32, held_back: u32) -> Job {
        Job { books: Mutex::new(Undo::new(Books { files, held_back, ..Books::default() })) }
    }

    /// Makes one change to the books: whoever is killed during it has not made it.
    pub fn change<R>(&self, change: impl FnOnce(&mut Books) -> R) -> Result<R> {
        let mut books = self.books.lock_or_recover(|books, _cause| books.repair())?;
        Ok(books.change(change))
    }

    /// How often the lock's owner was found dead.
    pub fn repairs(&self) -> Result<u32> {
        Ok(self.books.lock_or_recover(|books, _cause| books.repair())?.repairs())
    }
}

/// Lines, words and bytes.
#[repr(C)]
#[derive(ShmData, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub lines: u64,
    pub words: u64,
    pub bytes: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Counts) {
        self.lines += more.lines;
        self.words += more.words;
        self.bytes += more.bytes;
    }
}

/// Who does what, and what came of it.
///
/// Files are numbers here, their places in the command line that all processes were started with.
#[repr(C)]
#[derive(ShmData, Clone, Copy)]
pub struct Books {
    pub totals: Counts,
    files: u32,
    /// The queue: files from this number on were never taken.
    next: u32,
    /// Files that are in `totals`.
    done: u32,
    /// So many of the last files are not handed out yet.
    held_back: u32,
    /// Files that a worker took over from a dead one.
    pub taken_over: u32,
    slots: [Slot; MAX_WORKERS],
}

#[repr(C)]
#[derive(ShmData, Clone, Copy)]
struct Slot {
    file: u32,
    errno: i32,
    state: State,
}

#[repr(u8)]
#[derive(ShmData, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The worker has no file.
    Idle = 0,
    /// The worker counts `file`; if it lives.
    Counting = 1,
    /// `file` is done as far as it could be read: `errno` is for the boss to report.
    Unreadable = 2,
}

/// What a worker has to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// Count this file, then [`Books::settle`] it.
    Count(u32),
    /// Ask again in a moment.
    Wait,
    /// There is nothing left.
    Finish,
}

/// What the boss wants to know.
pub struct Progress {
    pub taken: u32,
    pub done: u32,
    /// Workers that have a file.
    pub busy: Vec<usize>,
    /// Files that couldn't be read, each with its errno, each reported once.
    pub unreadable: Vec<(u32, i32)>,
}

impl Default for Books {
    fn default() -> Self {
        let idle = Slot { file: 0, errno: 0, state: State::Idle };
        Books {
            totals: Counts::default(),
            files: 0,
            next: 0,
            done: 0,
            held_back: 0,
            taken_over: 0,
            slots: [idle; MAX_WORKERS],
        }
    }
}

impl Books {
    /// The worker's next file.
    pub fn next_turn(&mut self, worker: usize) -> Turn {
        let slot = &mut self.slots[worker];
        match slot.state {
            // A worker settles what it took before it asks again: this was taken by one that died.
            State::Counting => {
                self.taken_over += 1;
                Turn::Count(slot.file)
            }
            State::Idle if self.next < self.files.saturating_sub(self.held_back) => {
                *slot = Slot { file: self.next, errno: 0, state: State::Counting };
                self.next += 1;
                Turn::Count(slot.file)
            }
            State::Idle if self.next == self.files => Turn::Finish,
            State::Idle | State::Unreadable => Turn::Wait,
        }
    }

    /// Adds the counts of the worker's file, and the error that ended the counting, if one did.
    pub fn settle(&mut self, worker: usize, counts: Counts, errno: Option<i32>) {
        let slot = &mut self.slots[worker];
        self.totals += counts;
        self.done += 1;
        slot.state = if errno.is_some() { State::Unreadable } else { State::Idle };
        slot.errno = errno.unwrap_or(0);
    }

    /// Hands out one more of the files held back.
    pub fn hold_back_one_less(&mut self) {
        self.held_back = self.held_back.saturating_sub(1);
    }

    /// What happened since the boss last asked.
    pub fn progress(&mut self) -> Progress {
        let (mut busy, mut unreadable) = (Vec::new(), Vec::new());
        for (worker, slot) in self.slots.iter_mut().enumerate() {
            match slot.state {
                State::Idle => {}
                State::Counting => busy.push(worker),
                State::Unreadable => {
                    unreadable.push((slot.file, slot.errno));
                    slot.state = State::Idle;
                }
            }
        }
        Progress { taken: self.next, done: self.done, busy, unreadable }
    }
}
