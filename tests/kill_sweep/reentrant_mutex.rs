//! The mutex that its holder may take again: poisoned exactly if the victim had it, however often, or it was before; and
//! whoever comes next has it once, whatever the victim's count was.

use pshared::backend::Backend;

use crate::acts::{Act, Answer};
use crate::mutex::{found_by_sleepers, poisoned_if};
use crate::problem::{Problem, claim};
use crate::scene::{Scene, owns};
use crate::support::claims::tells_of_deaths;
use crate::sweep::{Operation, Path, Round, Scenes, Seen, Setting, Spans};

pub fn operations<B: Backend>() -> Vec<Operation<B>> {
    use Setting::*;
    let lock = Operation {
        name: "reentrant mutex lock",
        corpse: &[],
        bury: &[],
        before: &[Act::PassRead],
        then: &[],
        act: Act::LockNested,
        hold: &[Act::LockNested],
        release: &[Act::UnlockNested],
        barge: &[Act::TryNested],
        unbarge: &[Act::UnlockNested],
        sleepers: [Act::PassNested; 2],
        settings: &[Alone],
        path: Path::Fast,
        spans: Spans::Ownership,
        scenes: Scenes::Lasting,
        ready: |_, _| {},
        look,
        judge,
    };
    let unlock = Operation {
        name: "reentrant mutex unlock",
        before: &[Act::LockNested, Act::PassPermit],
        act: Act::UnlockNested,
        ..lock
    };
    let of_both = [
        Operation {
            name: "reentrant mutex lock again",
            before: &[Act::LockNested],
            settings: &[OneSleeper],
            spans: Spans::Nothing,
            ..lock
        },
        Operation {
            name: "reentrant mutex unlock of the inner",
            before: &[Act::LockNested, Act::LockNested],
            settings: &[OneSleeper],
            spans: Spans::Nothing,
            ..unlock
        },
        Operation { settings: &[OneSleeper], ..unlock },
    ];
    // The word is the backend's mutex, which has rows of its own.
    let of_one = [
        Operation { settings: &[Alone, Woken], ..lock },
        Operation { settings: &[Waiter, Barged], path: Path::Slow, spans: Spans::Nothing, ..lock },
        Operation { name: "reentrant mutex try", act: Act::TryNested, ..lock },
        Operation { settings: &[Alone, TwoSleepers], ..unlock },
        Operation {
            name: "reentrant mutex try after a death",
            corpse: &[Act::LockNested, Act::LockNested],
            act: Act::TryNested,
            path: Path::Slow,
            ..lock
        },
    ];
    let more = if tells_of_deaths::<B>() { &of_one[..] } else { &[] };
    [&of_both, more].concat()
}

fn look<B: Backend>(scene: &Scene<B>, victim: u32) -> Seen {
    Seen { owned: owns(victim, &scene.nested), poisoned: scene.nested.is_poisoned(), number: 0 }
}

fn judge<B: Backend>(round: &Round<'_, B>) -> Result<(), Problem> {
    let expected = poisoned_if(round.seen.owned || round.seen.poisoned);
    found_by_sleepers(round, expected)?;
    let nested = &round.scene().nested;
    let (fresh, other) = (round.fresh(), round.others[0]);
    round.must(&fresh, Act::PassNested, expected)?;
    claim(nested.is_poisoned() == (expected == Answer::Poisoned), || "the poison comes and goes".into())?;
    nested.clear_poison();
    for _ in 0..2 {
        for (who, act, answer) in [
            (&fresh, Act::LockNested, Answer::Done),
            (&fresh, Act::LockNested, Answer::Done),
            (&fresh, Act::UnlockNested, Answer::Done),
            (other, Act::TryNested, Answer::WouldBlock),
            (&fresh, Act::UnlockNested, Answer::Done),
            (other, Act::PassNested, Answer::Done),
        ] {
            round.must(who, act, answer)?;
        }
    }
    // This process has other addresses than the next victim, who is to find links of somebody else.
    claim(nested.try_lock().is_ok(), || "not free in the end".into())
}
