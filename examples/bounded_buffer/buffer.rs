//! The buffer in shared memory: a ring of lines that producers put in and consumers take out.
//!
//! What keeps it going when any of them is killed:
//!
//! - **One change, made or not made.** All that counts is in the books, and they change by [`Undo`] only: putting a line into
//!   the ring and noting that its producer is one further are one change, so are taking it out and noting who has it.
//! - **Bytes first, then the books.** A line is written where the books don't look yet. Cut short there, nothing happened.
//! - **Notify before the change, inside the lock.** Whoever is woken waits for the lock, then looks. A process killed between
//!   the two has woken somebody for nothing; the other way round, there would be a line and nobody who knows.
//! - **The dead are replaced.** The books say how far a producer was and which line a consumer has in its hand; the next one
//!   in its place goes on there.

use std::hash::{DefaultHasher, Hash, Hasher};

use pshared::{Condvar, LockResult, Mutex, MutexGuard, Result, ShmData, ShmSafe, ShmVec};

use crate::common::Undo;

/// As many producers as the books have room for, and as many consumers.
pub const MAX_WORKERS: usize = 32;

/// Longer lines go through in pieces.
pub const MAX_LINE: usize = 1000;

/// Lines that the ring has room for.
const SLOTS: usize = 64;

/// The struct in shared memory.
#[repr(C)]
#[derive(ShmSafe)]
pub struct Buffer {
    pub ring: Mutex<Ring>,
    /// Consumers wait here for a line.
    filled: Condvar,
    /// Producers wait here for room in the ring,
    emptied: Condvar,
    /// and here for the boss.
    released: Condvar,
}

#[repr(C)]
#[derive(ShmData)]
pub struct Ring {
    books: Undo<Books>,
    lines: [Line; SLOTS],
    /// The line that each consumer has taken.
    hands: [Line; MAX_WORKERS],
}

/// A line or a piece of one, with its end if it has one.
#[repr(C)]
#[derive(ShmData, Clone, Copy, Default, Hash)]
pub struct Line {
    pub number: u64,
    pub text: ShmVec<u8, MAX_LINE>,
}

/// What became of the lines.
#[repr(C)]
#[derive(ShmData, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Lines and pieces.
    pub items: u64,
    /// Ends of lines.
    pub lines: u64,
    /// The sum of all lines' checksums: the same in whatever order they come.
    pub checksum: u64,
}

impl Tally {
    pub fn add(&mut self, number: u64, text: &[u8]) {
        let mut hasher = DefaultHasher::new();
        (number, text).hash(&mut hasher);
        self.items += 1;
        self.lines += u64::from(text.ends_with(b"\n"));
        self.checksum = self.checksum.wrapping_add(hasher.finish());
    }
}

#[repr(C)]
#[derive(ShmData, Clone, Copy)]
struct Books {
    /// So many lines there are,
    all: u64,
    /// so many of them may be put into the ring by now,
    released: u64,
    /// so many were put in,
    put: u64,
    /// so many were taken out,
    taken: u64,
    /// and this came of those that were consumed.
    consumed: Tally,
    /// Lines that a consumer took over from a dead one.
    taken_over: u64,
    /// The number of each producer's next line.
    next: [u64; MAX_WORKERS],
    /// Whether each consumer has a line in its hand.
    has_line: [bool; MAX_WORKERS],
}

impl Buffer {
    /// An empty buffer for so many lines in all, the first of which may be put in at once.
    pub fn new(all: u64, released: u64) -> Buffer {
        let books = Books {
            all,
            released,
            put: 0,
            taken: 0,
            consumed: Tally::default(),
            taken_over: 0,
            next: std::array::from_fn(|producer| producer as u64),
            has_line: [false; MAX_WORKERS],
        };
        let (lines, hands) = ([Line::default(); SLOTS], [Line::default(); MAX_WORKERS]);
        let ring = Mutex::new(Ring { books: Undo::new(books), lines, hands });
        Buffer { ring, filled: Condvar::new(), emptied: Condvar::new(), released: Condvar::new() }
    }

    /// The number of the producer's next line, and how many lines there are in all.
    pub fn next(&self, producer: usize) -> Result<(u64, u64)> {
        let guard = self.lock()?;
        Ok((guard.books.next[producer], guard.books.all))
    }

    /// Puts in the producer's next line. The one after is its `step`th from there.
    pub fn put(&self, producer: usize, text: &[u8], step: u64) -> Result<()> {
        let text = ShmVec::try_from(text)?;
        let mut guard = self.lock()?;
        loop {
            // Everybody who waits at a condition variable waits for the same, so it doesn't matter who is woken.
            if guard.books.next[producer] >= guard.books.released {
                guard = self.sound(self.released.wait(guard))?;
            } else if guard.books.put - guard.books.taken == SLOTS as u64 {
                guard = self.sound(self.emptied.wait(guard))?;
            } else {
                break;
            }
        }
        let Ring { books, lines, .. } = &mut *guard;
        lines[slot(books.put)] = Line { number: books.next[producer], text };
        self.filled.notify_one();
        books.change(|books| {
            books.put += 1;
            books.next[producer] += step;
        });
        Ok(())
    }

    /// Takes out a line for the consumer, to be entered with [`consumed`](Buffer::consumed); `None` is the end.
    pub fn take(&self, consumer: usize) -> Result<Option<Line>> {
        let mut guard = self.lock()?;
        // A consumer enters what it took before it takes more: this was taken by one that died.
        if guard.books.has_line[consumer] {
            guard.books.change(|books| books.taken_over += 1);
            return Ok(Some(guard.hands[consumer]));
        }
        while guard.books.taken == guard.books.put {
            if guard.books.taken == guard.books.all {
                return Ok(None);
            }
            guard = self.sound(self.filled.wait(guard))?;
        }
        let Ring { books, lines, hands } = &mut *guard;
        let line = lines[slot(books.taken)];
        hands[consumer] = line;
        self.emptied.notify_one();
        if books.taken + 1 == books.all {
            self.filled.notify_all();
        }
        books.change(|books| {
            books.taken += 1;
            books.has_line[consumer] = true;
        });
        Ok(Some(line))
    }

    /// Enters what came of the line in the consumer's hand.
    pub fn consumed(&self, consumer: usize, tally: Tally) -> Result<()> {
        self.lock()?.books.change(|books| {
            books.consumed.items += tally.items;
            books.consumed.lines += tally.lines;
            books.consumed.checksum = books.consumed.checksum.wrapping_add(tally.checksum);
            books.has_line[consumer] = false;
        });
        Ok(())
    }

    /// Lets producers go on until so many lines.
    pub fn release(&self, lines: u64) -> Result<()> {
        let mut guard = self.lock()?;
        self.released.notify_all();
        guard.books.change(|books| books.released = lines);
        Ok(())
    }

    /// What came of the lines so far.
    pub fn tally(&self) -> Result<Tally> {
        Ok(self.lock()?.books.consumed)
    }

    /// The consumers that have a line in their hand.
    pub fn busy(&self) -> Result<Vec<usize>> {
        let guard = self.lock()?;
        Ok((0..MAX_WORKERS).filter(|&consumer| guard.books.has_line[consumer]).collect())
    }

    /// How often somebody was found to have died inside the lock, and how many lines a consumer took over from a dead one.
    pub fn deaths(&self) -> Result<(u32, u64)> {
        let guard = self.lock()?;
        Ok((guard.books.repairs(), guard.books.taken_over))
    }

    fn lock(&self) -> Result<MutexGuard<'_, Ring>> {
        self.sound(self.ring.lock())
    }

    /// Puts the books right if somebody died inside the lock, which one may learn when locking and after each wait.
    fn sound<'a>(&self, locked: LockResult<MutexGuard<'a, Ring>>) -> Result<MutexGuard<'a, Ring>> {
        locked.or_else(|error| {
            let (mut guard, _cause) = error.recover()?;
            guard.books.repair();
            // Killed before this line, the next one repairs again.
            self.ring.clear_poison();
            Ok(guard)
        })
    }
}

/// Where in the ring the line stands that was the so-many-th to be put in.
fn slot(position: u64) -> usize {
    (position % SLOTS as u64) as usize
}
