//! The reader-writer lock of a thread that holds another lock: futexes have short ways of their own for it. Wherever it dies,
//! the other lock is freed and poisoned, too, and who sleeps there is woken.

use pshared::futex::Futex;

use crate::acts::{Act, Answer};
use crate::mutex::{found_by_sleepers, poisoned_if};
use crate::problem::Problem;
use crate::rwlock::{look_reading, look_writing, used_by_a_fresh_one};
use crate::sweep::{Operation, Path, Round, Scenes, Setting, Spans};

pub fn operations() -> Vec<Operation<Futex>> {
    use Setting::*;
    // The links and the stamp that the first act leaves are those of a thread with no other lock on its list.
    let read = Operation {
        name: "rwlock read beside another",
        corpse: &[],
        bury: &[],
        before: &[Act::PassRead, Act::LockSecond],
        then: &[],
        act: Act::Read,
        hold: &[Act::Write],
        release: &[Act::EndWrite],
        barge: &[],
        unbarge: &[],
        sleepers: [Act::PassSecond; 2],
        settings: &[Alone, OneSleeper],
        path: Path::Fast,
        spans: Spans::Nothing,
        scenes: Scenes::Lasting,
        ready: |_, _| {},
        look: look_reading,
        judge: judge_slept_on_the_other,
    };
    let waiting_to_read = Operation {
        sleepers: [Act::PassWrite; 2],
        settings: &[Waiter, Woken],
        path: Path::Slow,
        judge: judge_slept_on,
        ..read
    };
    let write = Operation {
        name: "rwlock write beside another",
        before: &[Act::PassWrite, Act::LockSecond],
        act: Act::Write,
        spans: Spans::Ownership,
        look: look_writing,
        ..read
    };
    let waiting_to_write = Operation { before: write.before, act: write.act, look: look_writing, ..waiting_to_read };
    // Whoever slept at the gate would have it, and the victim wouldn't come to look whether the readers are out.
    let behind_reader = Operation {
        name: "rwlock write beside another behind a reader",
        hold: &[Act::Read],
        release: &[Act::EndRead],
        settings: &[Waiter],
        path: Path::Slow,
        spans: Spans::Nothing,
        ..write
    };
    // A permit that is passed takes the announcement back which the short ways leave.
    let end_read = Operation { act: Act::EndRead, sleepers: [Act::PassWrite; 2], judge: judge_slept_on, ..read };
    let end_write = Operation { act: Act::EndWrite, sleepers: [Act::PassRead; 2], judge: judge_slept_on, ..write };
    vec![
        read,
        waiting_to_read,
        Operation { name: "rwlock try read beside another", act: Act::TryRead, settings: &[Alone], ..read },
        Operation { name: "rwlock try read beside another", act: Act::TryRead, settings: &[Waiter], ..waiting_to_read },
        Operation {
            name: "rwlock read unlock of the first of two",
            before: &[Act::Read, Act::LockSecond, Act::PassPermit],
            settings: &[Alone],
            ..end_read
        },
        Operation { name: "rwlock read unlock of the last of two", before: &[Act::LockSecond, Act::Read], ..end_read },
        write,
        Operation { name: write.name, settings: &[Waiter], ..waiting_to_write },
        Operation { name: write.name, settings: &[Woken], spans: Spans::Ownership, ..waiting_to_write },
        behind_reader,
        Operation { name: "rwlock try write beside another", act: Act::TryWrite, settings: &[Alone], ..write },
        Operation {
            name: "rwlock try write beside another",
            act: Act::TryWrite,
            settings: &[Waiter],
            ..waiting_to_write
        },
        Operation { name: "rwlock try write beside another behind a reader", act: Act::TryWrite, ..behind_reader },
        Operation {
            name: "rwlock write unlock of the first of two",
            before: &[Act::Write, Act::LockSecond, Act::PassPermit],
            settings: &[Alone],
            ..end_write
        },
        Operation {
            name: "rwlock write unlock of the last of two",
            before: &[Act::PassWrite, Act::LockSecond, Act::Write, Act::PassPermit],
            ..end_write
        },
    ]
}

/// Who slept wanted the victim's other lock, which the victim had all the time.
fn judge_slept_on_the_other(round: &Round<'_, Futex>) -> Result<(), Problem> {
    found_by_sleepers(round, Answer::Poisoned)?;
    judge(round)
}

fn judge_slept_on(round: &Round<'_, Futex>) -> Result<(), Problem> {
    found_by_sleepers(round, poison(round))?;
    judge(round)
}

fn poison(round: &Round<'_, Futex>) -> Answer {
    poisoned_if(round.seen.owned || round.seen.poisoned)
}

fn judge(round: &Round<'_, Futex>) -> Result<(), Problem> {
    let fresh = round.fresh();
    round.must(&fresh, Act::PassSecond, Answer::Poisoned)?;
    round.scene().second.clear_poison();
    round.must(&fresh, Act::PassSecond, Answer::Done)?;
    used_by_a_fresh_one(round, poison(round))
}
