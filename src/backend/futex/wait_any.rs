//! Waiting for any of several semaphores and events.
//!
//! Nobody who waits for any of several takes a wake-up that somebody else would need: on a semaphore he sleeps on a word
//! of its own, where everybody is woken after a post (invariant 4 there), and setting an event wakes everybody anyway. So
//! nothing is announced, and one that dies takes nothing along, wherever he was woken. Only a poster that dies after it
//! added the permit leaves him asleep, so he looks up ten times a second.
//!
//! The model is that of `tests/models/semaphore.py`, role `a`.

use std::time::Duration;

use super::Futex;
use super::event::{FutexEvent, Since};
use super::relay::sleep_on_any;
use super::semaphore::FutexSemaphore;
use crate::backend::{Awaited, RawSemaphore, Refused, WaitAny};
use crate::deadline::{Deadline, Patience};
use crate::error::Error;
use crate::sys;
use crate::sys::futex::{Expected, WAIT_ANY_MAX};

/// How long he sleeps before he looks up.
const SLICE: Duration = Duration::from_millis(100);

/// Looks at everything before the first sleep: short, for there is no word to learn in.
const LOOKS: usize = 32;

impl WaitAny for Futex {
    fn wait_any(things: &[Awaited<'_, Futex>], patience: Patience) -> Result<usize, Refused> {
        check_number(things).map_err(Refused::Failed)?;
        let waits: Vec<Wait<'_>> = things.iter().map(Wait::begin).collect();
        let take = || waits.iter().position(Wait::take);
        let deadline = match patience {
            Patience::None => return take().ok_or(Refused::WouldBlock),
            Patience::Until(deadline) => Some(deadline),
            Patience::Forever => None,
        };
        for _ in 0..LOOKS {
            if let Some(taken) = take() {
                return Ok(taken);
            }
            std::hint::spin_loop();
        }
        let mut words = Vec::with_capacity(WAIT_ANY_MAX);
        loop {
            // Everything is looked at since the last sleep; only then the clock.
            if let Some(taken) = take() {
                return Ok(taken);
            }
            if deadline.is_some_and(Deadline::has_passed) {
                return Err(Refused::TimedOut);
            }
            words.clear();
            if waits.iter().all(|wait| wait.prepare(&mut words)) {
                sleep_on_any(&words, Some(Deadline::or_slice(deadline, SLICE))).map_err(cannot_sleep)?;
            }
        }
    }
}

fn words_of(thing: &Awaited<'_, Futex>) -> usize {
    match thing {
        Awaited::Semaphore(_) => 2,
        Awaited::Event(_) => 1,
    }
}

/// Whether they have as many words as one call can sleep on, and there are any.
fn check_number(things: &[Awaited<'_, Futex>]) -> Result<(), Error> {
    let mut words = 0;
    let fitting = things.iter().take_while(|thing| {
        words += words_of(thing);
        words <= WAIT_ANY_MAX
    });
    let most = fitting.count();
    match things.len() {
        0 => Err(Error::CantWaitForAny { count: 0, most: WAIT_ANY_MAX / 2, advice: "name what to wait for" }),
        count if count > most => {
            let advice = "a semaphore or auto-reset event takes 2 of 128 places, a manual-reset event 1";
            Err(Error::CantWaitForAny { count, most, advice })
        }
        _ => Ok(()),
    }
}

/// One thing, and since when it is waited for.
enum Wait<'a> {
    Semaphore(&'a FutexSemaphore),
    Event(&'a FutexEvent, Since),
}

impl<'a> Wait<'a> {
    fn begin(thing: &Awaited<'a, Futex>) -> Wait<'a> {
        match thing {
            Awaited::Semaphore(semaphore) => Wait::Semaphore(semaphore),
            Awaited::Event(event) => Wait::Event(event, event.now()),
        }
    }

    fn take(&self) -> bool {
        match self {
            Wait::Semaphore(semaphore) => semaphore.take_at_once(),
            Wait::Event(event, since) => event.was_set(*since),
        }
    }

    /// Adds the words to sleep on; `false` if the thing may be had now.
    fn prepare(&self, words: &mut Vec<Expected<'a>>) -> bool {
        match self {
            Wait::Semaphore(semaphore) => semaphore.prepare_for_any().map(|both| words.extend(both)),
            Wait::Event(event, since) => event.prepare(*since).map(|word| words.push(word)),
        }
        .is_some()
    }
}

fn cannot_sleep(errno: nix::errno::Errno) -> Refused {
    let advice = "the kernel must have futexes and allow them";
    Refused::Failed(sys::failed("futex_waitv", "semaphores and events", errno, advice))
}
