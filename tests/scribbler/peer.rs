//! The peer that scribbles.

use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread;
use std::time::Duration;

use crate::support::random::Random;

/// What it knows of the region: its bytes, what they were when everything was well, and what may mean something to others.
pub struct Peer<'a> {
    pub random: Random,
    pub bytes: &'a [AtomicU8],
    pub well: &'a [u8],
    /// Words of eight bytes that it leaves alone.
    pub spared: Vec<usize>,
    /// Thread ids.
    pub ids: Vec<u32>,
    /// Addresses.
    pub pointers: Vec<usize>,
}

const WAITERS: u32 = 1 << 31;
const OWNER_DIED: u32 = 1 << 30;

impl Peer<'_> {
    /// Scribbles until it is killed.
    pub fn run(&self) -> ! {
        loop {
            self.scribble();
            match self.random.below(60) {
                // So that there is something to break again.
                0 => self.put_right(0, self.bytes.len()),
                1..6 => {
                    let at = self.random.below(self.bytes.len()) & !63;
                    self.put_right(at, 256);
                }
                6..9 => thread::sleep(Duration::from_micros(self.random.next() % 500)),
                _ => {}
            }
        }
    }

    fn put_right(&self, at: usize, len: usize) {
        let end = self.bytes.len().min(at + len);
        self.bytes[at..end].iter().zip(&self.well[at..end]).for_each(|(byte, was)| byte.store(*was, SeqCst));
    }

    fn store(&self, at: usize, byte: u8) {
        if !self.spared.contains(&(at & !7)) {
            self.bytes[at].store(byte, SeqCst);
        }
    }

    fn scribble(&self) {
        let random = &self.random;
        let id = random.of(&self.ids) | random.of(&[0, 0, WAITERS, OWNER_DIED]);
        match random.below(8) {
            0 => self.store(random.below(self.bytes.len()), random.next() as u8),
            1 => self.write(8, |was| (was ^ 1 << random.below(64)).to_ne_bytes().to_vec()),
            2 | 3 => {
                let any = random.next() as u32;
                let word = random.of(&[0, 1, 2, 3, WAITERS, OWNER_DIED, 1 << 29, u32::MAX, any, id, id, id]);
                self.write(4, |_| word.to_ne_bytes().to_vec());
            }
            4 => {
                let high = random.of(&[0, 0, random.next() as u32, u32::MAX]);
                let word = u64::from(id) | u64::from(high) << 32;
                self.write(8, |_| random.of(&[word, u64::MAX, 1 << 63, i64::MAX as u64, 0]).to_ne_bytes().to_vec());
            }
            5 => self.write(8, |_| random.of(&self.pointers).to_ne_bytes().to_vec()),
            6 => {
                // What one lock says of itself, to another.
                let (from, to) = (random.below(self.bytes.len()) & !7, random.below(self.bytes.len()) & !7);
                let len = random.of(&[8, 40, 64]).min(self.bytes.len() - from.max(to));
                (0..len).for_each(|i| self.store(to + i, self.bytes[from + i].load(Relaxed)));
            }
            _ => {
                let (at, len) = (random.below(self.bytes.len()), random.of(&[2, 16, 100]));
                let end = self.bytes.len().min(at + len);
                (at..end).for_each(|at| self.store(at, random.next() as u8));
            }
        }
    }

    /// Puts so many bytes somewhere, aligned, given what eight bytes there were.
    fn write(&self, len: usize, what: impl FnOnce(u64) -> Vec<u8>) {
        let at = self.random.below(self.bytes.len() / 8) * 8 + if len == 4 { self.random.below(2) * 4 } else { 0 };
        let was: Vec<u8> = self.bytes[at & !7..][..8].iter().map(|byte| byte.load(Relaxed)).collect();
        let new = what(u64::from_ne_bytes(was.try_into().unwrap()));
        new.into_iter().enumerate().for_each(|(i, new)| self.store(at + i, new));
    }
}
