//! What workers do with everything that nobody owns, and with permits.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pshared::generic::MutexGuard;
use pshared::{Cause, Error, Result};

use crate::Storm;
use crate::arena::{Mail, PAGES, Page};
use crate::desk::{Op, hold};
use crate::lane::{LANES, LIMITED};
use crate::ledger;
use crate::locks::taken;
use crate::worker::{How, Kind, Worker, unless_impatient};

/// To its ledger nothing is ever added: letters are counted.
pub const MAILBOX: Kind = Kind { ledger: 3, name: "mailbox", hold: hold::MAILBOX, excludes: hold::MAILBOX };

/// So many permits or letters are enough for now.
const PLENTY: u64 = 6;

impl<'a, B: Storm> Worker<'a, B> {
    /// Puts a letter into the mailbox, or takes one out.
    pub fn mail(&mut self) -> Result<()> {
        let Some(mut mail) = self.open_mailbox(How::Forever)? else { return Ok(()) };
        if mail.letters < PLENTY && self.rng.bool() {
            self.put_letter(mail);
            return Ok(());
        }
        let how = self.how();
        while mail.letters == 0 {
            let arrived = &self.arena.arrived;
            self.shut(&mut mail);
            let outcome = self.desk.call(Op::Condvar, || match how {
                How::Forever => arrived.wait(mail).map(|mail| (mail, false)).map_err(|e| e.map(|mail| (mail, false))),
                How::For(time) => arrived
                    .wait_timeout(mail, time)
                    .map(|(mail, result)| (mail, result.timed_out()))
                    .map_err(|e| e.map(|(mail, result)| (mail, result.timed_out()))),
                How::Until(moment) => arrived
                    .wait_while_until(mail, moment, |mail| mail.letters == 0)
                    .map(|(mail, result)| (mail, result.timed_out()))
                    .map_err(|e| e.map(|(mail, result)| (mail, result.timed_out()))),
                How::Never => arrived
                    .wait_timeout_while(mail, Duration::ZERO, |mail| mail.letters == 0)
                    .map(|(mail, result)| (mail, result.timed_out()))
                    .map_err(|e| e.map(|(mail, result)| (mail, result.timed_out()))),
            });
            let Some(((again, timed_out), told)) = taken(outcome, How::Forever)? else { return Ok(()) };
            mail = self.opened(again, told);
            if timed_out && mail.letters == 0 {
                self.shut(&mut mail);
                return Ok(());
            }
        }
        mail.taken += 1;
        self.linger();
        mail.letters -= 1;
        self.shut(&mut mail);
        Ok(())
    }

    pub fn open_mailbox(&self, how: How) -> Result<Option<MutexGuard<'a, Mail, B>>> {
        let mailbox = &self.arena.mailbox;
        let outcome = self.desk.call(Op::Mailbox, || match how {
            How::Never => mailbox.try_lock(),
            How::For(time) => mailbox.try_lock_for(time),
            How::Until(moment) => mailbox.try_lock_until(moment),
            How::Forever => mailbox.lock(),
        });
        Ok(taken(outcome, how)?.map(|(mail, told)| self.opened(mail, told)))
    }

    /// Looks at what is in the mailbox; after a death, sees to it that nobody sleeps beside a letter: the victim may not
    /// have come to say that it put one there.
    fn opened(&self, mut mail: MutexGuard<'a, Mail, B>, told: Option<Cause>) -> MutexGuard<'a, Mail, B> {
        self.desk.hold(hold::MAILBOX);
        self.look(&mail.ledger, MAILBOX, told);
        if told.is_some() {
            mail.repair();
            self.repair(&mut mail.ledger, MAILBOX);
            self.arena.mailbox.clear_poison();
            self.arena.arrived.notify_all();
        } else if mail.letters != mail.put - mail.taken {
            self.arena.lost(&format!(
                "mailbox: half-written and nobody says so: {} letters, {} put, {} taken",
                mail.letters, mail.put, mail.taken
            ));
            mail.repair();
        }
        ledger::Steps::sign(&mut mail.ledger, self.life);
        mail
    }

    /// Puts a letter there and says so, before anybody else can open the mailbox.
    pub fn put_letter(&mut self, mut mail: MutexGuard<'a, Mail, B>) {
        mail.put += 1;
        self.linger();
        mail.letters += 1;
        match self.rng.u8(..8) {
            0 => self.arena.arrived.notify_all(),
            _ => self.arena.arrived.notify_one(),
        }
        self.shut(&mut mail);
    }

    pub fn shut(&self, mail: &mut Mail) {
        ledger::Steps::sign(&mut mail.ledger, 0);
        self.desk.release(hold::MAILBOX);
    }

    pub fn semaphore(&mut self) -> Result<()> {
        let lane = self.rng.usize(..LANES);
        let value = self.arena.lanes[lane].value();
        match self.rng.u8(..10) {
            0..=4 if u64::from(value) < PLENTY => {
                let permits = if self.rng.u8(..4) == 0 { self.rng.u8(1..=3) } else { 1 };
                match self.post(lane, permits) {
                    Err(Error::TooManyPermits { .. }) if lane == LIMITED => Ok(()),
                    outcome => outcome,
                }
            }
            _ => {
                let how = self.how();
                unless_impatient(self.take(lane, how), how).map(drop)
            }
        }
    }

    pub fn post(&self, lane: usize, permits: u8) -> Result<()> {
        let semaphore = &self.arena.lanes[lane];
        let post = || if permits == 1 { semaphore.post() } else { semaphore.post_many(u32::from(permits)) };
        self.desk.call(Op::Semaphore, || self.desk.lanes[lane].book(permits as i8, post))
    }

    pub fn take(&self, lane: usize, how: How) -> Result<()> {
        let semaphore = &self.arena.lanes[lane];
        let take = || match how {
            How::Forever => semaphore.wait(),
            How::Never => semaphore.try_wait(),
            How::For(time) => semaphore.wait_timeout(time),
            How::Until(moment) => semaphore.wait_until(moment),
        };
        self.desk.call(Op::Semaphore, || self.desk.lanes[lane].book(-1, take))
    }

    /// Nobody counts what these are given: one more changes nothing. What matters is that whoever waits gets through.
    pub fn binary_or_event(&mut self) -> Result<()> {
        let (arena, how) = (self.arena, self.how());
        let (op, event) = match self.rng.u8(..3) {
            0 => return self.binary(how),
            1 => (Op::AutoEvent, &arena.auto),
            _ => (Op::ManualEvent, &arena.manual),
        };
        match self.rng.u8(..4) {
            0 => event.set(),
            1 => event.reset(),
            _ => {
                let outcome = self.desk.call(op, || match how {
                    How::Forever => event.wait(),
                    How::Never => event.try_wait(),
                    How::For(time) => event.wait_timeout(time),
                    How::Until(moment) => event.wait_until(moment),
                });
                unless_impatient(outcome, how).map(drop)
            }
        }
    }

    fn binary(&mut self, how: How) -> Result<()> {
        let binary = &self.arena.binary;
        if self.rng.u8(..3) == 0 {
            return binary.post();
        }
        let outcome = self.desk.call(Op::Binary, || match how {
            How::Forever => binary.wait(),
            How::Never => binary.try_wait(),
            How::For(time) => binary.wait_timeout(time),
            How::Until(moment) => binary.wait_until(moment),
        });
        unless_impatient(outcome, how).map(drop)
    }

    /// Waits for any of a semaphore and two events, where the backend can.
    pub fn several(&mut self) -> Result<()> {
        let (lane, time) = (self.rng.usize(..LANES), Duration::from_micros(self.rng.u64(..5000)));
        let semaphore = &self.arena.lanes[lane];
        let mut which = Ok(usize::MAX);
        // Only a permit of the semaphore is to be booked.
        let booked = self.desk.call(Op::Any, || {
            self.desk.lanes[lane].book(-1, || {
                which = B::wait_any(semaphore, [&self.arena.auto, &self.arena.manual], time);
                if which == Ok(0) { Ok(()) } else { Err(()) }
            })
        });
        match (booked, which) {
            (Ok(()), _) | (_, Ok(_) | Err(Error::TimedOut)) => Ok(()),
            (_, Err(error)) => Err(error),
        }
    }

    pub fn permit(&mut self) -> Result<()> {
        let (permits, how) = (&self.arena.permits, self.how());
        let outcome = self.desk.call(Op::Permits, || match how {
            How::Forever => permits.acquire(),
            How::Never => permits.try_acquire(),
            How::For(time) => permits.acquire_timeout(time),
            How::Until(moment) => permits.acquire_until(moment),
        });
        let Some(permit) = unless_impatient(outcome, how)? else { return Ok(()) };
        let number = self.desk.permit.load(Ordering::Relaxed) + 1;
        self.desk.permit.store(number, Ordering::SeqCst);
        self.desk.hold(hold::PERMIT);
        self.arena.permits_are_not_too_many();
        self.linger();
        if self.rng.u8(..4) == 0 {
            self.read()?;
        }
        self.desk.release(hold::PERMIT);
        drop(permit);
        Ok(())
    }

    /// Comes to the barrier, where others come too, or the keeper in the end.
    pub fn meet(&mut self) -> Result<()> {
        let time = (self.rng.u8(..4) == 0).then(|| Duration::from_micros(self.rng.u64(..20_000)));
        self.meet_for(time).map(drop)
    }

    /// Says whether the round was completed. A broken barrier is made whole.
    pub fn meet_for(&self, time: Option<Duration>) -> Result<bool> {
        let (desk, barrier) = (self.desk, &self.arena.barrier);
        desk.at_barrier.store(true, Ordering::SeqCst);
        let met = desk.call(Op::Barrier, || time.map_or_else(|| barrier.wait(), |time| barrier.wait_timeout(time)));
        if let Ok(met) = met {
            let one = if met.is_leader() { 1 << 32 } else { 1 };
            desk.rounds.store(desk.rounds.load(Ordering::Relaxed) + one, Ordering::SeqCst);
        }
        desk.at_barrier.store(false, Ordering::SeqCst);
        match met {
            Ok(_) => Ok(true),
            Err(Error::TimedOut) if time.is_none() => Err(Error::TimedOut),
            Err(Error::BarrierBroken | Error::TimedOut) => desk.call(Op::Barrier, || barrier.reset()).map(|()| false),
            Err(error) => Err(error),
        }
    }

    /// Does what is to be done once on the page that everybody is at, or waits until somebody has.
    pub fn chapter(&mut self) -> Result<()> {
        let chapter = self.open_chapter()?;
        let number = chapter.page.load(Ordering::SeqCst) as usize % PAGES;
        let page = &chapter.pages[number];
        match self.rng.u8(..6) {
            0 => self.wait_for(page),
            1..=3 => self.do_once(page, number),
            _ => self.make_value(page, number),
        }
    }

    fn wait_for(&mut self, page: &Page<B>) -> Result<()> {
        match self.rng.bool() {
            true => self.desk.call(Op::Once, || page.once.wait()).map(|()| self.look_at_once(page)),
            false => self.desk.call(Op::OnceLock, || page.value.wait()).map(|value| self.look_at_value(page, *value)),
        }
    }

    pub fn do_once(&mut self, page: &Page<B>, number: usize) -> Result<()> {
        let (desk, mark) = (self.desk, self.life | 1);
        desk.call(Op::Once, || {
            page.once.call_once(|| {
                desk.hold(hold::ONCE << number);
                self.arena.nobody_holds(hold::ONCE << number, self.at, "once");
                if page.complete.load(Ordering::SeqCst) {
                    self.arena.lost("once: done already, and done again");
                }
                page.done[0].store(mark, Ordering::SeqCst);
                self.take_time();
                page.done[1].store(mark, Ordering::SeqCst);
                desk.release(hold::ONCE << number);
            })
        })?;
        self.look_at_once(page);
        Ok(())
    }

    fn look_at_once(&self, page: &Page<B>) {
        page.complete.store(true, Ordering::SeqCst);
        let [one, other] = [0, 1].map(|at| page.done[at].load(Ordering::SeqCst));
        if one == 0 || one != other {
            self.arena.lost(&format!("once: done, but only half: {one:#x}, {other:#x}"));
        }
    }

    pub fn make_value(&mut self, page: &Page<B>, number: usize) -> Result<()> {
        let (desk, mark) = (self.desk, self.life | 1);
        let value = *desk.call(Op::OnceLock, || {
            page.value.get_or_init(|| {
                desk.hold(hold::ONCE_LOCK << number);
                self.arena.nobody_holds(hold::ONCE_LOCK << number, self.at, "once lock");
                self.take_time();
                desk.release(hold::ONCE_LOCK << number);
                [mark, mark]
            })
        })?;
        self.look_at_value(page, value);
        Ok(())
    }

    fn look_at_value(&self, page: &Page<B>, value: [u64; 2]) {
        let [one, other] = value;
        let seen = page.seen.compare_exchange(0, one, Ordering::SeqCst, Ordering::SeqCst);
        if one == 0 || one != other || seen.is_err_and(|seen| seen != one) {
            self.arena.lost(&format!("once lock: {one:#x} and {other:#x}, and {seen:?} before"));
        }
    }
}
