//! The barrier: everybody who waits is let through, told that it is broken, or waits rightly; a reset is all it takes to go on.

use pshared::backend::Backend;

use crate::acts::{Act, Answer};
use crate::problem::{Problem, claim};
use crate::scene::PARTICIPANTS;
use crate::sweep::{Operation, Path, Round, Scenes, Seen, Setting, Spans};
use crate::zygote::{Actor, come_through};

pub fn operations<B: Backend>() -> Vec<Operation<B>> {
    use Setting::*;
    let wait = Operation {
        name: "barrier wait",
        corpse: &[],
        bury: &[],
        before: &[Act::PassLock],
        then: &[],
        act: Act::Meet,
        hold: &[],
        release: &[Act::Meet],
        barge: &[],
        unbarge: &[],
        sleepers: [Act::Meet; 2],
        settings: &[Alone, OneSleeper, TwoSleepers],
        path: Path::Slow,
        spans: Spans::Nothing,
        scenes: Scenes::Lasting,
        ready: |_, _| {},
        look: |scene, _| Seen { number: scene.meeting.waiting() as u32, ..Seen::default() },
        judge,
    };
    vec![
        Operation { settings: &[Alone, OneSleeper], ..wait },
        Operation { settings: &[TwoSleepers], path: Path::Fast, ..wait },
        Operation { name: "barrier timed wait", act: Act::MeetFor, settings: &[TwoSleepers], ..wait },
        Operation { settings: &[Woken], judge: judge_woken, ..wait },
        Operation { name: "barrier reset", act: Act::Reset, ..wait },
    ]
}

fn judge<B: Backend>(round: &Round<'_, B>) -> Result<(), Problem> {
    let (meeting, sleepers) = (&round.scene().meeting, round.sleepers.len());
    let waits_rightly = meeting.waiting() == sleepers && !meeting.is_broken();
    if waits_rightly && sleepers > 0 {
        claim(round.seen.number as usize != sleepers + 1, || "who has died is missed by nobody".into())?;
        // Those who are missing come.
        let rest = &round.others[..PARTICIPANTS - sleepers];
        rest.iter().for_each(|actor| actor.begins(Act::Meet));
        let all = [&round.sleepers[..], rest].concat();
        met(&come_through(&all, round.noticed)?)?;
    } else if sleepers > 0 {
        let all = round.all_come_through()?;
        let through = all.iter().all(|said| matches!(said, Answer::Done | Answer::Leads));
        claim(through || all.iter().all(|said| *said == Answer::Broken), || format!("not the same for all: {all:?}"))?;
    } else if round.seen.number == 1 {
        claim(meeting.is_broken(), || "who has died is missed by nobody".into())?;
        round.must(round.others[0], Act::Meet, Answer::Broken)?;
    }
    go_on(round)
}

/// All had come when it died.
fn judge_woken<B: Backend>(round: &Round<'_, B>) -> Result<(), Problem> {
    for said in round.all_come_through()? {
        claim(said == Answer::Done, || format!("{said:?}, though all had come"))?;
    }
    claim(!round.scene().meeting.is_broken(), || "broken, though all had come".into())?;
    go_on(round)
}

/// After a reset three meet, twice.
fn go_on<B: Backend>(round: &Round<'_, B>) -> Result<(), Problem> {
    let fresh = round.fresh();
    round.must(&fresh, Act::Reset, Answer::Done)?;
    let meeting = &round.scene().meeting;
    claim(!meeting.is_broken(), || "still broken".into())?;
    for _ in 0..2 {
        let all: [&Actor; PARTICIPANTS] = [round.others[0], round.others[1], &fresh];
        all.iter().for_each(|actor| actor.begins(Act::Meet));
        met(&come_through(&all, round.noticed)?)?;
    }
    Ok(())
}

fn met(said: &[Answer]) -> Result<(), Problem> {
    let leaders = said.iter().filter(|said| **said == Answer::Leads).count();
    let others = said.iter().filter(|said| **said == Answer::Done).count();
    claim(leaders == 1 && others + 1 == said.len(), || format!("no meeting: {said:?}"))
}
