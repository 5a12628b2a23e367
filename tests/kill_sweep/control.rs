//! The control: a lock without an owner, as other libraries have them, must be found to hang.

use pshared::backend::Backend;

use crate::acts::{Act, Answer};
use crate::problem::Problem;
use crate::sweep::{Operation, Path, Round, Scenes, Seen, Setting, Spans};

pub fn operation<B: Backend>() -> Operation<B> {
    Operation {
        name: "plain lock unlock (the control)",
        corpse: &[],
        bury: &[],
        before: &[Act::LockPlain],
        then: &[],
        act: Act::UnlockPlain,
        hold: &[],
        release: &[],
        barge: &[],
        unbarge: &[],
        sleepers: [Act::PassPlain; 2],
        settings: &[Setting::OneSleeper],
        path: Path::Fast,
        spans: Spans::Nothing,
        scenes: Scenes::Lasting,
        ready: |_, _| {},
        look: |_, _| Seen::default(),
        judge,
    }
}

fn judge<B: Backend>(round: &Round<'_, B>) -> Result<(), Problem> {
    round.all_come_through()?;
    let fresh = round.fresh();
    round.must(&fresh, Act::PassPlain, Answer::Done)?;
    round.must(&fresh, Act::PassPlain, Answer::Done)
}
