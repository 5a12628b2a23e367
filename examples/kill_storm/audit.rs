//! What must hold when everybody stands still or is dead, and a process that never was there before.

use std::sync::atomic::Ordering;
use std::thread;

use pshared::generic::Permit;
use pshared::{Error, LockError, LockResult, Result};

use crate::Storm;
use crate::arena::{Arena, PARTICIPANTS, PERMITS};
use crate::desk::{Desk, Op};
use crate::lane::{self, LANES, LIMIT, LIMITED};
use crate::ledger::{self, Known, Ledger, Steps};
use crate::locks::{MUTEX, REENTRANT, WRITE};
use crate::rounds::Rounds;
use crate::signals::MAILBOX;
use crate::worker::{How, Kind, Worker};

/// What the desks don't say of those who were killed, since the last time that all was balanced.
#[derive(Default)]
pub struct Open {
    pub lanes: [Vec<i8>; LANES],
    pub rounds: u64,
    /// What the calls that were open came to, so far.
    adopted: [i64; LANES],
    balanced: Rounds,
}

impl Open {
    /// Takes from a desk what its process, which has ended, left open there.
    pub fn close(&mut self, desk: &Desk) {
        for (lane, open) in desk.lanes.iter().zip(&mut self.lanes) {
            open.extend(Some(lane.close()).filter(|amount| *amount != 0));
        }
        self.rounds += u64::from(desk.at_barrier.load(Ordering::SeqCst));
        desk.clear();
    }
}

/// Balances the books. Nobody else uses the arena meanwhile, and nothing is waited for.
pub fn audit<B: Storm>(arena: &Arena<B>, open: &mut Open) {
    at_rest(arena, arena.mutex.try_lock(), |guard| **guard, MUTEX);
    at_rest(arena, arena.reentrant.try_lock(), |guard| (&**guard).read(), REENTRANT);
    at_rest(arena, arena.rwlock.try_write(), |guard| **guard, WRITE);
    at_rest(arena, arena.mailbox.try_lock(), |guard| guard.ledger, MAILBOX);
    let available = arena.permits.available();
    if available != PERMITS {
        arena.lost(&format!("{available} of {PERMITS} permits are there when nobody has one"));
    }
    for (number, semaphore) in arena.lanes.iter().enumerate() {
        let value = i64::from(semaphore.value());
        let net: i64 = arena.desks.iter().map(|desk| desk.lanes[number].net()).sum();
        let expected = net + open.adopted[number];
        let (difference, is_possible) = lane::balance(value, expected, &open.lanes[number]);
        if !is_possible || number == LIMITED && value > i64::from(LIMIT) {
            let calls = &open.lanes[number];
            arena.lost(&format!("semaphore {number} has {value}, not {expected}, which {calls:?} don't explain"));
        }
        open.adopted[number] += difference;
        open.lanes[number].clear();
    }
    if arena.binary.value() > 1 {
        arena.lost("the binary semaphore has more than one permit");
    }
    let waiting = arena.barrier.waiting();
    if waiting > 0 {
        arena.lost(&format!("{waiting} wait at the barrier when nobody is there"));
    }
    let words = arena.desks.iter().map(|desk| Rounds::of(desk.rounds.load(Ordering::SeqCst)));
    let all = words.fold(Rounds::default(), |all, one| all + one);
    let rounds = all - open.balanced;
    if !rounds.are_possible(PARTICIPANTS as u64, open.rounds) {
        arena.lost(&format!("barrier: {rounds:?} were told of completed rounds, {} killed meanwhile", open.rounds));
    }
    open.balanced = all;
    open.rounds = 0;
}

/// A lock that nobody can have: it is free, and in order or poisoned.
fn at_rest<B: Storm, G>(arena: &Arena<B>, outcome: LockResult<G>, read: impl Fn(&G) -> Ledger, kind: Kind) {
    match outcome {
        Ok(guard) => {
            let known = Known { added: arena.added(kind.ledger), killing: arena.killing.load(Ordering::SeqCst) };
            if let Some(what) = ledger::wrong(read(&guard), None, known) {
                arena.lost(&format!("{}, at rest: {what}", kind.name));
            }
        }
        Err(LockError::Poisoned(_)) => {} // whoever takes it next puts it right
        Err(error) => arena.lost(&format!("{}, which nobody has: {error}", kind.name)),
    }
}

impl<B: Storm> Worker<'_, B> {
    /// Uses everything twice, in a process that comes from nowhere. Nobody else is there.
    pub fn inspect(&mut self) -> Result<()> {
        for _ in 0..2 {
            self.mutex_as(How::Forever)?;
            self.reentrant()?;
            self.write_as(How::Forever)?;
            self.read()?;
            self.upgradable()?;
            self.mail_to_oneself()?;
            for lane in 0..LANES {
                if lane != LIMITED || self.arena.lanes[lane].value() < LIMIT {
                    self.post(lane, 1)?;
                }
                self.take(lane, How::Forever)?;
            }
            self.signals()?;
            self.all_permits()?;
            self.meet_oneself()?;
            let chapter = self.open_chapter()?;
            self.do_once(&chapter.pages[0], 0)?;
            self.make_value(&chapter.pages[0], 0)?;
        }
        Ok(())
    }

    fn mail_to_oneself(&mut self) -> Result<()> {
        let arena = self.arena;
        if let Some(mut mail) = self.open_mailbox(How::Forever)? {
            mail.put = 0;
            mail.taken = 0;
            mail.letters = 0;
            self.shut(&mut mail);
        }
        self.desk.call(Op::Condvar, || {
            thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    let mut mail = arena.arrived.wait_while(arena.mailbox.lock()?, |mail| mail.letters == 0)?;
                    mail.letters -= 1;
                    mail.taken += 1;
                    Ok::<(), Error>(())
                });
                let mut mail = arena.mailbox.lock()?;
                mail.letters += 1;
                mail.put += 1;
                arena.arrived.notify_one();
                drop(mail);
                waiter.join().unwrap_or(Err(Error::WouldBlock))
            })
        })
    }

    fn signals(&self) -> Result<()> {
        let arena = self.arena;
        arena.binary.post()?;
        self.desk.call(Op::Binary, || arena.binary.wait())?;
        arena.auto.set()?;
        self.desk.call(Op::AutoEvent, || arena.auto.wait())?;
        arena.manual.set()?;
        self.desk.call(Op::ManualEvent, || arena.manual.wait())?;
        arena.manual.reset()?;
        for busy in [arena.binary.try_wait(), arena.auto.try_wait(), arena.manual.try_wait()] {
            if busy != Err(Error::WouldBlock) {
                arena.lost(&format!("what was taken is there again: {busy:?}"));
            }
        }
        Ok(())
    }

    fn all_permits(&self) -> Result<()> {
        let permits = &self.arena.permits;
        let acquire = |_| self.desk.call(Op::Permits, || permits.acquire());
        let all = (0..PERMITS).map(acquire).collect::<Result<Vec<Permit<'_, B, PERMITS>>>>()?;
        if permits.available() > 0 || !matches!(permits.try_acquire(), Err(Error::WouldBlock)) {
            self.arena.lost(&format!("there are more permits than {PERMITS}"));
        }
        drop(all);
        Ok(())
    }

    fn meet_oneself(&self) -> Result<()> {
        let barrier = &self.arena.barrier;
        self.desk.call(Op::Barrier, || barrier.reset())?;
        let leaders = self.desk.call(Op::Barrier, || {
            thread::scope(|scope| {
                let all: Vec<_> = (0..PARTICIPANTS).map(|_| scope.spawn(|| barrier.wait())).collect();
                let met = all.into_iter().map(|one| one.join().unwrap_or(Err(Error::WouldBlock)));
                met.map(|met| met.map(|met| usize::from(met.is_leader()))).sum::<Result<usize>>()
            })
        })?;
        if leaders != 1 {
            self.arena.lost(&format!("barrier: a round with {leaders} leaders"));
        }
        Ok(())
    }
}
