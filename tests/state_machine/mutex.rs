//! `Mutex`: two of them, so that some wait while they hold the other.

use pshared::Cause;
use pshared::backend::Backend;
use pshared::generic::{Mutex, MutexGuard};

use super::{BRIEF, LONG, panic_with, state_machine, taken, tell};
use crate::support::plans::{Expected, Subject};

state_machine!(two_of_them, Mutexes, cases = 256);

/// Written in two halves, of which a death may leave one.
type Data = [u32; 2];

/// What can be done with a mutex.
#[derive(Clone, Copy, Debug)]
enum How {
    Lock,
    LockForLong,
    Try,
    LockBriefly,
    LockOrRecover,
    WriteOneHalf,
    WriteTheOther,
    Unlock,
    Panic,
    Forget,
    ClearPoison,
}
use How::*;

#[derive(Clone, Copy, Debug)]
struct Op {
    how: How,
    lock: usize,
}

/// What comes often stands here twice.
const HOW: [How; 13] = [
    Lock,
    Lock,
    LockForLong,
    Try,
    LockBriefly,
    LockOrRecover,
    WriteOneHalf,
    WriteTheOther,
    Unlock,
    Unlock,
    Panic,
    Forget,
    ClearPoison,
];

const fn each_with(lock: usize) -> [Op; HOW.len()] {
    let mut ops = [Op { how: Lock, lock }; HOW.len()];
    let mut i = 0;
    while i < ops.len() {
        ops[i].how = HOW[i];
        i += 1;
    }
    ops
}

/// The models of both.
struct Mutexes<B: Backend> {
    each: [Model; 2],
    backend: std::marker::PhantomData<B>,
}

impl<B: Backend> Default for Mutexes<B> {
    fn default() -> Self {
        Mutexes { each: Default::default(), backend: std::marker::PhantomData }
    }
}

#[derive(Default)]
struct Model {
    owner: Option<Owner>,
    poison: Option<Cause>,
    data: Data,
    /// Who waits, and whether it will repair.
    waiting: Vec<(usize, How)>,
}

struct Owner {
    actor: usize,
    /// Whether it still has the guard.
    guarded: bool,
}

impl Model {
    /// What whoever gets the lock says, and what becomes of the data and the poison.
    fn given(&self, how: How) -> (String, Data, Option<Cause>) {
        match (how, self.poison) {
            (LockOrRecover, Some(_)) => {
                let repaired = [self.data[0]; 2];
                (tell(None, repaired), repaired, None)
            }
            (_, poison) => (tell(poison, self.data), self.data, poison),
        }
    }

    fn give(&mut self, actor: usize, how: How) -> String {
        let (answer, data, poison) = self.given(how);
        (self.data, self.poison) = (data, poison);
        self.owner = Some(Owner { actor, guarded: true });
        answer
    }

    fn holds(&mut self, actor: usize) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.actor == actor && owner.guarded)
    }

    fn told(&mut self, actor: usize, how: How) -> Expected {
        let done = || Expected::Answer("done".into());
        match how {
            Lock | LockForLong | Try | LockBriefly | LockOrRecover => match (&self.owner, how) {
                (None, _) => Expected::Answer(self.give(actor, how)),
                (Some(_), Try) => Expected::Answer("WouldBlock".into()),
                (Some(owner), _) if owner.actor == actor => Expected::Answer("WouldDeadlock".into()),
                (Some(_), LockBriefly) => Expected::Answer("TimedOut".into()),
                (Some(_), _) => {
                    self.waiting.push((actor, how));
                    Expected::Sleep
                }
            },
            ClearPoison => {
                self.poison = None;
                done()
            }
            _ if !self.holds(actor) => Expected::Nothing,
            WriteOneHalf | WriteTheOther => {
                self.data[usize::from(matches!(how, WriteTheOther))] += 1;
                done()
            }
            Unlock => {
                self.owner = None;
                done()
            }
            Panic => {
                self.owner = None;
                self.poison.get_or_insert(Cause::Panicked);
                done()
            }
            Forget => {
                self.owner = Some(Owner { actor, guarded: false });
                done()
            }
        }
    }

    fn died(&mut self, actor: usize) {
        self.waiting.retain(|(waiting, _)| *waiting != actor);
        if self.owner.as_ref().is_some_and(|owner| owner.actor == actor) {
            self.owner = None;
            self.poison = Some(Cause::OwnerDied);
        }
    }
}

impl<B: Backend> Subject for Mutexes<B> {
    type Shared = [Mutex<Data, B>; 2];
    type Op = Op;
    type Hands<'a> = [Option<MutexGuard<'a, Data, B>>; 2];
    const OPS: &'static [Op] = [each_with(0), each_with(1)].as_flattened();

    fn new_shared() -> Self::Shared {
        [const { Mutex::new([0; 2]) }; 2]
    }

    fn act<'a>(shared: &'a Self::Shared, hands: &mut Self::Hands<'a>, Op { how, lock }: Op) -> String {
        let (mutex, hand) = (&shared[lock], &mut hands[lock]);
        let result = match how {
            Lock => mutex.lock(),
            LockForLong => mutex.try_lock_for(LONG),
            Try => mutex.try_lock(),
            LockBriefly => mutex.try_lock_for(BRIEF),
            LockOrRecover => mutex.lock_or_recover(|data, _| data[1] = data[0]).map_err(|error| match error {
                pshared::Error::WouldDeadlock => pshared::LockError::WouldDeadlock,
                error => pshared::LockError::Failed(error),
            }),
            _ => {
                match how {
                    WriteOneHalf => hand.as_mut().unwrap()[0] += 1,
                    WriteTheOther => hand.as_mut().unwrap()[1] += 1,
                    Unlock => *hand = None,
                    Panic => panic_with(hand.take()),
                    Forget => std::mem::forget(hand.take()),
                    _ => mutex.clear_poison(),
                }
                return "done".into();
            }
        };
        match taken(result) {
            Ok((guard, cause)) => {
                let answer = tell(cause, *guard);
                *hand = Some(guard);
                answer
            }
            Err(why) => why.into(),
        }
    }

    fn look(shared: &Self::Shared, actor: &dyn Fn(u32) -> usize) -> String {
        let owners = shared.each_ref().map(|mutex| mutex.owner().map(|owner| actor(owner.pid)));
        format!("owners {owners:?}, poisoned {:?}", shared.each_ref().map(Mutex::is_poisoned))
    }

    fn seen(&self) -> String {
        let owners = self.each.each_ref().map(|model| model.owner.as_ref().map(|owner| owner.actor));
        format!("owners {owners:?}, poisoned {:?}", self.each.each_ref().map(|model| model.poison.is_some()))
    }

    fn told(&mut self, actor: usize, Op { how, lock }: Op) -> Expected {
        self.each[lock].told(actor, how)
    }

    fn next(&self) -> Vec<(usize, String)> {
        let free = self.each.iter().filter(|model| model.owner.is_none());
        free.flat_map(|model| model.waiting.iter().map(|(actor, how)| (*actor, model.given(*how).0))).collect()
    }

    fn came_through(&mut self, actor: usize) {
        for model in &mut self.each {
            if let Some(at) = model.waiting.iter().position(|(waiting, _)| *waiting == actor) {
                let (_, how) = model.waiting.remove(at);
                model.give(actor, how);
            }
        }
    }

    fn let_go(&mut self, actor: usize) {
        for model in &mut self.each {
            if model.holds(actor) {
                model.owner = None;
            }
        }
    }

    fn died(&mut self, actor: usize) {
        self.each.iter_mut().for_each(|model| model.died(actor));
    }
}
