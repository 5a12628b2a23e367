//! A barrier that breaks when somebody dies who waits: places with owners, and two bells.
//!
//! # Why
//!
//! A count of arrivals doesn't say who arrived, so a barrier that has one only waits for the dead for ever. Here whoever
//! waits owns a place, so that the others can look whether it still exists.
//!
//! # State
//!
//! `state` is one word: the number of the round, how many have arrived in it, and whether it is *broken*. A round ends by
//! one compare-exchange: it is completed, so that the next one begins, or it is broken and stays so until a reset, which is
//! *renewing* while it lasts, begins the next one.
//!
//! Each place is an owner word and a note: in which round its owner waits. A reset adds to each note whether its round was
//! completed, for those who come late to read the state.
//!
//! Sleepers of even and odd rounds have a bell each: who is fast and sleeps in the next round doesn't hear what was rung for
//! the slow ones of the last.
//!
//! # Invariants
//!
//! 1. A note is written before its owner is counted, and cleared only when the owner's round is over. So a place whose owner
//!    is gone, with a note of the round that is on, tells of a death in it; killed between note and count, its owner died
//!    in it too.
//! 2. Whoever finds an owner gone ends the round that its note names, if that is on, before it frees the place. The note of
//!    one that is gone changes no more, but for what a reset adds; so what a new owner finds there is of a round that is over.
//! 3. Who would complete a round looks first whether one who is counted in it is gone. Whoever dies after that look was
//!    alive when all had come.
//! 4. Who was counted in a round learns how that ended: from the state, or, when a reset came since, from its note. A
//!    reset writes on all notes up to its round before it begins another; who comes meanwhile helps, so a reset that is
//!    killed is ended by others. Who wasn't counted begins anew.
//! 5. Who sleeps is counted asleep before it looks at the state for the last time; who ends a round rings afterwards. If it
//!    is killed in between, or who heard is, the others look by themselves after a slice.
//! 6. A sleeper looks after all places, if nobody has done so for half a slice: one that only looked after its neighbour
//!    would rely on a neighbour that may be stopped.
//!
//! # Memory orderings
//!
//! Every change of `state` and every look at it is SeqCst, for invariant 5; so what anybody did before arriving happens before
//! what others do after they were let through. Notes are written Release and read Acquire, after the owner.
//!
//! # Limits
//!
//! Looking whether an owner is gone takes some ten microseconds, and the last to come looks at all. Who finds no place free
//! looks for one a thousand times a second: all who are in the way are about to leave. Rounds are numbered up to 2^40.
//!
//! The protocol is `tests/models/watched_barrier.py`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Identity;
use super::bell::Bell;
use super::owner::{OwnerWord, owner};
use super::waiting::{SLICE, Waiting};
use crate::atomic::AtomicU64;
use crate::backend::futex::thread;
use crate::backend::{Met, RawBarrier, Refused};
use crate::deadline::{Deadline, Patience};
use crate::error::{Error, LockError, Result};

/// The number of the round, in the state and in notes.
const NUMBER: u64 = (1 << 40) - 1;

/// In the state: who waits, waits in vain: somebody died or gave up, or a reset came.
const BROKEN: u64 = 1 << 40;
/// In the state, with BROKEN: a reset is under way, and whoever comes helps to end it.
const RENEWING: u64 = 1 << 41;
/// In the state: one arrival, to be added.
const ARRIVAL: u64 = 1 << 44;

/// In a note: there is one.
const NOTED: u64 = 1 << 40;
/// In a note: a reset came, and the round was completed.
const COMPLETED: u64 = 1 << 62;
/// In a note: a reset came, and the round was broken.
const IN_VAIN: u64 = 1 << 63;

/// How long who finds no place free sleeps before it looks again.
const FULL_SLICE: Duration = Duration::from_millis(1);

/// A barrier with room for `N`. All zero when nobody waits and unsettled.
#[repr(C)]
#[derive(Debug)]
pub struct Barrier<B: Bell, const N: usize> {
    doors: [Waiting<B>; 2],
    state: AtomicU64,
    places: [Place; N],
}

#[repr(C)]
#[derive(Debug)]
struct Place {
    owner: OwnerWord,
    note: AtomicU64,
}

/// A place that this thread has.
#[derive(Clone, Copy)]
struct Mine<'a> {
    place: &'a Place,
    identity: Identity,
}

/// What an arrival came to.
enum Arrival {
    Ended(Met),
    /// One of this round, which is still on.
    Counted(u64),
}

// SAFETY: `state` counts arrivals and numbers rounds in one word, so exactly as many as were asked for are counted in each
// round that is completed; orderings as said above.
unsafe impl<B: Bell, const N: usize> RawBarrier for Barrier<B, N> {
    const EMPTY: Self = Barrier {
        doors: [const { Waiting::new() }; 2],
        state: AtomicU64::new(0),
        places: [const { Place { owner: OwnerWord::new(), note: AtomicU64::new(0) } }; N],
    };

    fn wait(&self, participants: usize, patience: Patience) -> Result<Met, Refused> {
        if self.state() & (BROKEN | RENEWING) == BROKEN {
            return Ok(Met::Broken);
        }
        let mine = self.enter(patience)?;
        let met = match self.arrive(mine, participants) {
            Arrival::Ended(met) => Ok(met),
            Arrival::Counted(number) => self.wait_in(number, mine, patience),
        };
        mine.leave();
        met
    }

    fn reset(&self) -> Result<()> {
        let mine = self.enter(Patience::Forever).map_err(|refused| Error::from(LockError::<()>::from(refused)))?;
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
                self.door(number).wake_all();
            }
            mine.leave();
            return Ok(());
        }
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
        let owners = self.places.iter().filter_map(|place| owner(place.owner.load(Ordering::Relaxed)));
        owners.for_each(|owner| see(owner.thread()));
    }

    unsafe fn settle(&self) -> Result<()> {
        self.state.store(0, Ordering::Relaxed);
        for place in &self.places {
            place.note.store(0, Ordering::Relaxed);
            place.owner.clear();
        }
        let settled = self.doors.iter().try_for_each(|door| {
            // SAFETY: handed through.
            unsafe { door.settle() }
        });
        if settled.is_err() {
            // SAFETY: nobody uses it, the caller's promise.
            unsafe { self.teardown() };
        }
        settled
    }

    unsafe fn teardown(&self) {
        // SAFETY: handed through.
        self.doors.iter().for_each(|door| unsafe { door.teardown() });
    }
}

impl<B: Bell, const N: usize> Barrier<B, N> {
    fn state(&self) -> u64 {
        self.state.load(Ordering::SeqCst)
    }

    fn change(&self, state: u64, to: u64) -> bool {
        self.state.compare_exchange(state, to, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    fn door(&self, number: u64) -> &Waiting<B> {
        &self.doors[number as usize % 2]
    }

    fn deadline(patience: Patience) -> Option<Deadline> {
        match patience {
            Patience::Forever => None,
            Patience::Until(deadline) => Some(deadline),
            Patience::None => Deadline::after(Duration::ZERO),
        }
    }

    /// Takes a free place, waiting for one if need be.
    fn enter(&self, patience: Patience) -> Result<Mine<'_>, Refused> {
        let identity = thread::with(|me| self.doors[0].enter(me))?;
        let first = identity.thread() as usize % N;
        let deadline = Self::deadline(patience);
        let mut ask_at = None;
        loop {
            for number in (first..N).chain(0..first) {
                let place = &self.places[number];
                let word = place.owner.load(Ordering::SeqCst);
                if owner(word).is_none() && place.owner.take(word, identity, 0) {
                    return Ok(Mine { place, identity });
                }
            }
            if deadline.is_some_and(Deadline::has_passed) {
                return Err(Refused::TimedOut);
            }
            if ask_at.is_none_or(Deadline::has_passed) {
                self.places.iter().for_each(|place| self.bury_if_gone(place));
                ask_at = Deadline::after(SLICE);
                continue;
            }
            std::thread::sleep(FULL_SLICE);
        }
    }

    /// Counts this thread as one who has arrived.
    fn arrive(&self, mine: Mine<'_>, participants: usize) -> Arrival {
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
            mine.place.note.store(NOTED | number, Ordering::Release); // invariant 1
            if (state / ARRIVAL) as usize + 1 < participants {
                if self.change(state, state + ARRIVAL) {
                    return Arrival::Counted(number);
                }
            } else if participants > 1 && self.has_dead(number) {
                // invariant 3
                if self.break_round(number) {
                    return Arrival::Ended(Met::Broken);
                }
            } else if self.change(state, next(number)) {
                self.door(number).wake_all();
                return Arrival::Ended(Met::AsLeader);
            }
        }
    }

    /// Waits for the end of the round in which this thread was counted.
    fn wait_in(&self, number: u64, mine: Mine<'_>, patience: Patience) -> Result<Met, Refused> {
        let door = self.door(number);
        let deadline = Self::deadline(patience);
        let is_on = |state: u64| state & (NUMBER | BROKEN) == number;
        let mut spin = door.spin();
        loop {
            let state = self.state();
            if !is_on(state) {
                spin.paid();
                return Ok(mine.outcome(state, number));
            }
            if spin.pause() {
                continue;
            }
            // None of these counts on success: where the round has ended meanwhile, the next look says how. The state was
            // looked at since the last sleep; only now the clock.
            if deadline.is_some_and(Deadline::has_passed) {
                // Somebody may have died that nobody has missed yet; that ended the round before this one gave up.
                if !self.break_for_the_dead(number) && self.break_round(number) {
                    return Err(Refused::TimedOut);
                }
                continue;
            }
            spin.failed();
            if let Err(refused) = door.sleep_if(|| is_on(self.state()), deadline)
                && self.break_round(number)
            {
                return Err(refused);
            }
            if door.is_time_to_look() {
                self.places.iter().for_each(|place| self.bury_if_gone(place));
            }
            spin = door.spin();
        }
    }

    /// Whether somebody died who came in the round of this number, if that is still on.
    fn has_dead(&self, number: u64) -> bool {
        self.places.iter().any(|place| place.waits_in(number) && place.owner_gone().is_some())
    }

    /// Breaks the round if somebody has died in it; says whether it did.
    #[cold]
    fn break_for_the_dead(&self, number: u64) -> bool {
        self.has_dead(number) && self.break_round(number)
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
                self.door(number).wake_all();
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
            if note != 0 && note & (COMPLETED | IN_VAIN) == 0 && round <= number {
                let outcome = if round < number { COMPLETED } else { IN_VAIN };
                // Err means that its owner has left, or somebody else has written the same.
                let _ = place.note.compare_exchange(note, note | outcome, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
        let after = |state: u64| (state & (NUMBER | RENEWING) == number | RENEWING).then_some(next(number));
        // Err means that another was faster.
        let _ = self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, after);
    }

    /// Frees the place if its owner is gone, and breaks the round in which that waited (invariant 2).
    fn bury_if_gone(&self, place: &Place) {
        let Some(word) = place.owner_gone() else { return };
        let note = place.note.load(Ordering::Acquire);
        // Where another has freed it meanwhile, the note may be a new owner's.
        if place.owner.load(Ordering::SeqCst) == word {
            if note & NOTED != 0 {
                self.break_round(note & NUMBER);
            }
            place.owner.bury(word);
        }
    }
}

impl Place {
    /// Whether a note says that its owner waits in the round of this number.
    fn waits_in(&self, number: u64) -> bool {
        let note = self.note.load(Ordering::Acquire);
        note & NOTED != 0 && note & NUMBER == number
    }

    /// The owner's word, if the owner is gone.
    fn owner_gone(&self) -> Option<u64> {
        let word = self.owner.load(Ordering::SeqCst);
        owner(word).is_some_and(Identity::is_gone).then_some(word)
    }
}

impl Mine<'_> {
    /// How a round ended in which this thread was counted (invariant 4).
    fn outcome(self, state: u64, number: u64) -> Met {
        let in_vain = state & NUMBER == number || self.place.note.load(Ordering::Acquire) & IN_VAIN != 0;
        if in_vain { Met::Broken } else { Met::AsOther }
    }

    /// Gives the place back.
    fn leave(self) {
        // Its round is over, so nobody takes the missing note for anything (invariant 1).
        self.place.note.store(0, Ordering::Release);
        self.place.owner.release(self.identity);
    }
}

/// The state in which the round after this one begins.
const fn next(number: u64) -> u64 {
    (number + 1) & NUMBER
}
