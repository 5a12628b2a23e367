//! A barrier that breaks when somebody dies who waits.
//!
//! # Why
//!
//! A count of arrivals doesn't say who arrived, so a barrier that has one only waits for the dead for ever. Here whoever
//! waits owns a slot, by whose robust word the kernel tells the others of its death.
//!
//! # State
//!
//! `state` is one word: the number of the round, how many have arrived in it, whether it is *broken*, and whether
//! anybody may be *asleep* in it. A round ends by one compare-exchange: it is completed, so that the next one begins, or it
//! is broken and stays so until a reset, which is *renewing* while it lasts, begins the next one.
//!
//! Each place is a slot and a note: in which round its owner waits, and who that is. The note of somebody who has gone
//! without clearing it, in a round that is still on, is what tells of a death. A reset adds to each note whether its
//! round was completed, for those who come late to read the state.
//!
//! Sleepers of even and odd rounds sleep at different doors, which are always 0, on `gate`, which is counted up each time
//! a door is opened, and on all slots.
//!
//! # Invariants
//!
//! 1. Whoever changes the round's number or breaks it owns a slot from before that until the door has been opened, by one
//!    FUTEX_WAKE_OP that counts the gate up. If it dies in between, its slot changes.
//! 2. A slot that is owned has W, so the kernel wakes somebody who sleeps on it when the owner dies. Who is woken through
//!    a slot opens both doors, whatever it finds: it may not be the one whom the news are for. It owns a slot too.
//! 3. Who sleeps has read the gate, then the slots, none of which told of a death, and then the state of its round, which
//!    was still on, with *asleep* set; the kernel has compared gate and slots since. Were the state read before the slots
//!    only, somebody could come and end the round and die, and the slot be taken for one that has long been free.
//! 4. A note is written before its owner is counted, and cleared only when the owner's round is over. A new owner of the
//!    slot looks at the note first: nobody's death is overwritten while it matters.
//! 5. Who was counted in a round learns how that ended: from the state, or, when a reset came since, from its note. A
//!    reset writes on all notes up to its round before it begins another; who comes meanwhile helps, so a reset that is
//!    killed is ended by others. Who wasn't counted begins anew.
//! 6. Who takes a slot in which somebody died opens both doors before it arrives: its own death would make the slot what it
//!    was before, and who is about to sleep wouldn't notice.
//!
//! # Memory orderings
//!
//! Every change of `state` is AcqRel and every look at it Acquire, so what anybody did before arriving happens before what
//! others do after they were let through. Notes are written Release and read Acquire, the note before the slot's word.
//!
//! # Limits
//!
//! Who finds no slot free looks for one a thousand times a second: all who are in the way are about to leave. With more
//! than 126 slots sleepers look at them a hundred times a second. A death that the kernel doesn't mark is noticed once a
//! second, by those who sleep. Rounds are numbered up to 2^40, and then from 0 again.
//!
//! The protocol is `tests/models/barrier.py`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::errno::Errno;

use super::held::Held;
use super::relay::Relay;
use super::robust::{RobustWord, SLICE, WAITERS, cannot_sleep, owner};
use super::slot::{Attempt, Reach};
use super::spin::Spin;
use super::thread::{self, Thread};
use crate::atomic::{AtomicU32, AtomicU64, Hint};
use crate::backend::{Acquired, Met, RawBarrier, Refused};
use crate::deadline::{Deadline, Patience};
use crate::error::{Error, LockError, Result};
use crate::sys::futex::{Change, Expected, WAIT_ANY_MAX, Wake};

/// The number of the round, in the state and in notes.
const NUMBER: u64 = (1 << 40) - 1;

/// In the state: who waits, waits in vain: somebody died or gave up, or a reset came.
const BROKEN: u64 = 1 << 40;
/// In the state, with BROKEN: a reset is under way, and whoever comes helps to end it.
const RENEWING: u64 = 1 << 42;
/// In the state: may be set with nobody asleep in the round, never clear with somebody asleep.
const ASLEEP: u64 = 1 << 41;
/// In the state: one arrival, to be added.
const ARRIVAL: u64 = 1 << 44;

/// In a note: the thread id, above the number; ids have 22 bits (`PID_MAX_LIMIT`).
const ID_AT: u32 = 40;
const ID: u64 = (1 << 22) - 1;
/// In a note: a reset came, and the round was completed.
const COMPLETED: u64 = 1 << 62;
/// In a note: a reset came, and the round was broken.
const IN_VAIN: u64 = 1 << 63;

/// How long a sleeper may miss a change of a slot beyond those that it sleeps on.
const BLIND_SLICE: Duration = Duration::from_millis(10);
/// How long who finds no slot free sleeps before it looks again.
const FULL_SLICE: Duration = Duration::from_millis(1);

/// Where the slots begin among the words that a sleeper sleeps on.
const SLOTS_AT: usize = 2;

/// A barrier with room for `N`. 24 bytes and 48 for each.
#[repr(C)]
#[derive(Debug)]
pub struct Rounds<const N: usize> {
    doors: [Relay; 2],
    state: AtomicU64,
    gate: AtomicU32,
    /// See [`Spin`].
    estimate: Hint,
    places: [Place; N],
}

#[repr(C)]
#[derive(Debug)]
struct Place {
    slot: RobustWord,
    /// 0 where nobody left one.
    note: AtomicU64,
}

static_assertions::const_assert_eq!(size_of::<Rounds<1>>(), 72);
static_assertions::const_assert_eq!(size_of::<Rounds<4>>(), 216);

/// A place that this thread has.
#[derive(Clone, Copy)]
struct Mine<'a> {
    place: &'a Place,
    held: Held,
    reach: Reach,
}

// SAFETY: `state` counts arrivals and numbers rounds in one word, so exactly as many as were asked for are counted in each
// round that is completed; orderings as said above.
unsafe impl<const N: usize> RawBarrier for Rounds<N> {
    const EMPTY: Self = Rounds {
        doors: [const { Relay::new() }; 2],
        state: AtomicU64::new(0),
        gate: AtomicU32::new(0),
        estimate: Hint::new(0),
        places: [const { Place { slot: RobustWord::new(), note: AtomicU64::new(0) } }; N],
    };

    fn wait(&self, participants: usize, patience: Patience) -> Result<Met, Refused> {
        if self.state() & (BROKEN | RENEWING) == BROKEN {
            return Ok(Met::Broken);
        }
        thread::with(|me| {
            let mine = self.enter(me, patience)?;
            let met = match self.arrive(me, mine, participants) {
                Arrival::Ended(met) => Ok(met),
                Arrival::Counted(number) => self.wait_in(number, mine, patience),
            };
            Self::leave(me, mine);
            met
        })
    }

    fn reset(&self) -> Result<()> {
        thread::with(|me| {
            let mine =
                self.enter(me, Patience::Forever).map_err(|refused| Error::from(LockError::<()>::from(refused)))?;
            loop {
                let state = self.state();
                let number = state & NUMBER;
                let nothing = state & BROKEN == 0 && state < ARRIVAL && !self.has_dead(number);
                if state & RENEWING != 0 {
                    self.renew(number); // another's reset
                } else if !nothing {
                    if !self.change(state, state | BROKEN | RENEWING) {
                        continue;
                    }
                    self.renew(number);
                    self.open(number);
                }
                Self::leave(me, mine);
                return Ok(());
            }
        })
    }

    fn is_broken(&self) -> bool {
        let state = self.state();
        let number = state & NUMBER;
        // A note seen in a round that has ended meanwhile says nothing.
        match state & (BROKEN | RENEWING) {
            0 => self.has_dead(number) && self.state() & NUMBER == number,
            how => how == BROKEN,
        }
    }

    fn waiting(&self) -> usize {
        let state = self.state();
        // A death that nobody has come to see yet has ended the round as well.
        if state & BROKEN != 0 || self.is_broken() { 0 } else { (state / ARRIVAL) as usize }
    }

    fn each_owner(&self, see: &mut dyn FnMut(u32)) {
        self.places.iter().filter_map(|place| place.slot.owner()).for_each(see);
    }

    unsafe fn settle(&self) -> Result<()> {
        self.state.store(0, Ordering::Relaxed);
        for place in &self.places {
            place.note.store(0, Ordering::Relaxed);
            // SAFETY: handed through.
            unsafe { place.slot.settle()? };
        }
        Ok(())
    }

    unsafe fn teardown(&self) {}
}

/// What an arrival came to.
enum Arrival {
    Ended(Met),
    /// One of this round, which is still on.
    Counted(u64),
}

impl<const N: usize> Rounds<N> {
    fn state(&self) -> u64 {
        self.state.load(Ordering::Acquire)
    }

    fn change(&self, state: u64, to: u64) -> bool {
        self.state.compare_exchange(state, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn deadline(patience: Patience) -> Option<Deadline> {
        match patience {
            Patience::Forever => None,
            Patience::Until(deadline) => Some(deadline),
            Patience::None => Deadline::after(Duration::ZERO),
        }
    }

    /// Takes a free slot, waiting for one if need be.
    fn enter(&self, me: &Thread, patience: Patience) -> Result<Mine<'_>, Refused> {
        me.refresh().map_err(Refused::Failed)?;
        let reach = self.places[0].slot.reach(me)?;
        if reach == Reach::Namespace {
            me.reserve().map_err(Refused::Failed)?;
        }
        let taken = self.take_slot(me, reach, patience);
        if reach == Reach::Namespace {
            me.clear_pending(); // the list has it now
        }
        taken
    }

    fn take_slot(&self, me: &Thread, reach: Reach, patience: Patience) -> Result<Mine<'_>, Refused> {
        let first = me.tid() as usize % N;
        let mut ask_at = None;
        loop {
            for place in self.places[first..].iter().chain(&self.places[..first]) {
                if let Attempt::Taken(Acquired { held, owner_died }) = place.slot.attempt(me, reach, WAITERS)? {
                    if owner_died {
                        // Were this thread to die in it as well, the slot would be what it was (invariant 6).
                        let number = self.state() & NUMBER;
                        self.open(number);
                        self.open(number + 1);
                    }
                    return Ok(Mine { place, held, reach });
                }
            }
            if Self::deadline(patience).is_some_and(Deadline::has_passed) {
                return Err(Refused::TimedOut);
            }
            if ask_at.is_some_and(Deadline::has_passed) {
                self.bury_the_gone(reach);
                ask_at = None;
            }
            ask_at = ask_at.or_else(|| Deadline::after(SLICE));
            std::thread::sleep(FULL_SLICE);
        }
    }

    /// Gives the slot back.
    fn leave(me: &Thread, mine: Mine<'_>) {
        // Its round is over, so nobody takes the missing note for anything (invariant 4).
        mine.place.note.store(0, Ordering::Release);
        // SAFETY: got from take_slot in this call, and used here only.
        unsafe { mine.place.slot.give_back(me, mine.held, |_| {}) };
    }

    /// Counts this thread as one who has arrived.
    fn arrive(&self, me: &Thread, mine: Mine<'_>, participants: usize) -> Arrival {
        let mut noted = None;
        loop {
            let state = self.state();
            let number = state & NUMBER;
            if state & RENEWING != 0 {
                self.renew(number);
                continue;
            }
            if state & BROKEN != 0 {
                return Arrival::Ended(Met::Broken);
            }
            let left = mine.place.note.load(Ordering::Acquire);
            let left_by_the_dead = left != 0 && left & NUMBER == number && noted != Some(number);
            if !left_by_the_dead {
                mine.place.note.store(number | u64::from(me.tid()) << ID_AT, Ordering::Release);
                noted = Some(number);
            }
            if left_by_the_dead || self.has_dead(number) {
                if self.break_round(number) {
                    return Arrival::Ended(Met::Broken);
                }
                continue;
            }
            if (state / ARRIVAL) as usize + 1 < participants {
                if self.change(state, state + ARRIVAL) {
                    return Arrival::Counted(number);
                }
            } else if self.change(state, next(number)) {
                if state & ASLEEP != 0 {
                    self.open(number);
                }
                return Arrival::Ended(Met::AsLeader);
            }
        }
    }

    /// Waits for the end of the round in which this thread was counted.
    fn wait_in(&self, number: u64, mine: Mine<'_>, patience: Patience) -> Result<Met, Refused> {
        let deadline = Self::deadline(patience);
        let mut spin = Spin::new(&self.estimate);
        let mut ask_at = None;
        loop {
            let gate = self.gate.load(Ordering::Acquire);
            let state = self.state();
            if state & (NUMBER | BROKEN) != number {
                spin.paid();
                return Ok(Self::outcome(state, number, mine));
            }
            if spin.pause() {
                continue;
            }
            if ask_at.is_some_and(Deadline::has_passed) {
                self.bury_the_gone(mine.reach);
                ask_at = None;
            }
            ask_at = ask_at.or_else(|| Deadline::after(SLICE));
            // None of these counts on success: where the round has ended meanwhile, the next look says how.
            let Some(words) = self.words(number, gate) else {
                self.break_round(number);
                continue;
            };
            // The state was looked at since the last sleep; only now the clock.
            if deadline.is_some_and(Deadline::has_passed) {
                if self.break_round(number) {
                    return Err(Refused::TimedOut);
                }
                continue;
            }
            // The round is still on after the slots were looked at (invariant 3).
            let is_on = match state & ASLEEP {
                0 => self.change(state, state | ASLEEP),
                _ => self.state() & (NUMBER | BROKEN) == number,
            };
            if !is_on {
                continue;
            }
            spin.failed();
            let until = [deadline, ask_at].into_iter().flatten().min();
            if let Err(errno) = self.sleep(number, &words, until) {
                if self.break_round(number) {
                    return Err(Refused::Failed(cannot_sleep(errno)));
                }
                continue;
            }
            spin = Spin::new(&self.estimate);
        }
    }

    /// How a round ended in which this thread was counted (invariant 5).
    fn outcome(state: u64, number: u64, mine: Mine<'_>) -> Met {
        let in_vain = state & NUMBER == number || mine.place.note.load(Ordering::Acquire) & IN_VAIN != 0;
        if in_vain { Met::Broken } else { Met::AsOther }
    }

    /// What a sleeper of this round sleeps on; `None` if somebody died in it.
    fn words(&self, number: u64, gate: u32) -> Option<[Expected<'_>; WAIT_ANY_MAX]> {
        let mut words = [self.door(number).expected(); WAIT_ANY_MAX];
        words[1] = Expected::new(&self.gate, gate);
        for (at, place) in self.places.iter().enumerate() {
            let word = place.word_unless_dead(number)?;
            if let Some(entry) = words.get_mut(SLOTS_AT + at) {
                *entry = Expected::new(place.slot.word(), word);
            }
        }
        Some(words)
    }

    fn sleep(&self, number: u64, words: &[Expected<'_>; WAIT_ANY_MAX], until: Option<Deadline>) -> Result<(), Errno> {
        let count = SLOTS_AT + N;
        let slice = if count <= WAIT_ANY_MAX { SLICE } else { BLIND_SLICE };
        let until = Some(Deadline::or_slice(until, slice));
        let (ended, by) = self.door(number).sleep_and_tell(&words[..count.min(WAIT_ANY_MAX)], until)?;
        if ended == Wake::Woken && by.is_some_and(|by| by >= SLOTS_AT) {
            self.open(number);
            self.open(number + 1);
        }
        Ok(())
    }

    fn door(&self, number: u64) -> &Relay {
        &self.doors[number as usize % 2]
    }

    /// Wakes everybody who sleeps in the round of this number.
    #[cold]
    fn open(&self, number: u64) {
        // Can't fail on mapped, aligned words. If it did: sleepers look up every second.
        let _ = self.door(number).wake_and_change(i32::MAX, &self.gate, Change::Add(1));
    }

    /// Whether somebody died who waited in the round of this number, if that is still on.
    fn has_dead(&self, number: u64) -> bool {
        self.places.iter().any(|place| place.word_unless_dead(number).is_none())
    }

    /// Breaks the round, if it is still on, and wakes everybody; says whether it was.
    #[cold]
    fn break_round(&self, number: u64) -> bool {
        loop {
            let state = self.state();
            if state & (NUMBER | BROKEN) != number {
                return false;
            }
            if self.change(state, state | BROKEN) {
                self.open(number);
                return true;
            }
        }
    }

    /// Ends a reset in the broken round `number`: writes on each note how its round ended, and begins the next one. Anybody
    /// may do it, and several at once.
    #[cold]
    fn renew(&self, number: u64) {
        for place in &self.places {
            let note = place.note.load(Ordering::Acquire);
            let round = note & NUMBER;
            let is_over = round == number || is_before(round, number);
            if note != 0 && note & (COMPLETED | IN_VAIN) == 0 && is_over {
                let outcome = if round == number { IN_VAIN } else { COMPLETED };
                // Err means that its owner has left, or somebody else has written the same.
                let _ = place.note.compare_exchange(note, note | outcome, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
        let after = |state: u64| (state & (NUMBER | RENEWING) == number | RENEWING).then_some(next(number));
        // Err means that another was faster.
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, after);
    }

    /// Marks every slot whose owner is gone as the kernel would have.
    #[cold]
    fn bury_the_gone(&self, reach: Reach) {
        for Place { slot, .. } in &self.places {
            let word = slot.word().load(Ordering::Acquire);
            if owner(word) != 0 {
                slot.bury_if_gone(word, reach.kind());
            }
        }
    }
}

impl Place {
    /// The slot's word; `None` if who noted here that it waits in the round of this number isn't there any more.
    fn word_unless_dead(&self, number: u64) -> Option<u32> {
        let note = self.note.load(Ordering::Acquire);
        let word = self.slot.word().load(Ordering::Acquire);
        let waits = note != 0 && note & NUMBER == number;
        (!waits || u64::from(owner(word)) == note >> ID_AT & ID).then_some(word)
    }
}

/// The state in which the round after this one begins.
const fn next(number: u64) -> u64 {
    (number + 1) & NUMBER
}

/// Whether a round came before another: numbers come round, after some days of a round in each microsecond.
pub(in crate::backend) const fn is_before(round: u64, number: u64) -> bool {
    round != number && number.wrapping_sub(round) & NUMBER <= NUMBER / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_rounds_come_round() {
        assert_eq!(next(NUMBER), 0);
        for (round, number) in [(0, 1), (0, 9), (NUMBER, 0), (NUMBER - 5, 3), (NUMBER - 1, NUMBER), (7, NUMBER / 2)] {
            assert!(is_before(round, number) && !is_before(number, round), "{round} before {number}");
        }
        assert!([0, 1, NUMBER].into_iter().all(|number| !is_before(number, number)));
    }
}
