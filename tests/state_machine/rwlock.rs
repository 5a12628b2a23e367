//! `RwLock`: readers, writers, what turns from one into the other, and who has to wait for whom.

use pshared::backend::{Backend, RawUpgradableRwLock};
use pshared::generic::{RwLock, RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard};
use pshared::{Cause, Error, LockError, UpgradeError};

use super::{BRIEF, LONG, panic_with, state_machine, taken, tell};
use crate::support::plans::{ACTORS, Expected, Subject};

state_machine!(room_for_all, Model, cases = 160);

/// Each actor can read beside the others.
const READERS: usize = ACTORS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Read,
    Write,
    WriteOrRecover,
    ReadUpgradably,
    /// To turn what is held upgradably into writing.
    Upgrade,
}
use Want::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    Take(Want),
    TakeForLong(Want),
    Try(Want),
    TakeBriefly(Want),
    Change,
    Unlock(Want),
    /// Writing into reading.
    Downgrade,
    DowngradeToUpgradable,
    /// Reading upgradably into just reading.
    DowngradeUpgradable,
    Panic(Want),
    Forget(Want),
    ClearPoison,
}
use Op::*;

struct Hands<'a, B: Backend>
where
    B::RwLock<READERS>: RawUpgradableRwLock,
{
    reads: Vec<RwLockReadGuard<'a, u32, B, READERS>>,
    upgradable: Option<RwLockUpgradableReadGuard<'a, u32, B, READERS>>,
    write: Option<RwLockWriteGuard<'a, u32, B, READERS>>,
}

impl<B: Backend> Default for Hands<'_, B>
where
    B::RwLock<READERS>: RawUpgradableRwLock,
{
    fn default() -> Self {
        Hands { reads: Vec::new(), upgradable: None, write: None }
    }
}

/// What somebody does who keeps others from writing and from reading upgradably.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It waits to write until the readers are out, and lets no more of them in.
    Waits,
    ReadsUpgradably,
    Writes,
}
use Phase::*;

struct Model<B: Backend> {
    /// The reads of each, let in or answered.
    reads: [usize; ACTORS],
    first: Option<(usize, Phase)>,
    /// Who can't let go, having forgotten a guard.
    forgetful: [bool; ACTORS],
    poison: Option<Cause>,
    data: u32,
    waiting: Vec<(usize, Want)>,
    backend: std::marker::PhantomData<B>,
}

impl<B: Backend> Default for Model<B> {
    fn default() -> Self {
        Model {
            reads: [0; ACTORS],
            first: None,
            forgetful: [false; ACTORS],
            poison: None,
            data: 0,
            waiting: Vec::new(),
            backend: std::marker::PhantomData,
        }
    }
}

impl<B: Backend> Model<B> {
    fn do_others_read(&self, actor: usize) -> bool {
        (0..ACTORS).any(|other| other != actor && self.reads[other] > 0)
    }

    fn is(&self, actor: usize, phase: Phase) -> bool {
        self.first == Some((actor, phase))
    }

    /// What whoever gets this says.
    fn given(&self, want: Want) -> String {
        match want {
            WriteOrRecover => tell(None, self.data + u32::from(self.poison.is_some())),
            _ => tell(self.poison, self.data),
        }
    }

    fn give(&mut self, actor: usize, want: Want) -> String {
        let answer = self.given(want);
        match want {
            Read => self.reads[actor] += 1,
            ReadUpgradably => {
                self.first = Some((actor, ReadsUpgradably));
                self.let_readers_in();
            }
            Write | WriteOrRecover | Upgrade => self.first = Some((actor, Writes)),
        }
        if want == WriteOrRecover && self.poison.take().is_some() {
            self.data += 1;
        }
        self.go_on();
        answer
    }

    /// Those who wait to read do so, though they haven't said so yet.
    fn let_readers_in(&mut self) {
        for (actor, want) in &self.waiting {
            if *want == Read {
                self.reads[*actor] = 1;
            }
        }
    }

    fn give_back(&mut self) {
        self.first = None;
        self.let_readers_in();
        self.go_on();
    }

    /// Who waits to write, and finds nobody but readers, comes before the readers to come.
    fn go_on(&mut self) {
        let waits_outside = |(actor, want): &&(usize, Want)| *want == Read && self.reads[*actor] == 0;
        if self.first.is_some() || self.waiting.iter().any(|waiting| waits_outside(&waiting)) {
            return;
        }
        let writer = self.waiting.iter().find(|(_, want)| matches!(want, Write | WriteOrRecover));
        if let Some((actor, _)) = writer.filter(|(actor, _)| self.do_others_read(*actor)) {
            self.first = Some((*actor, Waits));
        }
    }

    /// Whether somebody who waits, or has just come, has what it wants if it takes it now.
    fn is_free_for(&self, actor: usize, want: Want) -> bool {
        match (want, self.first) {
            (Read, _) if self.reads[actor] > 0 => true,
            (Read, first) => matches!(first, None | Some((_, ReadsUpgradably))),
            (ReadUpgradably, first) => first.is_none(),
            (Write | WriteOrRecover | Upgrade, first) => {
                first.is_none_or(|(of, phase)| of == actor && (want == Upgrade || phase == Waits))
                    && !self.do_others_read(actor)
            }
        }
    }

    /// Whether it would wait for itself.
    fn is_in_its_own_way(&self, actor: usize, want: Want) -> bool {
        match want {
            Read => self.is(actor, Writes),
            Upgrade => self.reads[actor] > 0,
            _ => self.reads[actor] > 0 || self.first.is_some_and(|(of, _)| of == actor),
        }
    }

    /// Whether more than one waits for this actor alone. If it goes on to read, any of them may be the next, and those
    /// who want to write wouldn't say so.
    fn would_leave_it_open_who_is_next(&self) -> bool {
        self.waiting.iter().filter(|(_, want)| *want != Read).count() > 1
    }

    fn has_guard(&self, actor: usize, want: Want) -> bool {
        match want {
            Read => self.reads[actor] > 0 && !self.forgetful[actor],
            ReadUpgradably | Upgrade => self.is(actor, ReadsUpgradably) && !self.forgetful[actor],
            Write | WriteOrRecover => self.is(actor, Writes) && !self.forgetful[actor],
        }
    }

    /// A guard is gone.
    fn unlock(&mut self, actor: usize, want: Want) {
        if want == Read {
            self.reads[actor] -= 1;
        } else {
            self.give_back();
        }
    }
}

fn take<'a, B: Backend>(
    lock: &'a RwLock<u32, B, READERS>,
    hands: &mut Hands<'a, B>,
    op: Op,
    want: Want,
) -> Result<String, &'static str>
where
    B::RwLock<READERS>: RawUpgradableRwLock,
{
    match want {
        Read => {
            let (guard, cause) = taken(match op {
                Take(_) => lock.read(),
                TakeForLong(_) => lock.try_read_for(LONG),
                Try(_) => lock.try_read(),
                _ => lock.try_read_for(BRIEF),
            })?;
            let answer = tell(cause, *guard);
            hands.reads.push(guard);
            Ok(answer)
        }
        ReadUpgradably => {
            let (guard, cause) = taken(match op {
                Take(_) => lock.upgradable_read(),
                TakeForLong(_) => lock.try_upgradable_read_for(LONG),
                Try(_) => lock.try_upgradable_read(),
                _ => lock.try_upgradable_read_for(BRIEF),
            })?;
            let answer = tell(cause, *guard);
            hands.upgradable = Some(guard);
            Ok(answer)
        }
        Write | WriteOrRecover | Upgrade => {
            let (guard, cause) = taken(match (want, op) {
                (WriteOrRecover, _) => lock.write_or_recover(|data, _| *data += 1).map_err(lock_error),
                (Upgrade, _) => upgrade(hands, op),
                (_, Take(_)) => lock.write(),
                (_, TakeForLong(_)) => lock.try_write_for(LONG),
                (_, Try(_)) => lock.try_write(),
                _ => lock.try_write_for(BRIEF),
            })?;
            let answer = tell(cause, *guard);
            hands.write = Some(guard);
            Ok(answer)
        }
    }
}

fn upgrade<'a, B: Backend>(
    hands: &mut Hands<'a, B>,
    op: Op,
) -> Result<RwLockWriteGuard<'a, u32, B, READERS>, LockError<RwLockWriteGuard<'a, u32, B, READERS>>>
where
    B::RwLock<READERS>: RawUpgradableRwLock,
{
    let guard = hands.upgradable.take().unwrap();
    let upgraded = match op {
        Take(_) => RwLockUpgradableReadGuard::upgrade(guard),
        TakeForLong(_) => RwLockUpgradableReadGuard::try_upgrade_for(guard, LONG),
        Try(_) => RwLockUpgradableReadGuard::try_upgrade(guard),
        _ => RwLockUpgradableReadGuard::try_upgrade_for(guard, BRIEF),
    };
    upgraded.map_err(|error| match error {
        UpgradeError::Poisoned(poison) => LockError::Poisoned(poison),
        UpgradeError::Refused { guard, why } => {
            hands.upgradable = Some(guard);
            lock_error(why)
        }
    })
}

fn lock_error<G>(error: Error) -> LockError<G> {
    match error {
        Error::WouldBlock => LockError::WouldBlock,
        Error::TimedOut => LockError::TimedOut,
        Error::WouldDeadlock => LockError::WouldDeadlock,
        other => LockError::Failed(other),
    }
}

impl<B: Backend> Subject for Model<B>
where
    B::RwLock<READERS>: RawUpgradableRwLock,
{
    type Shared = RwLock<u32, B, READERS>;
    type Op = Op;
    type Hands<'a> = Hands<'a, B>;
    const OPS: &'static [Op] = &[
        Take(Read),
        Take(Read),
        Take(Read),
        TakeForLong(Read),
        Try(Read),
        TakeBriefly(Read),
        Take(Write),
        Take(Write),
        Take(Write),
        TakeForLong(Write),
        Try(Write),
        TakeBriefly(Write),
        Take(WriteOrRecover),
        Take(ReadUpgradably),
        Take(ReadUpgradably),
        TakeForLong(ReadUpgradably),
        Try(ReadUpgradably),
        TakeBriefly(ReadUpgradably),
        Take(Upgrade),
        Take(Upgrade),
        TakeForLong(Upgrade),
        Try(Upgrade),
        TakeBriefly(Upgrade),
        Change,
        Change,
        Unlock(Read),
        Unlock(Read),
        Unlock(Read),
        Unlock(Write),
        Unlock(Write),
        Unlock(ReadUpgradably),
        Unlock(ReadUpgradably),
        Downgrade,
        Downgrade,
        DowngradeToUpgradable,
        DowngradeUpgradable,
        Panic(Read),
        Panic(Write),
        Forget(Read),
        Forget(Write),
        Forget(ReadUpgradably),
        ClearPoison,
    ];

    fn new_shared() -> Self::Shared {
        RwLock::with_readers(0)
    }

    fn act<'a>(lock: &'a Self::Shared, hands: &mut Hands<'a, B>, op: Op) -> String {
        match op {
            Take(want) | TakeForLong(want) | Try(want) | TakeBriefly(want) => {
                return take(lock, hands, op, want).unwrap_or_else(Into::into);
            }
            Change => **hands.write.as_mut().unwrap() += 1,
            Unlock(Read) => drop(hands.reads.pop().unwrap()),
            Unlock(ReadUpgradably) => drop(hands.upgradable.take().unwrap()),
            Unlock(_) => drop(hands.write.take().unwrap()),
            Downgrade => hands.reads.push(RwLockWriteGuard::downgrade(hands.write.take().unwrap())),
            DowngradeToUpgradable => {
                hands.upgradable = Some(RwLockWriteGuard::downgrade_to_upgradable(hands.write.take().unwrap()));
            }
            DowngradeUpgradable => {
                hands.reads.push(RwLockUpgradableReadGuard::downgrade(hands.upgradable.take().unwrap()));
            }
            Panic(Read) => panic_with(hands.reads.pop().unwrap()),
            Panic(_) => panic_with(hands.write.take().unwrap()),
            Forget(Read) => std::mem::forget(hands.reads.pop().unwrap()),
            Forget(ReadUpgradably) => std::mem::forget(hands.upgradable.take().unwrap()),
            Forget(_) => std::mem::forget(hands.write.take().unwrap()),
            ClearPoison => lock.clear_poison(),
        }
        "done".into()
    }

    fn look(lock: &Self::Shared, _: &dyn Fn(u32) -> usize) -> String {
        let (locked, exclusive) = (lock.is_locked(), lock.is_locked_exclusive());
        format!("locked {locked}, exclusively {exclusive}, poisoned {}", lock.is_poisoned())
    }

    fn seen(&self) -> String {
        let exclusive = matches!(self.first, Some((_, Writes)));
        let locked = exclusive || matches!(self.first, Some((_, ReadsUpgradably))) || self.reads != [0; ACTORS];
        format!("locked {locked}, exclusively {exclusive}, poisoned {}", self.poison.is_some())
    }

    fn told(&mut self, actor: usize, op: Op) -> Expected {
        let reads_on = self.reads[actor] > 0 || matches!(op, Downgrade | DowngradeUpgradable);
        match op {
            Take(want) | TakeForLong(want) | Try(want) | TakeBriefly(want) => {
                if want == Upgrade && !self.has_guard(actor, Upgrade) {
                    return Expected::Nothing;
                }
                if self.is_free_for(actor, want) && !self.is_in_its_own_way(actor, want) {
                    return Expected::Answer(self.give(actor, want));
                }
                return match op {
                    Try(_) => Expected::Answer("WouldBlock".into()),
                    _ if self.is_in_its_own_way(actor, want) => Expected::Answer("WouldDeadlock".into()),
                    TakeBriefly(_) => Expected::Answer("TimedOut".into()),
                    _ => {
                        self.waiting.push((actor, want));
                        match want {
                            Upgrade => self.first = Some((actor, Waits)),
                            _ => self.go_on(),
                        }
                        Expected::Sleep
                    }
                };
            }
            ClearPoison => self.poison = None,
            Change if self.has_guard(actor, Write) => self.data += 1,
            DowngradeToUpgradable if self.has_guard(actor, Write) => {
                self.first = Some((actor, ReadsUpgradably));
                self.let_readers_in();
            }
            Forget(want) if self.has_guard(actor, want) => self.forgetful[actor] = true,
            Unlock(Read) | Panic(Read) if self.has_guard(actor, Read) => self.unlock(actor, Read),
            Unlock(_) | Panic(_) | Downgrade | DowngradeUpgradable => {
                let held = match op {
                    Unlock(want) | Panic(want) => want,
                    Downgrade => Write,
                    _ => ReadUpgradably,
                };
                let unclear = reads_on && self.would_leave_it_open_who_is_next();
                if held == Read || !self.has_guard(actor, held) || unclear {
                    return Expected::Nothing;
                }
                if matches!(op, Downgrade | DowngradeUpgradable) {
                    self.reads[actor] += 1;
                }
                if matches!(op, Panic(_)) {
                    self.poison.get_or_insert(Cause::Panicked);
                }
                self.unlock(actor, held);
            }
            _ => return Expected::Nothing,
        }
        Expected::Answer("done".into())
    }

    fn next(&self) -> Vec<(usize, String)> {
        let may_go_on = self.waiting.iter().filter(|(actor, want)| self.is_free_for(*actor, *want));
        may_go_on.map(|(actor, want)| (*actor, self.given(*want))).collect()
    }

    fn came_through(&mut self, actor: usize) {
        let at = self.waiting.iter().position(|(waiting, _)| *waiting == actor).unwrap();
        let (_, want) = self.waiting.remove(at);
        self.reads[actor] = 0; // if it was let in, that was this
        self.give(actor, want);
    }

    fn may_let_go(&self, actor: usize) -> bool {
        !self.forgetful[actor]
    }

    fn let_go(&mut self, actor: usize) {
        self.reads[actor] = 0;
        if self.first.is_some_and(|(of, _)| of == actor) {
            self.give_back();
        }
    }

    /// Nobody was let in by it.
    fn died(&mut self, actor: usize) {
        self.waiting.retain(|(waiting, _)| *waiting != actor);
        (self.reads[actor], self.forgetful[actor]) = (0, false);
        if let Some((_, phase)) = self.first.filter(|(of, _)| *of == actor) {
            self.first = None;
            if phase == Writes {
                self.poison = Some(Cause::OwnerDied);
            }
        }
        self.go_on();
    }
}
