//! What the processes of the sweep do: one thing at a time, as they are told by a byte, and how it went, as a byte.

use std::any::Any;
use std::time::Duration;

use pshared::backend::Backend;
use pshared::futex::{Futex, try_wait_any, wait_any};
use pshared::generic::{
    MutexGuard, Permit, Permits, ReentrantMutexGuard, RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard,
};
use pshared::{Error, LockError, LockResult, Shm};

use crate::scene::{Made, PAIR, PERMITS, READERS, Scene};
use crate::support::stepper::mark;

/// As long as any wait of the sweep may last; longer is a hang.
const LONG: Duration = Duration::from_secs(300);

macro_rules! bytes {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $text:literal])* $item:ident),* $(,)? }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $text])* $item),*
        }

        impl $name {
            const ALL: &[$name] = &[$($name::$item),*];

            pub fn byte(self) -> u8 {
                self as u8
            }

            pub fn from_byte(byte: u8) -> $name {
                $name::ALL[usize::from(byte)]
            }
        }
    };
}

bytes!(
    /// What can be done. What is taken is kept in the hands; to *pass* is to take it and give it back.
    Act {
        Lock, TryLock, LockFor, Unlock, PassLock, Recover, ClearPoison, LockSecond, PassSecond,
        Read, TryRead, ReadFor, EndRead, Write, TryWrite, WriteFor, EndWrite, OpenRead, EndOpenRead,
        Upgrade, Downgrade, DowngradeToOpen, DowngradeOpen, PassRead, PassWrite, PassOpen, RecoverWrite, ClearRwPoison,
        /// Waits once, with the lock in the hands.
        Await,
        AwaitFor,
        /// Locks, waits until something is there, takes it, unlocks.
        TakeItem,
        /// Locks, waits once, unlocks.
        LockAndAwait,
        NotifyOne, NotifyAll,
        Post, PostTwo, TakeJob, TryJob, JobFor,
        /// Waits for any: a job, the event that resets itself, the other event.
        TakeAny, TryAny, AnyFor,
        Acquire, TryAcquire, AcquireFor, Release, PassPermit,
        /// The same of the permits of which there are two.
        AcquireOfTwo, TryOfTwo, ReleaseOfTwo, PassOfTwo,
        /// The lock that its holder may take again: each is one level.
        LockNested, TryNested, UnlockNested, PassNested,
        Meet, MeetFor, Reset,
        Do, AwaitDone,
        SetAuto, WaitAuto, SetManual, WaitManual,
        Create, Attach, CreateOrAttach, Remove, Detach,
        LockPlain, UnlockPlain, PassPlain,
    }
);

impl Act {
    /// Whether who sleeps in it looks up by himself before long, and counts on that.
    pub fn naps(self) -> bool {
        matches!(self, Act::TakeAny | Act::AnyFor)
    }
}

bytes!(
    /// How it went.
    Answer { Done, Poisoned, WouldBlock, TimedOut, Leads, Broken, Exists, NotFound, Failed }
);

/// Whether the stepper waits for what is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    Free,
    Stepped,
}

/// What an actor has taken.
pub struct Hands<'a, B: Backend> {
    scene: &'a Scene<B>,
    guard: Option<MutexGuard<'a, u32, B>>,
    second: Option<MutexGuard<'a, u32, B>>,
    reading: Option<RwLockReadGuard<'a, u32, B, READERS>>,
    open: Option<RwLockUpgradableReadGuard<'a, u32, B, READERS>>,
    writing: Option<RwLockWriteGuard<'a, u32, B, READERS>>,
    nested: Vec<ReentrantMutexGuard<'a, u32, B>>,
    permits: Vec<Permit<'a, B, PERMITS>>,
    pair: Vec<Permit<'a, B, PAIR>>,
    made: Option<Shm<Made<B>>>,
    /// The name of what is made.
    name: &'a str,
}

/// Between two marks, if it is stepped, with nothing of the sweep's own in between.
#[inline(always)]
fn at<R>(pace: Pace, f: impl FnOnce() -> R) -> R {
    if pace == Pace::Stepped {
        mark();
    }
    let result = f();
    if pace == Pace::Stepped {
        mark();
    }
    result
}

/// What was taken, and whether it was poisoned.
fn taken<G>(result: LockResult<G>) -> (Option<G>, Answer) {
    match result {
        Ok(guard) => (Some(guard), Answer::Done),
        Err(LockError::Poisoned(poison)) => (Some(poison.into_inner()), Answer::Poisoned),
        Err(LockError::WouldBlock) => (None, Answer::WouldBlock),
        Err(LockError::TimedOut) => (None, Answer::TimedOut),
        Err(other) => (None, failed(&other)),
    }
}

fn passed<G>(result: LockResult<G>) -> Answer {
    taken(result).1
}

fn said<T>(result: pshared::Result<T>) -> (Option<T>, Answer) {
    match result {
        Ok(value) => (Some(value), Answer::Done),
        Err(Error::WouldBlock) => (None, Answer::WouldBlock),
        Err(Error::TimedOut) => (None, Answer::TimedOut),
        Err(Error::BarrierBroken) => (None, Answer::Broken),
        Err(Error::AlreadyExists { .. }) => (None, Answer::Exists),
        Err(Error::NotFound { .. }) => (None, Answer::NotFound),
        Err(other) => (None, failed(&other)),
    }
}

/// What no claim expects is shown at once.
fn failed(error: &dyn std::fmt::Debug) -> Answer {
    eprintln!("an actor: {error:?}");
    Answer::Failed
}

impl<'a, B: Backend> Hands<'a, B> {
    pub fn new(scene: &'a Scene<B>, name: &'a str) -> Self {
        Hands {
            scene,
            guard: None,
            second: None,
            reading: None,
            open: None,
            writing: None,
            nested: Vec::with_capacity(2),
            permits: Vec::with_capacity(PERMITS),
            pair: Vec::with_capacity(PAIR),
            made: None,
            name,
        }
    }

    pub fn act(&mut self, act: Act, pace: Pace) -> Answer {
        let Scene { mutex, second, condvar, jobs, meeting, once, auto, manual, plain, .. } = self.scene;
        match act {
            Act::Lock => self.keep_lock(at(pace, || mutex.lock())),
            Act::TryLock => self.keep_lock(at(pace, || mutex.try_lock())),
            Act::LockFor => self.keep_lock(at(pace, || mutex.try_lock_for(LONG))),
            Act::Unlock => {
                let guard = self.guard.take();
                at(pace, move || drop(guard));
                Answer::Done
            }
            Act::PassLock => at(pace, || passed(mutex.lock())),
            Act::LockSecond => {
                let (guard, answer) = taken(at(pace, || second.lock()));
                self.second = guard;
                answer
            }
            Act::PassSecond => at(pace, || passed(second.lock())),
            Act::Recover => {
                let result = at(pace, || mutex.lock_or_recover(|data, _| *data = 0));
                let (guard, answer) = said(result);
                self.guard = guard;
                answer
            }
            Act::ClearPoison => {
                at(pace, || mutex.clear_poison());
                Answer::Done
            }
            Act::Await => {
                let guard = self.guard.take().expect("the lock is to be in the hands");
                self.keep_lock(at(pace, move || condvar.wait(guard)))
            }
            Act::AwaitFor => {
                let guard = self.guard.take().expect("the lock is to be in the hands");
                let waited = at(pace, move || condvar.wait_timeout(guard, LONG));
                let (pair, answer) = taken(waited);
                self.guard = pair.map(|(guard, _)| guard);
                answer
            }
            Act::TakeItem => at(pace, || {
                let (guard, first) = taken(mutex.lock());
                let Some(guard) = guard else { return first };
                let (guard, last) = taken(condvar.wait_while(guard, |items| *items == 0));
                let Some(mut guard) = guard else { return last };
                *guard -= 1;
                // Who doesn't have to wait isn't told again.
                if first == Answer::Poisoned { first } else { last }
            }),
            Act::LockAndAwait => {
                let (guard, _) = taken(mutex.lock());
                let guard = guard.expect("nobody has it");
                at(pace, move || passed(condvar.wait(guard)))
            }
            Act::NotifyOne => {
                at(pace, || condvar.notify_one());
                Answer::Done
            }
            Act::NotifyAll => {
                at(pace, || condvar.notify_all());
                Answer::Done
            }
            Act::Post => said(at(pace, || jobs.post())).1,
            Act::PostTwo => said(at(pace, || jobs.post_many(2))).1,
            Act::TakeJob => said(at(pace, || jobs.wait())).1,
            Act::TryJob => said(at(pace, || jobs.try_wait())).1,
            Act::JobFor => said(at(pace, || jobs.wait_timeout(LONG))).1,
            Act::Meet => self.met(at(pace, || meeting.wait())),
            Act::MeetFor => self.met(at(pace, || meeting.wait_timeout(LONG))),
            Act::Reset => said(at(pace, || meeting.reset())).1,
            Act::Do => said(at(pace, || once.call_once(|| {}))).1,
            Act::AwaitDone => said(at(pace, || once.wait())).1,
            Act::SetAuto => said(at(pace, || auto.set())).1,
            Act::WaitAuto => said(at(pace, || auto.wait())).1,
            Act::SetManual => said(at(pace, || manual.set())).1,
            Act::WaitManual => said(at(pace, || manual.wait())).1,
            Act::LockPlain => {
                at(pace, || plain.lock());
                Answer::Done
            }
            Act::UnlockPlain => {
                at(pace, || plain.unlock());
                Answer::Done
            }
            Act::PassPlain => {
                at(pace, || plain.lock());
                plain.unlock();
                Answer::Done
            }
            Act::TakeAny | Act::TryAny | Act::AnyFor => self.act_on_any(act, pace),
            Act::LockNested | Act::TryNested | Act::UnlockNested | Act::PassNested => self.act_on_nested(act, pace),
            Act::Acquire | Act::TryAcquire | Act::AcquireFor | Act::Release | Act::PassPermit => {
                act_on_permits(&self.scene.permits, &mut self.permits, act, pace)
            }
            Act::AcquireOfTwo => act_on_permits(&self.scene.pair, &mut self.pair, Act::Acquire, pace),
            Act::TryOfTwo => act_on_permits(&self.scene.pair, &mut self.pair, Act::TryAcquire, pace),
            Act::ReleaseOfTwo => act_on_permits(&self.scene.pair, &mut self.pair, Act::Release, pace),
            Act::PassOfTwo => act_on_permits(&self.scene.pair, &mut self.pair, Act::PassPermit, pace),
            Act::Create | Act::Attach | Act::CreateOrAttach | Act::Remove | Act::Detach => self.act_on_cell(act, pace),
            _ => self.act_on_rwlock(act, pace),
        }
    }

    fn keep_lock(&mut self, result: LockResult<MutexGuard<'a, u32, B>>) -> Answer {
        let (guard, answer) = taken(result);
        self.guard = guard;
        answer
    }

    fn met(&self, result: pshared::Result<pshared::BarrierWaitResult>) -> Answer {
        match said(result) {
            (Some(met), _) if met.is_leader() => Answer::Leads,
            (_, answer) => answer,
        }
    }

    fn act_on_nested(&mut self, act: Act, pace: Pace) -> Answer {
        let nested = &self.scene.nested;
        let result = match act {
            Act::UnlockNested => {
                let guard = self.nested.pop();
                at(pace, move || drop(guard));
                return Answer::Done;
            }
            Act::PassNested => return at(pace, || passed(nested.lock())),
            Act::TryNested => at(pace, || nested.try_lock()),
            _ => at(pace, || nested.lock()),
        };
        let (guard, answer) = taken(result);
        self.nested.extend(guard);
        answer
    }

    /// On futexes only.
    fn act_on_any(&self, act: Act, pace: Pace) -> Answer {
        let scene = (self.scene as &dyn Any).downcast_ref::<Scene<Futex>>().expect("a scene on futexes");
        let things: [&dyn pshared::generic::Waitable<Futex>; 3] = [&scene.jobs, &scene.auto, &scene.manual];
        said(match act {
            Act::TryAny => at(pace, || try_wait_any(&things)),
            Act::AnyFor => at(pace, || wait_any(&things, LONG)),
            _ => at(pace, || wait_any(&things, Duration::MAX)),
        })
        .1
    }

    fn act_on_cell(&mut self, act: Act, pace: Pace) -> Answer {
        let name = self.name;
        let result = match act {
            Act::Remove => return said(at(pace, || Shm::<Made<B>>::remove(name))).1,
            Act::Detach => {
                let made = self.made.take();
                at(pace, move || drop(made));
                return Answer::Done;
            }
            Act::Create => at(pace, || Shm::create(name, Made::new)),
            Act::Attach => at(pace, || Shm::open(name)),
            _ => at(pace, || Shm::open_or_create(name, Made::new)),
        };
        let (made, answer) = said(result);
        self.made = made;
        answer
    }

    fn act_on_rwlock(&mut self, act: Act, pace: Pace) -> Answer {
        let lock = &self.scene.rwlock;
        let open = |it| passed::<RwLockUpgradableReadGuard<'_, u32, B, READERS>>(it);
        match act {
            Act::Read => self.keep_read(at(pace, || lock.read())),
            Act::TryRead => self.keep_read(at(pace, || lock.try_read())),
            Act::ReadFor => self.keep_read(at(pace, || lock.try_read_for(LONG))),
            Act::Write => self.keep_write(at(pace, || lock.write())),
            Act::TryWrite => self.keep_write(at(pace, || lock.try_write())),
            Act::WriteFor => self.keep_write(at(pace, || lock.try_write_for(LONG))),
            Act::OpenRead => {
                let (guard, answer) = taken(at(pace, || lock.upgradable_read()));
                self.open = guard;
                answer
            }
            Act::EndRead => {
                let guard = self.reading.take();
                at(pace, move || drop(guard));
                Answer::Done
            }
            Act::EndWrite => {
                let guard = self.writing.take();
                at(pace, move || drop(guard));
                Answer::Done
            }
            Act::EndOpenRead => {
                let guard = self.open.take();
                at(pace, move || drop(guard));
                Answer::Done
            }
            Act::Upgrade => {
                let guard = self.open.take().expect("an upgradable reader");
                let upgraded = at(pace, move || RwLockUpgradableReadGuard::upgrade(guard));
                self.writing = upgraded.ok();
                if self.writing.is_some() { Answer::Done } else { Answer::Failed }
            }
            Act::Downgrade => {
                let guard = self.writing.take().expect("a writer");
                self.reading = Some(at(pace, move || RwLockWriteGuard::downgrade(guard)));
                Answer::Done
            }
            Act::DowngradeOpen => {
                let guard = self.open.take().expect("an upgradable reader");
                self.reading = Some(at(pace, move || RwLockUpgradableReadGuard::downgrade(guard)));
                Answer::Done
            }
            Act::DowngradeToOpen => {
                let guard = self.writing.take().expect("a writer");
                self.open = Some(at(pace, move || RwLockWriteGuard::downgrade_to_upgradable(guard)));
                Answer::Done
            }
            Act::PassRead => at(pace, || passed(lock.read())),
            Act::PassWrite => at(pace, || passed(lock.write())),
            Act::PassOpen => at(pace, || open(lock.upgradable_read())),
            Act::RecoverWrite => {
                let (guard, answer) = said(at(pace, || lock.write_or_recover(|data, _| *data = 0)));
                self.writing = guard;
                answer
            }
            Act::ClearRwPoison => {
                at(pace, || lock.clear_poison());
                Answer::Done
            }
            other => panic!("{other:?} is no act on a reader-writer lock"),
        }
    }

    fn keep_read(&mut self, result: LockResult<RwLockReadGuard<'a, u32, B, READERS>>) -> Answer {
        let (guard, answer) = taken(result);
        self.reading = guard;
        answer
    }

    fn keep_write(&mut self, result: LockResult<RwLockWriteGuard<'a, u32, B, READERS>>) -> Answer {
        let (guard, answer) = taken(result);
        self.writing = guard;
        answer
    }
}

fn act_on_permits<'a, B: Backend, const N: usize>(
    permits: &'a Permits<B, N>,
    hands: &mut Vec<Permit<'a, B, N>>,
    act: Act,
    pace: Pace,
) -> Answer {
    let result = match act {
        Act::Release => {
            let permit = hands.pop();
            at(pace, move || drop(permit));
            return Answer::Done;
        }
        Act::PassPermit => return at(pace, || said(permits.acquire()).1),
        Act::TryAcquire => at(pace, || permits.try_acquire()),
        Act::AcquireFor => at(pace, || permits.acquire_timeout(LONG)),
        _ => at(pace, || permits.acquire()),
    };
    let (permit, answer) = said(result);
    hands.extend(permit);
    answer
}
