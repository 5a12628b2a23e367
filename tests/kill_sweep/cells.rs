//! Cells: what a killed creator leaves is complete or isn't there, and whoever comes next can create, open and remove.

use std::path::Path as File;

use pshared::backend::Backend;
use pshared::{Error, Shm};

use crate::acts::{Act, Answer};
use crate::problem::{Problem, claim};
use crate::scene::Made;
use crate::sweep::{Operation, Path, Round, Scenes, Seen, Setting, Spans};

pub fn operations<B: Backend>() -> Vec<Operation<B>> {
    let create = Operation {
        name: "cell create",
        corpse: &[],
        bury: &[],
        before: &[],
        then: &[],
        act: Act::Create,
        hold: &[],
        release: &[],
        barge: &[],
        unbarge: &[],
        sleepers: [Act::Attach; 2],
        settings: &[Setting::Alone],
        path: Path::Long,
        spans: Spans::Nothing,
        scenes: Scenes::Lasting,
        ready: |_, _| {},
        look: |_, _| Seen::default(),
        judge: |round| judge(round, Expected::Either),
    };
    let there = Operation { corpse: &[Act::Create], judge: |round| judge(round, Expected::There), ..create };
    vec![
        create,
        Operation { name: "cell create or attach", act: Act::CreateOrAttach, ..create },
        Operation { name: "cell create or attach, of one that exists", act: Act::CreateOrAttach, ..there },
        Operation { name: "cell attach", act: Act::Attach, ..there },
        Operation { name: "cell detach", before: &[Act::Create], act: Act::Detach, corpse: &[], ..there },
        Operation { name: "cell remove", act: Act::Remove, corpse: &[Act::Create], ..create },
    ]
}

/// Whether the name is there after the death.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    There,
    Either,
}

fn judge<B: Backend>(round: &Round<'_, B>, expected: Expected) -> Result<(), Problem> {
    let name = round.stage.made_name();
    let exists = || File::new("/dev/shm").join(&name).exists();
    claim(expected == Expected::Either || exists(), || "the name is gone".into())?;
    match Shm::<Made<B>>::open(&name) {
        Ok(made) => claim(made.is_complete(), || "what is there is not complete".into())?,
        Err(Error::NotFound { .. }) => claim(!exists(), || "it can't be found".into())?,
        Err(other) => return Err(Problem::Broken(format!("can't be opened: {other}"))),
    }
    let fresh = round.fresh();
    for act in [Act::CreateOrAttach, Act::Detach, Act::Remove, Act::Create, Act::Detach, Act::Attach, Act::Remove] {
        round.must(&fresh, act, Answer::Done)?;
    }
    claim(!exists(), || "left behind".into())
}
