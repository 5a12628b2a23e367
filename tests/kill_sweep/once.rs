//! What is done once: it is done, or the next one does it; who waits is told in any case.

use pshared::backend::Backend;

use crate::acts::{Act, Answer};
use crate::problem::{Problem, claim};
use crate::sweep::{Operation, Path, Round, Scenes, Seen, Setting, Spans};

pub fn operations<B: Backend>() -> Vec<Operation<B>> {
    use Setting::*;
    let call = Operation {
        name: "once call",
        corpse: &[],
        bury: &[],
        before: &[Act::PassLock],
        then: &[],
        act: Act::Do,
        hold: &[],
        release: &[Act::Do],
        barge: &[],
        unbarge: &[],
        sleepers: [Act::AwaitDone; 2],
        settings: &[Alone, OneSleeper, TwoSleepers],
        path: Path::Slow,
        spans: Spans::Nothing,
        scenes: Scenes::ForOneRound,
        ready: |_, _| {},
        look: |scene, _| Seen { number: scene.once.is_completed().into(), ..Seen::default() },
        judge,
    };
    vec![call, Operation { name: "once wait", act: Act::AwaitDone, settings: &[Waiter, Woken], ..call }]
}

fn judge<B: Backend>(round: &Round<'_, B>) -> Result<(), Problem> {
    let once = &round.scene().once;
    let done = round.seen.number == 1;
    if done {
        round.so_many_come_through(round.sleepers.len())?;
    }
    let fresh = round.fresh();
    round.must(&fresh, Act::Do, Answer::Done)?;
    claim(once.is_completed(), || "done, and not".into())?;
    for said in round.all_come_through()? {
        claim(said == Answer::Done, || format!("who waited was told {said:?}"))?;
    }
    round.must(&fresh, Act::AwaitDone, Answer::Done)?;
    round.must(&fresh, Act::Do, Answer::Done)
}
