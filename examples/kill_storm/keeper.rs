//! The keeper: a process that nobody kills, which sees to it that whatever somebody waits for comes.
//!
//! Where there is nothing to be had it gives one: a permit, a letter, a signal, its presence at the barrier. It never gives
//! more while there is one, so whoever sleeps beside what it waits for goes on sleeping, and is found stuck.

use std::os::unix::process::parent_id;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use pshared::{Error, Result};

use crate::Storm;
use crate::arena::{PAGES, PARTICIPANTS, phase};
use crate::lane::LANES;
use crate::worker::{How, Worker};

/// More permits than this become fewer again.
const TOO_MANY: u32 = 12;

/// So often in a row a round is seen waiting before the keeper ends it.
const LONG: u32 = 4;

impl<B: Storm> Worker<'_, B> {
    /// Keeps the arena going for as long as the boss lives.
    pub fn keep(&mut self, boss: u32) {
        let mut seen_waiting = 0;
        while parent_id() == boss {
            let phase = self.arena.phase();
            if phase == phase::QUIET {
                self.stand_still_until(|phase| phase != phase::QUIET);
                continue;
            }
            // In the storm there is no hurry: let them sleep for a while.
            let is_urgent = phase == phase::GATHERING;
            if let Err(error) = self.give(is_urgent).and_then(|()| self.end_round(&mut seen_waiting, is_urgent)) {
                self.arena.lost(&format!("an error that nothing explains, the keeper's: {error}"));
            }
            thread::sleep(Duration::from_micros(if is_urgent { 200 } else { 1000 }));
        }
    }

    fn give(&mut self, is_urgent: bool) -> Result<()> {
        for lane in 0..LANES {
            match self.arena.lanes[lane].value() {
                0 if is_urgent || self.rng.u8(..4) == 0 => self.post(lane, 1)?,
                TOO_MANY.. => match self.take(lane, How::Never) {
                    Ok(()) | Err(Error::WouldBlock) => {}
                    Err(error) => return Err(error),
                },
                _ => {}
            }
        }
        if self.arena.binary.value() == 0 && (is_urgent || self.rng.u8(..4) == 0) {
            self.arena.binary.post()?;
        }
        for event in [&self.arena.auto, &self.arena.manual] {
            if !event.is_set() && (is_urgent || self.rng.u8(..4) == 0) {
                event.set()?;
            }
        }
        if (is_urgent || self.rng.u8(..4) == 0)
            && let Some(mut mail) = self.open_mailbox(How::For(Duration::from_millis(20)))?
        {
            match mail.letters {
                0 => self.put_letter(mail),
                _ => self.shut(&mut mail),
            }
        }
        if is_urgent || self.rng.u8(..16) == 0 {
            self.turn_page()?;
        }
        Ok(())
    }

    /// Sees to it that all is done on the page that everybody is at, and turns it.
    fn turn_page(&mut self) -> Result<()> {
        let chapter = self.open_chapter()?;
        let number = chapter.page.load(Ordering::SeqCst) as usize % PAGES;
        self.do_once(&chapter.pages[number], number)?;
        self.make_value(&chapter.pages[number], number)?;
        if number + 1 < PAGES {
            chapter.page.store(number as u32 + 1, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Comes to the barrier as the last one, or sends home those who wait for long.
    fn end_round(&mut self, seen_waiting: &mut u32, is_urgent: bool) -> Result<()> {
        let barrier = &self.arena.barrier;
        let waiting = barrier.waiting();
        *seen_waiting = if waiting == 0 { 0 } else { *seen_waiting + 1 };
        if waiting == PARTICIPANTS - 1 {
            self.meet_for(Some(Duration::from_millis(20)))?;
        } else if barrier.is_broken() || waiting > 0 && (is_urgent || *seen_waiting > LONG) {
            self.desk.call(crate::desk::Op::Barrier, || barrier.reset())?;
        }
        Ok(())
    }
}
