//! The reader-writer lock: poisoned exactly if the victim had the data for writing, or it was before; a reader that dies
//! poisons nothing, and doesn't keep its place.

use pshared::backend::Backend;

use crate::acts::{Act, Answer};
use crate::mutex::{found_by_sleepers, poisoned_if};
use crate::problem::{Problem, claim};
use crate::scene::{Scene, owns};
use crate::support::claims::tells_of_deaths;
use crate::sweep::{Operation, Path, Round, Scenes, Seen, Setting, Spans};

pub fn operations<B: Backend>() -> Vec<Operation<B>> {
    use Setting::*;
    let fast = Path::Fast;
    let read = Operation {
        name: "rwlock read",
        corpse: &[],
        bury: &[],
        before: &[Act::PassRead],
        then: &[],
        act: Act::Read,
        hold: &[Act::Write],
        release: &[Act::EndWrite],
        barge: &[Act::TryWrite],
        unbarge: &[Act::EndWrite],
        sleepers: [Act::PassWrite, Act::PassRead],
        settings: &[Waiter, Woken],
        path: Path::Slow,
        spans: Spans::Nothing,
        scenes: Scenes::Lasting,
        ready: |_, _| {},
        look: look_reading,
        judge,
    };
    let end_read =
        Operation { name: "rwlock read unlock", before: &[Act::Read, Act::PassPermit], act: Act::EndRead, ..read };
    let end_read = Operation { sleepers: [Act::PassWrite; 2], ..end_read };
    let open = Operation { name: "rwlock upgradable read", act: Act::OpenRead, ..read };
    let end_open =
        Operation { name: "rwlock upgradable unlock", before: &[Act::OpenRead], act: Act::EndOpenRead, ..read };
    let write =
        Operation { name: "rwlock write", before: &[Act::PassWrite], act: Act::Write, look: look_writing, ..read };
    let write = Operation { sleepers: [Act::PassRead, Act::PassWrite], settings: &[Waiter, Woken, Barged], ..write };
    let behind_reader =
        Operation { name: "rwlock write behind a reader", hold: &[Act::Read], release: &[Act::EndRead], ..write };
    let behind_reader = Operation { sleepers: [Act::PassWrite; 2], ..behind_reader };
    let writes = Operation { spans: Spans::Ownership, settings: &[Alone], path: fast, ..write };
    let end_write =
        Operation { name: "rwlock write unlock", before: &[Act::Write, Act::PassPermit], act: Act::EndWrite, ..writes };
    let upgrade = Operation { name: "rwlock upgrade", before: &[Act::OpenRead], act: Act::Upgrade, ..behind_reader };
    let upgrade = Operation { sleepers: [Act::PassWrite, Act::PassOpen], ..upgrade };
    let downgrade = Operation { name: "rwlock downgrade", before: &[Act::Write], act: Act::Downgrade, ..writes };
    let alone_or_not: &[Setting] = &[Alone, OneSleeper, TwoSleepers];
    vec![
        Operation { settings: &[Alone], path: fast, ..read },
        Operation { name: "rwlock first read", before: &[], settings: &[Alone], ..read },
        Operation { name: "rwlock try read", act: Act::TryRead, settings: &[Alone], path: fast, ..read },
        Operation { name: "rwlock try read", act: Act::TryRead, settings: &[Waiter], ..read },
        Operation { name: "rwlock timed read", act: Act::ReadFor, ..read },
        read,
        Operation { settings: &[Alone], path: fast, ..end_read },
        Operation { settings: &[OneSleeper, TwoSleepers], ..end_read },
        writes,
        write,
        Operation { settings: &[Waiter, Woken], ..behind_reader },
        Operation { name: "rwlock try write", act: Act::TryWrite, ..writes },
        Operation { name: "rwlock try write", act: Act::TryWrite, settings: &[Waiter], ..write },
        Operation { name: "rwlock timed write", act: Act::WriteFor, ..write },
        end_write,
        Operation { settings: &[OneSleeper, TwoSleepers], path: Path::Slow, ..end_write },
        Operation { settings: &[Alone], ..open },
        Operation { settings: &[Waiter, Woken], ..open },
        Operation { settings: alone_or_not, sleepers: [Act::PassOpen, Act::PassWrite], ..end_open },
        Operation { settings: alone_or_not, spans: Spans::Ownership, ..upgrade },
        Operation { settings: &[Waiter], ..upgrade },
        Operation { settings: &[Woken], spans: Spans::Ownership, ..upgrade },
        Operation { settings: alone_or_not, path: Path::Slow, ..downgrade },
        Operation {
            name: "rwlock downgrade to upgradable",
            act: Act::DowngradeToOpen,
            settings: alone_or_not,
            path: Path::Slow,
            ..downgrade
        },
        Operation {
            name: "rwlock downgrade of upgradable",
            act: Act::DowngradeOpen,
            settings: alone_or_not,
            sleepers: [Act::PassOpen, Act::PassWrite],
            ..end_open
        },
        Operation { name: "rwlock recover", act: Act::RecoverWrite, ..left::<B>(writes) },
        Operation {
            name: "rwlock try write after a death",
            corpse: &[Act::Write],
            act: Act::TryWrite,
            path: Path::Slow,
            ..writes
        },
        Operation {
            name: "rwlock try write after a reader's death",
            corpse: &[Act::Read],
            act: Act::TryWrite,
            path: Path::Slow,
            ..writes
        },
        Operation {
            name: "rwlock clear_poison",
            corpse: &[Act::Write],
            act: Act::ClearRwPoison,
            settings: &[Alone],
            ..write
        },
    ]
}

/// After a writer's death that somebody has found out: who would find it out alone would sleep for a slice before.
fn left<B: Backend>(write: Operation<B>) -> Operation<B> {
    let found_out: &[Act] = if tells_of_deaths::<B>() { &[] } else { &[Act::TryWrite, Act::EndWrite] };
    Operation { corpse: &[Act::Write], bury: found_out, path: Path::Slow, ..write }
}

pub fn look_reading<B: Backend>(scene: &Scene<B>, _: u32) -> Seen {
    Seen { owned: false, poisoned: scene.rwlock.is_poisoned(), number: 0 }
}

/// Who may write owns it if it owns anything and somebody writes: it has no reader's place then.
pub fn look_writing<B: Backend>(scene: &Scene<B>, victim: u32) -> Seen {
    let lock = &scene.rwlock;
    let owned = lock.is_locked_exclusive() && owns(victim, lock);
    Seen { owned, poisoned: lock.is_poisoned(), number: 0 }
}

fn judge<B: Backend>(round: &Round<'_, B>) -> Result<(), Problem> {
    let expected = poisoned_if(round.seen.owned || round.seen.poisoned);
    found_by_sleepers(round, expected)?;
    used_by_a_fresh_one(round, expected)
}

/// A process that comes afterwards finds the lock as it is expected, and uses it in each way.
pub fn used_by_a_fresh_one<B: Backend>(round: &Round<'_, B>, expected: Answer) -> Result<(), Problem> {
    let lock = &round.scene().rwlock;
    let fresh = round.fresh();
    round.must(&fresh, Act::PassRead, expected)?;
    round.must(&fresh, Act::PassWrite, expected)?;
    claim(lock.is_poisoned() == (expected == Answer::Poisoned), || "the poison comes and goes".into())?;
    lock.clear_poison();
    for act in [Act::PassOpen, Act::PassRead, Act::PassWrite] {
        round.must(&fresh, act, Answer::Done)?;
    }
    // This process has other addresses than the next victim, who is to find links of somebody else.
    claim(lock.try_write().is_ok() && lock.try_read().is_ok(), || "not free in the end".into())
}
