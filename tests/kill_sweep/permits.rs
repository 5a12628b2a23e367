//! Permits: what a dead one had comes back, and no more than that.

use pshared::backend::Backend;

use crate::acts::{Act, Answer};
use crate::problem::{Problem, claim};
use crate::scene::PERMITS;
use crate::sweep::{Operation, Path, Round, Scenes, Seen, Setting, Spans};

pub fn operations<B: Backend>() -> Vec<Operation<B>> {
    use Setting::*;
    let acquire = Operation {
        name: "permits acquire",
        corpse: &[],
        bury: &[],
        before: &[Act::PassPermit],
        then: &[],
        act: Act::Acquire,
        hold: &[Act::Acquire],
        release: &[Act::Release],
        barge: &[Act::TryAcquire],
        unbarge: &[Act::Release],
        sleepers: [Act::PassPermit; 2],
        settings: &[Waiter, Woken, Barged],
        path: Path::Slow,
        spans: Spans::Nothing,
        scenes: Scenes::Lasting,
        ready: |_, _| {},
        look: |scene, _| Seen { number: scene.permits.available() as u32, ..Seen::default() },
        judge,
    };
    let alone = Operation { settings: &[Alone], path: Path::Fast, ..acquire };
    vec![
        alone,
        acquire,
        Operation { name: "permits first acquire", before: &[], path: Path::Slow, ..alone },
        Operation { name: "permits try", act: Act::TryAcquire, ..alone },
        Operation { name: "permits timed acquire", act: Act::AcquireFor, ..alone },
        Operation { name: "permits timed acquire", act: Act::AcquireFor, ..acquire },
        Operation {
            name: "permits try after a death",
            corpse: &[Act::Acquire],
            act: Act::TryAcquire,
            path: Path::Slow,
            ..alone
        },
        Operation {
            name: "permits release",
            before: &[Act::Acquire, Act::PassLock],
            act: Act::Release,
            settings: &[Alone, OneSleeper, TwoSleepers],
            ..alone
        },
    ]
}

fn judge<B: Backend>(round: &Round<'_, B>) -> Result<(), Problem> {
    for said in round.all_come_through()? {
        claim(said == Answer::Done, || format!("{said:?}"))?;
    }
    let permits = &round.scene().permits;
    claim(permits.available() == PERMITS, || format!("{} permits instead of {PERMITS}", permits.available()))?;
    let fresh = round.fresh();
    for _ in 0..2 {
        for (act, answer) in [
            (Act::Acquire, Answer::Done),
            (Act::TryAcquire, Answer::WouldBlock),
            (Act::Release, Answer::Done),
            (Act::PassPermit, Answer::Done),
        ] {
            round.must(&fresh, act, answer)?;
        }
    }
    // This process has other addresses than the next victim, who is to find links of somebody else.
    claim(permits.try_acquire().is_ok(), || "not free in the end".into())
}
