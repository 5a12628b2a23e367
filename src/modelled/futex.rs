//! futex(2) and futex_waitv(2), as [`sys::futex`](crate::sys::futex) offers them: words are compared and sleepers queued one
//! word at a time, wake-ups go to whoever has slept longest, and one who was woken through one word stays queued on the others
//! until he runs.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use loom::sync::{Condvar, MutexGuard};
use nix::errno::Errno;
use nix::sys::time::TimeSpec;

use super::{World, world};
use crate::atomic::AtomicU32;
use crate::sys::futex::{ANYBODY, Bits, Change, Wake};

/// Everybody who sleeps or is about to.
#[derive(Default)]
pub(super) struct Sleepers {
    list: Vec<Sleeper>,
    came: usize,
    /// What stands in each bell.
    pub(super) rings: std::collections::HashMap<usize, u32>,
}

struct Sleeper {
    number: usize,
    bits: Bits,
    /// The words' addresses, and their places in what was asked for.
    queued: Vec<(usize, usize)>,
    woken: Option<usize>,
    alarm: Rc<Condvar>,
}

impl Sleepers {
    fn find(&mut self, number: usize) -> &mut Sleeper {
        self.list.iter_mut().find(|sleeper| sleeper.number == number).expect("he takes himself off the list")
    }

    fn leave(&mut self, number: usize) -> Option<usize> {
        let woken = self.find(number).woken;
        self.list.retain(|sleeper| sleeper.number != number);
        woken
    }

    pub(super) fn wake(&mut self, address: usize, count: i32, bits: Bits) -> usize {
        let mut woken = 0;
        for sleeper in self.list.iter_mut().filter(|sleeper| sleeper.bits & bits != 0) {
            if woken == count as usize {
                break;
            }
            let Some(at) = sleeper.queued.iter().position(|(word, _)| *word == address) else { continue };
            let (_, place) = sleeper.queued.remove(at);
            sleeper.woken = Some(place);
            sleeper.alarm.notify_one();
            woken += 1;
        }
        woken
    }
}

fn lock(world: &World) -> MutexGuard<'_, Sleepers> {
    world.sleepers.lock().expect("nobody panics with it")
}

/// A word and what it is expected to hold.
#[derive(Clone, Copy)]
pub(crate) struct Expected<'a>(&'a AtomicU32, u32);

impl<'a> Expected<'a> {
    pub(crate) fn new(word: &'a AtomicU32, value: u32) -> Expected<'a> {
        Expected(word, value)
    }

    /// Whether the word still holds the value.
    pub(crate) fn holds(&self) -> bool {
        self.0.load(Ordering::Relaxed) == self.1
    }

    /// [`wait_as`] on this word alone.
    pub(crate) fn wait(&self, until: Option<TimeSpec>) -> Result<Wake, Errno> {
        wait_as(ANYBODY, self.0, self.1, until)
    }
}

pub(crate) fn wait_as(bits: Bits, word: &AtomicU32, expected: u32, _until: Option<TimeSpec>) -> Result<Wake, Errno> {
    sleep(bits, &[Expected(word, expected)]).map(|(wake, _)| wake)
}

pub(crate) fn wait_any(words: &[Expected<'_>], _until: Option<TimeSpec>) -> Result<(Wake, Option<usize>), Errno> {
    sleep(ANYBODY, words)
}

fn sleep(bits: Bits, words: &[Expected<'_>]) -> Result<(Wake, Option<usize>), Errno> {
    let world = world();
    let mut number = None;
    for (place, expected) in words.iter().enumerate() {
        let mut all = lock(&world);
        if !expected.holds() {
            let woken = number.and_then(|number| all.leave(number));
            return Ok((if woken.is_some() { Wake::Woken } else { Wake::Changed }, woken));
        }
        let number = *number.get_or_insert_with(|| {
            all.came += 1;
            let (number, alarm) = (all.came, Rc::new(Condvar::new()));
            all.list.push(Sleeper { number, bits, queued: Vec::new(), woken: None, alarm });
            number
        });
        all.find(number).queued.push((expected.0.as_ptr().addr(), place));
    }
    let number = number.expect("there is a word to sleep on");
    let mut all = lock(&world);
    while all.find(number).woken.is_none() {
        let alarm = all.find(number).alarm.clone();
        all = alarm.wait(all).expect("nobody panics with it");
    }
    Ok((Wake::Woken, all.leave(number)))
}

pub(crate) fn wake(word: &AtomicU32, count: i32) -> Result<usize, Errno> {
    wake_only(ANYBODY, word, count)
}

pub(crate) fn wake_only(bits: Bits, word: &AtomicU32, count: i32) -> Result<usize, Errno> {
    let world = world();
    Ok(lock(&world).wake(word.as_ptr().addr(), count, bits))
}

pub(crate) fn wake_and_change(on: &AtomicU32, count: i32, word: &AtomicU32, change: Change) -> Result<usize, Errno> {
    let world = world();
    let mut all = lock(&world);
    // Ordered as every read-modify-write of the kernel's that gives a value.
    let _ = match change {
        Change::Add(number) => word.fetch_add(number, Ordering::AcqRel),
        Change::ClearBit(bit) => word.fetch_and(!(1 << bit), Ordering::AcqRel),
        Change::SetBit(bit) => word.fetch_or(1 << bit, Ordering::AcqRel),
        Change::SetToBit(bit) => word.swap(1 << bit, Ordering::AcqRel),
    };
    Ok(all.wake(on.as_ptr().addr(), count, ANYBODY))
}

/// Sleeps until there is a ring, and hears it.
pub(super) fn hear(address: usize) {
    let world = world();
    loop {
        let mut all = lock(&world);
        if let Some(rings @ 1..) = all.rings.get_mut(&address) {
            *rings -= 1;
            return;
        }
        all.came += 1;
        let (number, alarm) = (all.came, Rc::new(Condvar::new()));
        all.list.push(Sleeper { number, bits: ANYBODY, queued: vec![(address, 0)], woken: None, alarm: alarm.clone() });
        while all.find(number).woken.is_none() {
            all = alarm.wait(all).expect("nobody panics with it");
        }
        all.leave(number);
    }
}

/// Rings so many times more; says how many rings there are then.
pub(super) fn ring(address: usize, times: u32) -> u32 {
    let world = world();
    let mut all = lock(&world);
    let rings = all.rings.entry(address).or_default();
    *rings += times;
    let now = *rings;
    all.wake(address, times as i32, ANYBODY);
    now
}
