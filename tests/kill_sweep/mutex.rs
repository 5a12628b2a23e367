//! The mutex: poisoned exactly if the victim had it, or it was before.

use pshared::backend::Backend;

use crate::acts::{Act, Answer};
use crate::problem::{Problem, claim};
use crate::scene::{Scene, owns};
use crate::support::claims::tells_of_deaths;
use crate::sweep::{Operation, Path, Round, Scenes, Seen, Setting, Spans};

pub fn operations<B: Backend>() -> Vec<Operation<B>> {
    use Setting::*;
    let lock = Operation {
        name: "mutex lock",
        corpse: &[],
        bury: &[],
        before: &[Act::PassRead],
        then: &[],
        act: Act::Lock,
        hold: &[Act::Lock],
        release: &[Act::Unlock],
        barge: &[Act::TryLock],
        unbarge: &[Act::Unlock],
        sleepers: [Act::PassLock; 2],
        settings: &[Alone, Waiter, Woken, Barged],
        path: Path::Fast,
        spans: Spans::Nothing,
        scenes: Scenes::Lasting,
        ready: |_, _| {},
        look,
        judge,
    };
    let unlock = Operation {
        name: "mutex unlock",
        before: &[Act::Lock, Act::PassPermit],
        act: Act::Unlock,
        spans: Spans::Ownership,
        ..lock
    };
    let of_two = Operation { settings: &[Alone], judge: judge_two, ..unlock };
    vec![
        Operation { settings: &[Alone], spans: Spans::Ownership, ..lock },
        Operation { path: Path::Slow, settings: &[Waiter, Barged], ..lock },
        Operation { settings: &[Woken], spans: Spans::Ownership, ..lock },
        Operation { name: "mutex first lock", before: &[], settings: &[Alone], path: Path::Slow, ..lock },
        Operation { name: "mutex try", act: Act::TryLock, settings: &[Alone], spans: Spans::Ownership, ..lock },
        Operation { name: "mutex try", act: Act::TryLock, settings: &[Waiter], path: Path::Slow, ..lock },
        Operation { name: "mutex timed", act: Act::LockFor, settings: &[Alone], spans: Spans::Ownership, ..lock },
        Operation {
            name: "mutex timed",
            act: Act::LockFor,
            path: Path::Slow,
            settings: &[Waiter, Woken, Barged],
            ..lock
        },
        Operation { settings: &[Alone, OneSleeper, TwoSleepers], ..unlock },
        Operation {
            name: "mutex lock beside another",
            before: &[Act::PassLock, Act::LockSecond],
            act: Act::Lock,
            ..of_two
        },
        Operation {
            name: "mutex unlock of the first of two",
            before: &[Act::Lock, Act::LockSecond, Act::PassPermit],
            ..of_two
        },
        Operation {
            name: "mutex unlock of the last of two",
            before: &[Act::LockSecond, Act::Lock, Act::PassPermit],
            ..of_two
        },
        Operation {
            name: "mutex recover",
            act: Act::Recover,
            settings: &[Alone],
            spans: Spans::Ownership,
            ..left::<B>(lock)
        },
        Operation {
            name: "mutex try after a death",
            corpse: &[Act::Lock],
            act: Act::TryLock,
            settings: &[Alone],
            path: Path::Slow,
            spans: Spans::Ownership,
            ..lock
        },
        Operation {
            name: "mutex clear_poison",
            corpse: &[Act::Lock],
            act: Act::ClearPoison,
            settings: &[Alone],
            path: Path::Slow,
            ..lock
        },
    ]
}

/// After a death that somebody has found out: who would find it out alone would sleep for a slice before.
fn left<B: Backend>(lock: Operation<B>) -> Operation<B> {
    let found_out: &[Act] = if tells_of_deaths::<B>() { &[] } else { &[Act::TryLock, Act::Unlock] };
    Operation { corpse: &[Act::Lock], bury: found_out, path: Path::Slow, ..lock }
}

fn look<B: Backend>(scene: &Scene<B>, victim: u32) -> Seen {
    Seen { owned: owns(victim, &scene.mutex), poisoned: scene.mutex.is_poisoned(), number: 0 }
}

pub fn poisoned_if(poisoned: bool) -> Answer {
    if poisoned { Answer::Poisoned } else { Answer::Done }
}

fn judge<B: Backend>(round: &Round<'_, B>) -> Result<(), Problem> {
    let expected = poisoned_if(round.seen.owned || round.seen.poisoned);
    found_by_sleepers(round, expected)?;
    used_by_a_fresh_one(round, expected)
}

/// The victim had the second one all the time.
fn judge_two<B: Backend>(round: &Round<'_, B>) -> Result<(), Problem> {
    let fresh = round.fresh();
    round.must(&fresh, Act::PassSecond, Answer::Poisoned)?;
    round.scene().second.clear_poison();
    round.must(&fresh, Act::PassSecond, Answer::Done)?;
    judge(round)
}

/// What the sleepers find. Who didn't sleep at the moment of the kill may have been there before.
pub fn found_by_sleepers<B: Backend>(round: &Round<'_, B>, expected: Answer) -> Result<(), Problem> {
    let found = round.all_come_through()?;
    let fits = |(found, slept): (&Answer, &bool)| *found == expected || !slept && *found == Answer::Done;
    claim(found.iter().zip(&round.slept).all(fits), || {
        format!("sleepers found it {found:?} instead of {expected:?}, {:?}", round.seen)
    })
}

/// A process that comes afterwards finds the mutex as it is expected, and uses it twice.
pub fn used_by_a_fresh_one<B: Backend>(round: &Round<'_, B>, expected: Answer) -> Result<(), Problem> {
    let mutex = &round.scene().mutex;
    let fresh = round.fresh();
    round.must(&fresh, Act::PassLock, expected)?;
    claim(mutex.is_poisoned() == (expected == Answer::Poisoned), || "the poison comes and goes".into())?;
    mutex.clear_poison();
    round.must(&fresh, Act::PassLock, Answer::Done)?;
    round.must(&fresh, Act::PassLock, Answer::Done)?;
    // This process has other addresses than the next victim, who is to find links of somebody else.
    claim(mutex.try_lock().is_ok(), || "not free in the end".into())
}
