//! What workers do with mutexes and reader-writer locks.

use std::time::Instant;

use pshared::generic::{
    MutexGuard, RwLockReadGuard, RwLockUpgradableReadGuard as Upgradable, RwLockWriteGuard as WriteGuard,
};
use pshared::{Cause, Error, LockError, LockResult, Result, UpgradeError};

use crate::Storm;
use crate::arena::READERS;
use crate::desk::{Op, hold};
use crate::ledger::Ledger;
use crate::worker::{How, Kind, Worker, unless_impatient};

pub const MUTEX: Kind = Kind { ledger: 0, name: "mutex", hold: hold::MUTEX, excludes: hold::MUTEX };
pub const REENTRANT: Kind =
    Kind { ledger: 1, name: "reentrant mutex", hold: hold::REENTRANT, excludes: hold::REENTRANT };
pub const WRITE: Kind =
    Kind { ledger: 2, name: "write lock", hold: hold::WRITE, excludes: hold::WRITE | hold::READ | hold::UPGRADABLE };
const UPGRADABLE: Kind =
    Kind { name: "upgradable read lock", hold: hold::UPGRADABLE, excludes: hold::WRITE | hold::UPGRADABLE, ..WRITE };
const READ: Kind = Kind { name: "read lock", hold: hold::READ, excludes: hold::WRITE, ..WRITE };

/// A lock that was taken, with what was said of its last owner; `None` where the call gave up as it was asked to.
type Taken<G> = Option<(G, Option<Cause>)>;

/// What came of taking a lock.
pub fn taken<G>(outcome: LockResult<G>, how: How) -> Result<Taken<G>> {
    match outcome {
        Ok(guard) => Ok(Some((guard, None))),
        Err(LockError::Poisoned(poison)) => {
            let cause = poison.cause();
            Ok(Some((poison.into_inner(), Some(cause))))
        }
        Err(other) => unless_impatient(Err(Error::from(other)), how),
    }
}

type Write<'a, B> = WriteGuard<'a, Ledger, B, READERS>;

impl<'a, B: Storm> Worker<'a, B> {
    fn lock_mutex(&self, how: How) -> Result<Taken<MutexGuard<'a, Ledger, B>>> {
        let mutex = &self.arena.mutex;
        let outcome = self.desk.call(Op::Mutex, || match how {
            How::Forever => mutex.lock(),
            How::Never => mutex.try_lock(),
            How::For(time) => mutex.try_lock_for(time),
            How::Until(moment) => mutex.try_lock_until(moment),
        });
        taken(outcome, how)
    }

    pub fn mutex(&mut self) -> Result<()> {
        let how = self.how();
        self.mutex_as(how)
    }

    pub fn mutex_as(&mut self, how: How) -> Result<()> {
        let arena = self.arena;
        if let Some((mut guard, told)) = self.lock_mutex(how)? {
            self.keep_books(&mut *guard, MUTEX, told, &|| arena.mutex.clear_poison());
        }
        Ok(())
    }

    pub fn reentrant(&mut self) -> Result<()> {
        let (arena, how) = (self.arena, self.how());
        let lock = &arena.reentrant;
        let outcome = self.desk.call(Op::Reentrant, || match how {
            How::Forever => lock.lock(),
            How::Never => lock.try_lock(),
            How::For(time) => lock.try_lock_for(time),
            How::Until(moment) => lock.try_lock_until(moment),
        });
        let Some((guard, told)) = taken(outcome, how)? else { return Ok(()) };
        self.keep_books(&mut &*guard, REENTRANT, told, &|| lock.clear_poison());
        for _ in 0..self.rng.u8(..3) {
            // It is this thread's, so it is had at once, and the first guard keeps it.
            let again = lock.try_lock()?;
            self.keep_books(&mut &*again, REENTRANT, None, &|| ());
        }
        Ok(())
    }

    pub fn read(&mut self) -> Result<()> {
        let (lock, how) = (&self.arena.rwlock, self.how());
        let outcome = self.desk.call(Op::Read, || match how {
            How::Forever => lock.read(),
            How::Never => lock.try_read(),
            How::For(time) => lock.try_read_for(time),
            How::Until(moment) => lock.try_read_until(moment),
        });
        match taken(outcome, how)? {
            None => Ok(()),
            Some((guard, None)) => {
                self.look_while_reading(&guard);
                if self.rng.bool() {
                    // One that reads already gets in at once, whoever waits.
                    let again = self.desk.call(Op::Read, || lock.read())?;
                    self.desk.hold(hold::READ);
                    drop(again);
                    self.look_while_reading(&guard);
                }
                if self.rng.u8(..8) == 0 {
                    self.mutex_as(How::Forever)?; // always in this order
                }
                drop(guard);
                Ok(())
            }
            Some((guard, Some(_))) => {
                drop(guard);
                self.write_as(How::Forever) // who only reads can't put it right
            }
        }
    }

    /// What a reader sees, now and a moment later.
    fn look_while_reading(&mut self, guard: &RwLockReadGuard<'a, Ledger, B, READERS>) {
        self.desk.hold(hold::READ);
        self.look(&**guard, READ, None);
        let before = **guard;
        self.linger();
        if **guard != before {
            self.arena.lost(&format!("read lock: {before:?} became {:?}", **guard));
        }
        self.desk.release(hold::READ);
    }

    pub fn write(&mut self) -> Result<()> {
        let how = self.how();
        self.write_as(how)
    }

    pub fn write_as(&mut self, how: How) -> Result<()> {
        let lock = &self.arena.rwlock;
        let outcome = self.desk.call(Op::Write, || match how {
            How::Forever => lock.write(),
            How::Never => lock.try_write(),
            How::For(time) => lock.try_write_for(time),
            How::Until(moment) => lock.try_write_until(moment),
        });
        match taken(outcome, how)? {
            None => Ok(()),
            Some((guard, told)) => self.written(guard, told),
        }
    }

    /// Keeps the books with the lock held for writing, and lets go of it in one of the possible ways.
    fn written(&mut self, mut guard: Write<'a, B>, told: Option<Cause>) -> Result<()> {
        let arena = self.arena;
        self.keep_books(&mut *guard, WRITE, told, &|| arena.rwlock.clear_poison());
        match self.rng.u8(..4) {
            0 => {
                let guard = WriteGuard::downgrade(guard);
                self.look_while_reading(&guard);
            }
            1 => {
                let guard = WriteGuard::downgrade_to_upgradable(guard);
                return self.upgraded(guard);
            }
            _ => {}
        }
        Ok(())
    }

    pub fn upgradable(&mut self) -> Result<()> {
        let (lock, how) = (&self.arena.rwlock, self.how());
        let outcome = self.desk.call(Op::UpgradableRead, || match how {
            How::Forever => lock.upgradable_read(),
            How::Never => lock.try_upgradable_read(),
            How::For(time) => lock.try_upgradable_read_for(time),
            How::Until(moment) => lock.try_upgradable_read_until(moment),
        });
        match taken(outcome, how)? {
            None => Ok(()),
            Some((guard, None)) => self.upgraded(guard),
            Some((guard, Some(_))) => match self.desk.call(Op::Upgrade, || Upgradable::upgrade(guard)) {
                Err(UpgradeError::Poisoned(poison)) => {
                    let cause = poison.cause();
                    self.written(poison.into_inner(), Some(cause))
                }
                Ok(guard) => {
                    self.arena.lost("upgrade: the poison that the reader was told of is gone");
                    self.written(guard, Some(Cause::OwnerDied))
                }
                Err(UpgradeError::Refused { why, .. }) => Err(why),
            },
        }
    }

    /// Looks at what the lock guards, and perhaps comes to write.
    fn upgraded(&mut self, guard: Upgradable<'a, Ledger, B, READERS>) -> Result<()> {
        self.desk.hold(hold::UPGRADABLE);
        self.look(&*guard, UPGRADABLE, None);
        let before = *guard;
        self.linger();
        if *guard != before {
            self.arena.lost(&format!("upgradable read lock: {before:?} became {:?}", *guard));
        }
        self.desk.release(hold::UPGRADABLE);
        let how = match self.rng.u8(..4) {
            0 => {
                let guard = Upgradable::downgrade(guard);
                self.look_while_reading(&guard);
                return Ok(());
            }
            _ => self.how(),
        };
        let upgraded = self.desk.call(Op::Upgrade, || match how {
            How::Forever => Upgradable::upgrade(guard),
            How::Never => Upgradable::try_upgrade(guard),
            How::For(time) => Upgradable::try_upgrade_for(guard, time),
            How::Until(moment) => Upgradable::try_upgrade_for(guard, moment.saturating_duration_since(Instant::now())),
        });
        match upgraded {
            Ok(guard) => self.written(guard, None),
            Err(UpgradeError::Refused { why, guard }) => {
                drop(guard);
                unless_impatient(Err(why), how).map(|_: Option<()>| ())
            }
            Err(poisoned) => Err(poisoned.into()), // it wasn't, and no writer came in between
        }
    }
}
