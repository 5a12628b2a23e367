//! The semaphore: permits add up. What was posted is there or was taken, by the victim too, and nobody sleeps beside a permit.
//! And the event that resets itself, which is a semaphore with one permit at most, and the one that doesn't.

use pshared::backend::Backend;
use pshared::futex::Futex;

use crate::acts::{Act, Answer};
use crate::problem::{Problem, claim};
use crate::scene::Scene;
use crate::support::claims::tells_of_deaths;
use crate::sweep::{Operation, Path, Round, Scenes, Seen, Setting, Spans};

pub fn operations<B: Backend>() -> Vec<Operation<B>> {
    use Setting::*;
    let wait = Operation {
        name: "semaphore wait",
        corpse: &[],
        bury: &[],
        before: &[Act::PassLock],
        then: &[],
        act: Act::TakeJob,
        hold: &[],
        release: &[Act::Post],
        barge: &[Act::TryJob],
        unbarge: &[Act::Post],
        sleepers: [Act::TakeJob; 2],
        settings: &[Waiter, Woken, Barged],
        path: Path::Slow,
        spans: Spans::Nothing,
        scenes: Scenes::Lasting,
        ready: |_, _| {},
        look: |scene, _| Seen { number: scene.jobs.value(), ..Seen::default() },
        judge: |round| judge_taker(round, 1),
    };
    let there = Operation { settings: &[Alone], path: Path::Fast, ready: |scene, _| post(scene, 1), ..wait };
    let post = Operation {
        name: "semaphore post",
        act: Act::Post,
        settings: &[Alone, OneSleeper, TwoSleepers],
        path: Path::Fast,
        judge: |round| judge_poster(round, 1),
        ..wait
    };
    let wait_auto = Operation {
        name: "event wait (auto reset)",
        act: Act::WaitAuto,
        release: &[Act::SetAuto],
        barge: &[Act::WaitAuto],
        unbarge: &[Act::SetAuto],
        sleepers: [Act::WaitAuto; 2],
        look: |scene, _| Seen { number: scene.auto.is_set().into(), ..Seen::default() },
        judge: judge_auto,
        ..wait
    };
    let wait_manual = Operation {
        name: "event wait (manual reset)",
        act: Act::WaitManual,
        settings: &[Waiter, Woken],
        release: &[Act::SetManual],
        sleepers: [Act::WaitManual; 2],
        look: |scene, _| Seen { number: scene.manual.is_set().into(), ..Seen::default() },
        judge: judge_manual,
        ..wait
    };
    vec![
        there,
        Operation { name: "semaphore try", act: Act::TryJob, ..there },
        Operation { name: "semaphore timed wait", act: Act::JobFor, ..there },
        wait,
        Operation { name: "semaphore timed wait", act: Act::JobFor, ..wait },
        post,
        Operation { name: "semaphore post of two", act: Act::PostTwo, judge: |round| judge_poster(round, 2), ..post },
        wait_auto,
        Operation { name: "event set (auto reset)", act: Act::SetAuto, settings: post.settings, ..wait_auto },
        wait_manual,
        Operation { name: "event set (manual reset)", act: Act::SetManual, settings: post.settings, ..wait_manual },
    ]
}

/// Waiting for any of a semaphore and two events, which is there on futexes only.
pub fn of_any() -> Vec<Operation<Futex>> {
    use Setting::*;
    // The last of that name, which sleeps if there are several.
    let of = |name| operations().into_iter().rfind(|operation| operation.name == name).expect("a row's name");
    let any = |name, basis| Operation { name, act: Act::TakeAny, path: Path::Slow, ..of(basis) };
    let there = Operation { settings: &[Alone], ..any("wait_any", "semaphore wait") };
    // One for the sleeper, whom the same post wakes, and one for the victim.
    let for_permit = Operation {
        release: &[Act::PostTwo],
        judge: |round| judge_taker(round, 2),
        ..any("wait_any for a permit", "semaphore wait")
    };
    let nothing = Operation { name: "wait_any try, nobody there", act: Act::TryAny, ready: |_, _| {}, ..there };
    vec![
        Operation { name: "wait_any, a permit there", ready: |scene, _| post(scene, 1), ..there },
        Operation {
            name: "wait_any, an event set",
            ready: |scene, _| scene.auto.set().expect("it can be set"),
            judge: judge_auto,
            look: |scene, _| Seen { number: scene.auto.is_set().into(), ..Seen::default() },
            ..there
        },
        Operation { judge: |round| judge_poster(round, 0), ..nothing },
        Operation { settings: &[Waiter, Woken], ..for_permit },
        Operation { name: "wait_any timed", act: Act::AnyFor, settings: &[Woken], ..for_permit },
        Operation {
            settings: &[Waiter, Woken],
            ..any("wait_any for an event (auto reset)", "event wait (auto reset)")
        },
        any("wait_any for an event (manual reset)", "event wait (manual reset)"),
        Operation {
            name: "semaphore post, somebody waits for any",
            sleepers: [Act::TakeAny, Act::TakeJob],
            settings: &[OneSleeper, TwoSleepers],
            path: Path::Slow,
            ..of("semaphore post")
        },
        Operation {
            name: "event set (auto reset), somebody waits for any",
            sleepers: [Act::TakeAny, Act::WaitAuto],
            settings: &[OneSleeper, TwoSleepers],
            path: Path::Slow,
            ..of("event set (auto reset)")
        },
    ]
}

fn post<B: Backend>(scene: &Scene<B>, permits: usize) {
    scene.jobs.post_many(permits as u32).expect("there is room");
}

/// Who waits takes one permit of so many that were posted, or none.
fn judge_taker<B: Backend>(round: &Round<'_, B>, posted: usize) -> Result<(), Problem> {
    let lost = balance(round, posted)?;
    claim(matches!(lost, 0 | 1), || format!("{lost} permits are lost, of which the victim took one at most"))
}

/// Who posts has posted all or nothing.
fn judge_poster<B: Backend>(round: &Round<'_, B>, posts: isize) -> Result<(), Problem> {
    if tells_of_deaths::<B>() && round.seen.number == 0 && round.sleepers.is_empty() {
        let lost = balance(round, 0)?;
        return claim(lost == 0, || format!("{} permits come afterwards", -lost));
    }
    let lost = balance(round, 0)?;
    claim(lost == 0 || lost == -posts, || format!("{} permits were posted instead of none or {posts}", -lost))
}

/// Lets everybody go on, and empties it: how many permits are lost, where so many were posted.
fn balance<B: Backend>(round: &Round<'_, B>, posted: usize) -> Result<isize, Problem> {
    let (scene, sleepers) = (round.scene(), round.sleepers.len());
    let asleep = round.slept.iter().filter(|slept| **slept).count();
    if round.setting != Setting::Waiter {
        // Of those who were asleep; whoever was awake may have taken one by now.
        let reason = asleep.min((round.seen.number as usize).saturating_sub(sleepers - asleep));
        round.so_many_come_through(reason)?;
    }
    post(scene, sleepers);
    round.all_come_through()?;
    let mut left = 0;
    while scene.jobs.try_wait().is_ok() {
        left += 1;
    }
    let fresh = round.fresh();
    for _ in 0..2 {
        round.must(&fresh, Act::Post, Answer::Done)?;
        round.must(&fresh, Act::TakeJob, Answer::Done)?;
    }
    Ok((posted + sleepers) as isize - (sleepers + left) as isize)
}

/// Set, it lets one pass; nobody who sleeps beside a set event is left there.
fn judge_auto<B: Backend>(round: &Round<'_, B>) -> Result<(), Problem> {
    let auto = &round.scene().auto;
    let asleep = round.slept.iter().filter(|slept| **slept).count();
    if round.seen.number == 1 && asleep == round.sleepers.len() {
        round.so_many_come_through(asleep.min(1))?;
    }
    for count in 1..=round.sleepers.len() {
        auto.set().expect("it can be set");
        round.so_many_come_through(count)?;
    }
    round.all_come_through()?;
    _ = auto.try_wait(); // set or not
    let fresh = round.fresh();
    for _ in 0..2 {
        round.must(&fresh, Act::SetAuto, Answer::Done)?;
        round.must(&fresh, Act::WaitAuto, Answer::Done)?;
    }
    claim(!auto.is_set(), || "it is set once more than it was".into())
}

/// Set, it lets all pass.
fn judge_manual<B: Backend>(round: &Round<'_, B>) -> Result<(), Problem> {
    let manual = &round.scene().manual;
    if round.seen.number == 1 || round.setting == Setting::Waiter {
        round.so_many_come_through(round.sleepers.len())?;
    } else if tells_of_deaths::<B>() {
        claim(round.slept.iter().all(|slept| *slept), || "woken by an event that isn't set".into())?;
    }
    manual.set().expect("it can be set");
    round.all_come_through()?;
    let fresh = round.fresh();
    for _ in 0..2 {
        round.must(&fresh, Act::SetManual, Answer::Done)?;
        round.must(&fresh, Act::WaitManual, Answer::Done)?;
        manual.reset().expect("it can be reset");
    }
    Ok(())
}
