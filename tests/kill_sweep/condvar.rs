//! The condition variable: a notification that was given reaches somebody who lives, and the mutex is poisoned exactly if the
//! victim had it.

use std::time::Duration;

use pshared::LockError;
use pshared::backend::Backend;

use crate::acts::{Act, Answer};
use crate::mutex::{poisoned_if, used_by_a_fresh_one};
use crate::problem::{Problem, claim};
use crate::scene::{Scene, owns};
use crate::support::claims::tells_of_deaths;
use crate::sweep::{Operation, Path, Round, Scenes, Seen, Setting, Spans};

pub fn operations<B: Backend>() -> Vec<Operation<B>> {
    use Setting::*;
    let wait = Operation {
        name: "condvar wait",
        corpse: &[],
        bury: &[],
        before: &[Act::PassLock],
        then: &[Act::Lock],
        act: Act::Await,
        hold: &[],
        release: &[],
        barge: &[Act::TryLock],
        unbarge: &[Act::Unlock],
        sleepers: [Act::TakeItem; 2],
        settings: &[Alone, Waiter],
        path: Path::Slow,
        spans: Spans::Ownership,
        scenes: Scenes::Lasting,
        ready: |_, _| {},
        look,
        judge: judge_on_its_way,
    };
    let woken = Operation { release: &[Act::NotifyOne], ready: put, judge: judge_woken, ..wait };
    let notify = Operation {
        name: "condvar notify_one",
        then: &[],
        act: Act::NotifyOne,
        settings: &[Alone],
        path: Path::Fast,
        spans: Spans::Nothing,
        ready: put,
        judge: |round| judge_notifier(round, 1),
        ..wait
    };
    let sleepers: &[Setting] = &[OneSleeper, TwoSleepers];
    let notify_all = Operation {
        name: "condvar notify_all",
        act: Act::NotifyAll,
        judge: |round| judge_notifier(round, 2),
        ..notify
    };
    vec![
        wait,
        Operation { settings: &[Woken], ..woken },
        Operation { settings: &[Barged], spans: Spans::Nothing, ..woken },
        Operation { name: "condvar timed wait", act: Act::AwaitFor, settings: &[Waiter], ..wait },
        Operation { name: "condvar timed wait", act: Act::AwaitFor, settings: &[Woken], ..woken },
        Operation { settings: sleepers, ..notify },
        notify,
        Operation { settings: sleepers, ..notify_all },
        notify_all,
    ]
}

fn look<B: Backend>(scene: &Scene<B>, victim: u32) -> Seen {
    let owned = owns(victim, &scene.mutex);
    Seen { owned, poisoned: scene.mutex.is_poisoned(), number: scene.notifications() }
}

/// Something for each sleeper, while nobody has the mutex.
fn put<B: Backend>(scene: &Scene<B>, sleepers: u32) {
    match scene.mutex.try_lock_for(Duration::from_secs(10)) {
        Ok(mut items) => *items = sleepers,
        Err(LockError::Poisoned(poison)) => *poison.into_inner() = sleepers,
        Err(other) => panic!("nothing can be put there: {other:?}"),
    }
}

/// A waiter was killed before it slept, or asleep; nobody was notified so far.
fn judge_on_its_way<B: Backend>(round: &Round<'_, B>) -> Result<(), Problem> {
    let scene = round.scene();
    put(scene, round.sleepers.len() as u32);
    scene.condvar.notify_one();
    finish(round)
}

/// A waiter was killed after one notification. Unless its wait was as good as over, another is to go on instead.
fn judge_woken<B: Backend>(round: &Round<'_, B>) -> Result<(), Problem> {
    if !round.seen.owned {
        round.so_many_come_through(1)?;
    }
    round.scene().condvar.notify_one();
    finish(round)
}

/// A notifier of so many was killed: it has notified them or not, and there is nothing in between.
fn judge_notifier<B: Backend>(round: &Round<'_, B>, reach: usize) -> Result<(), Problem> {
    let notified = round.seen.number != round.before.number;
    if notified {
        round.so_many_come_through(reach.min(round.sleepers.len()))?;
    } else if tells_of_deaths::<B>() {
        claim(round.slept.iter().all(|slept| *slept), || "woken by a notification that wasn't given".into())?;
    }
    round.scene().condvar.notify_all();
    finish(round)
}

/// All come through now; what is left can be used.
fn finish<B: Backend>(round: &Round<'_, B>) -> Result<(), Problem> {
    let expected = poisoned_if(round.seen.owned || round.seen.poisoned);
    for found in round.all_come_through()? {
        claim(found == expected || found == Answer::Done && !round.slept.iter().all(|slept| *slept), || {
            format!("the mutex was {found:?} instead of {expected:?}, {:?}", round.seen)
        })?;
    }
    used_by_a_fresh_one(round, expected)?;
    wait_twice(round)
}

/// Two who come afterwards wait, and are notified.
fn wait_twice<B: Backend>(round: &Round<'_, B>) -> Result<(), Problem> {
    let (scene, fresh) = (round.scene(), round.fresh());
    put(scene, 0);
    for _ in 0..2 {
        fresh.sleeps_in(Act::TakeItem);
        put(scene, 1);
        scene.condvar.notify_one();
        round.answers(&fresh, Act::TakeItem, Answer::Done)?;
    }
    Ok(())
}
