//! `ReentrantMutex`: taken again and again, given back in any order.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use pshared::Cause;
use pshared::backend::Backend;
use pshared::generic::{ReentrantMutex, ReentrantMutexGuard};

use super::{BRIEF, LONG, panic_with, state_machine, taken, tell};
use crate::support::plans::{Expected, Subject};

state_machine!(one, Model, cases = 256);

#[derive(Clone, Copy, Debug)]
enum Op {
    Lock,
    LockForLong,
    Try,
    LockBriefly,
    LockOrRecover,
    Write,
    UnlockNewest,
    UnlockOldest,
    Panic,
    Forget,
    ClearPoison,
    IsMine,
}
use Op::*;

struct Model<B: Backend> {
    owner: Option<Owner>,
    poison: Option<Cause>,
    data: u32,
    waiting: Vec<(usize, Op)>,
    backend: std::marker::PhantomData<B>,
}

struct Owner {
    actor: usize,
    guards: usize,
    forgotten: usize,
    /// It has detached since, so that what it opens now is another mapping: on futexes, where a lock is held at the address at
    /// which it was taken.
    elsewhere: bool,
}

impl<B: Backend> Default for Model<B> {
    fn default() -> Self {
        Model { owner: None, poison: None, data: 0, waiting: Vec::new(), backend: std::marker::PhantomData }
    }
}

impl<B: Backend> Model<B> {
    /// What whoever gets a guard says.
    fn given(&self, op: Op) -> String {
        match op {
            LockOrRecover => tell(None, self.data + u32::from(self.poison.is_some())),
            _ => tell(self.poison, self.data),
        }
    }

    fn give(&mut self, actor: usize, op: Op) -> String {
        let answer = self.given(op);
        if matches!(op, LockOrRecover) && self.poison.take().is_some() {
            self.data += 1;
        }
        self.owner.get_or_insert(Owner { actor, guards: 0, forgotten: 0, elsewhere: false }).guards += 1;
        answer
    }

    /// `actor` has `fewer` guards less, as `count` says.
    fn take(&mut self, actor: usize, count: impl FnOnce(&mut Owner)) -> bool {
        let Some(owner) = self.owner.as_mut().filter(|owner| owner.actor == actor && owner.guards > 0) else {
            return false;
        };
        count(owner);
        if owner.guards + owner.forgotten == 0 {
            self.owner = None;
        }
        true
    }

    fn is_owner_here(&self, actor: usize) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.actor == actor && !owner.elsewhere)
    }

    fn is_owner(&self, actor: usize) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.actor == actor)
    }
}

impl<B: Backend> Subject for Model<B> {
    type Shared = ReentrantMutex<AtomicU32, B>;
    type Op = Op;
    type Hands<'a> = Vec<ReentrantMutexGuard<'a, AtomicU32, B>>;
    const OPS: &'static [Op] = &[
        Lock,
        Lock,
        LockForLong,
        Try,
        LockBriefly,
        LockOrRecover,
        Write,
        UnlockNewest,
        UnlockNewest,
        UnlockOldest,
        UnlockOldest,
        Panic,
        Forget,
        ClearPoison,
        IsMine,
    ];

    fn new_shared() -> Self::Shared {
        ReentrantMutex::new(AtomicU32::new(0))
    }

    fn act<'a>(mutex: &'a Self::Shared, guards: &mut Self::Hands<'a>, op: Op) -> String {
        let result = match op {
            Lock => mutex.lock(),
            LockForLong => mutex.try_lock_for(LONG),
            Try => mutex.try_lock(),
            LockBriefly => mutex.try_lock_for(BRIEF),
            LockOrRecover => {
                let repaired = mutex.lock_or_recover(|data, _| data.store(data.load(Relaxed) + 1, Relaxed));
                repaired.map_err(|error| match error {
                    pshared::Error::WouldDeadlock => pshared::LockError::WouldDeadlock,
                    error => pshared::LockError::Failed(error),
                })
            }
            IsMine => return mutex.is_owned_by_current_thread().to_string(),
            _ => {
                match op {
                    Write => guards[0].store(guards[0].load(Relaxed) + 1, Relaxed),
                    UnlockNewest => drop(guards.pop()),
                    UnlockOldest => drop(guards.remove(0)),
                    Panic => panic_with(guards.pop()),
                    Forget => std::mem::forget(guards.pop()),
                    _ => mutex.clear_poison(),
                }
                return "done".into();
            }
        };
        match taken(result) {
            Ok((guard, cause)) => {
                let answer = tell(cause, guard.load(Relaxed));
                guards.push(guard);
                answer
            }
            Err(why) => why.into(),
        }
    }

    fn look(mutex: &Self::Shared, actor: &dyn Fn(u32) -> usize) -> String {
        format!("owner {:?}, poisoned {}", mutex.owner().map(|owner| actor(owner.pid)), mutex.is_poisoned())
    }

    fn seen(&self) -> String {
        format!("owner {:?}, poisoned {}", self.owner.as_ref().map(|owner| owner.actor), self.poison.is_some())
    }

    fn told(&mut self, actor: usize, op: Op) -> Expected {
        let done = match op {
            IsMine => return Expected::Answer(self.is_owner_here(actor).to_string()),
            Lock | LockForLong | Try | LockBriefly | LockOrRecover => {
                if self.owner.is_none() || self.is_owner_here(actor) {
                    return Expected::Answer(self.give(actor, op));
                }
                return match op {
                    Try => Expected::Answer("WouldBlock".into()),
                    _ if self.is_owner(actor) => Expected::Answer("WouldDeadlock".into()),
                    LockBriefly => Expected::Answer("TimedOut".into()),
                    _ => {
                        self.waiting.push((actor, op));
                        Expected::Sleep
                    }
                };
            }
            ClearPoison => {
                self.poison = None;
                true
            }
            Write => {
                let writes = self.take(actor, |_| {});
                self.data += u32::from(writes);
                writes
            }
            UnlockNewest | UnlockOldest => self.take(actor, |owner| owner.guards -= 1),
            Panic => {
                let panics = self.take(actor, |owner| owner.guards -= 1);
                if panics {
                    self.poison.get_or_insert(Cause::Panicked);
                }
                panics
            }
            Forget => self.take(actor, |owner| {
                owner.guards -= 1;
                owner.forgotten += 1;
            }),
        };
        if done { Expected::Answer("done".into()) } else { Expected::Nothing }
    }

    fn next(&self) -> Vec<(usize, String)> {
        let waiting = if self.owner.is_none() { &self.waiting[..] } else { &[] };
        waiting.iter().map(|(actor, op)| (*actor, self.given(*op))).collect()
    }

    fn came_through(&mut self, actor: usize) {
        if let Some(at) = self.waiting.iter().position(|(waiting, _)| *waiting == actor) {
            let (_, op) = self.waiting.remove(at);
            self.give(actor, op);
        }
    }

    fn let_go(&mut self, actor: usize) {
        self.take(actor, |owner| owner.guards = 0);
        if let Some(owner) = self.owner.as_mut().filter(|owner| owner.actor == actor) {
            owner.elsewhere = B::NAME == "futex";
        }
    }

    fn died(&mut self, actor: usize) {
        self.waiting.retain(|(waiting, _)| *waiting != actor);
        if self.is_owner(actor) {
            self.owner = None;
            self.poison = Some(Cause::OwnerDied);
        }
    }
}
