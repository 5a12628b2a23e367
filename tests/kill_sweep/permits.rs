//! Permits: what a dead one had comes back, and no more than that.

use pshared::backend::Backend;

use crate::acts::{Act, Answer};
use crate::problem::{Problem, claim};
use crate::scene::{PAIR, PERMITS};
use crate::support::claims::tells_of_deaths;
use crate::sweep::{Operation, Path, Round, Scenes, Seen, Setting, Spans};

/// Who of the others has a permit all the time.
const HOLDER: usize = 0;
const THIRD: usize = 1;

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
    let mut all = vec![
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
    ];
    all.extend(of_two(acquire));
    all
}

/// Where there are two, and one of them isn't what it is about.
fn of_two<B: Backend>(acquire: Operation<B>) -> [Operation<B>; 4] {
    use Setting::*;
    // Where deaths have to be found out each row takes a second, and how many sleep matters less.
    let is_told = tells_of_deaths::<B>();
    let acquire = Operation {
        name: "permits acquire of two, the other held",
        before: &[Act::PassOfTwo],
        act: Act::AcquireOfTwo,
        hold: &[Act::AcquireOfTwo, Act::AcquireOfTwo],
        release: &[Act::ReleaseOfTwo],
        barge: &[Act::TryOfTwo],
        unbarge: &[Act::ReleaseOfTwo],
        sleepers: [Act::PassOfTwo; 2],
        settings: if is_told { &[Waiter, Woken, Barged] } else { &[Woken] },
        look: |scene, _| Seen { number: scene.pair.available() as u32, ..Seen::default() },
        judge: |round| judge_pair(round, Some(HOLDER)),
        ..acquire
    };
    let beside = Operation {
        name: "permits acquire beside another",
        before: &[Act::AcquireOfTwo, Act::PassLock],
        settings: &[Alone],
        judge: |round| judge_pair(round, None),
        ..acquire
    };
    let release = Operation {
        name: "permits release of one of two",
        before: &[Act::AcquireOfTwo, Act::AcquireOfTwo],
        act: Act::ReleaseOfTwo,
        settings: if is_told { &[Alone, OneSleeper, TwoSleepers] } else { &[TwoSleepers] },
        ..beside
    };
    let release_beside = Operation {
        name: "permits release, the other held",
        // The third one has the other.
        corpse: &[Act::PassOfTwo],
        bury: &[Act::AcquireOfTwo],
        before: &[Act::AcquireOfTwo],
        settings: if is_told { &[OneSleeper, TwoSleepers] } else { &[OneSleeper] },
        judge: |round| judge_pair(round, Some(THIRD)),
        ..release
    };
    [acquire, beside, release, release_beside]
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

/// Where there are two. One of the others may still have one of them: who sleeps needs the other only.
fn judge_pair<B: Backend>(round: &Round<'_, B>, has_one: Option<usize>) -> Result<(), Problem> {
    for said in round.all_come_through()? {
        claim(said == Answer::Done, || format!("{said:?}"))?;
    }
    let pair = &round.scene().pair;
    let free = PAIR - usize::from(has_one.is_some());
    claim(pair.available() == free, || format!("{} permits are free instead of {free}", pair.available()))?;
    if let Some(other) = has_one {
        round.must(round.others[other], Act::ReleaseOfTwo, Answer::Done)?;
    }
    claim(pair.available() == PAIR, || format!("{} permits instead of {PAIR}", pair.available()))?;
    let fresh = round.fresh();
    for _ in 0..2 {
        for (act, answer) in [
            (Act::AcquireOfTwo, Answer::Done),
            (Act::AcquireOfTwo, Answer::Done),
            (Act::TryOfTwo, Answer::WouldBlock),
            (Act::ReleaseOfTwo, Answer::Done),
            (Act::ReleaseOfTwo, Answer::Done),
        ] {
            round.must(&fresh, act, answer)?;
        }
    }
    // This process has other addresses than the next victim, who is to find links of somebody else.
    let both = (pair.try_acquire(), pair.try_acquire());
    claim(both.0.is_ok() && both.1.is_ok(), || "not free in the end".into())
}
