//! The workers as their boss sees them: processes to start, to kill and to replace.

use std::error::Error;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{self, Child, Command, Stdio};
use std::{env, io};

use crate::boss::random;

/// So many workers in a row may die, unasked and with no file finished in between, before the boss gives up.
const PATIENCE: u32 = 16;

/// The workers, one for each slot in the books.
pub struct Crew<'a> {
    job: &'a str,
    workers: Vec<Option<Child>>,
    killed: u32,
    /// Files finished when a worker last died unasked, and how many have died at that point.
    deaths: (u32, u32),
}

impl<'a> Crew<'a> {
    pub fn start(job: &'a str, processes: u32) -> io::Result<Self> {
        let mut crew = Crew { job, workers: Vec::new(), killed: 0, deaths: (0, 0) };
        for slot in 0..processes as usize {
            crew.workers.push(Some(crew.start_one(slot)?));
        }
        Ok(crew)
    }

    /// Starts this program again with the same command line, as a worker.
    fn start_one(&self, slot: usize) -> io::Result<Child> {
        Command::new(env::current_exe()?)
            .args(["--job", self.job, "--slot", &slot.to_string(), "--boss", &process::id().to_string()])
            .args(env::args_os().skip(1))
            .stdout(Stdio::null())
            // Ctrl-C ends the boss only; the workers notice, and remove the job's name on their way out.
            .process_group(0)
            .spawn()
    }

    pub fn is_at_work(&self) -> bool {
        self.workers.iter().any(Option::is_some)
    }

    pub fn killed(&self) -> u32 {
        self.killed
    }

    /// Kills one of the busy workers (any, when none is), and puts another one in its place.
    pub fn kill_one(&mut self, busy: &[usize]) -> io::Result<()> {
        let victim = match busy.len() {
            0 => random(self.workers.len() as u32) as usize,
            len => busy[random(len as u32) as usize],
        };
        if let Some(mut worker) = self.workers[victim].take() {
            worker.kill()?;
            // Only once it is gone for certain may another one have its slot.
            if worker.wait()?.signal().is_some() {
                self.killed += 1;
            }
        }
        self.workers[victim] = Some(self.start_one(victim)?);
        Ok(())
    }

    /// Looks after workers that ended by themselves: they finished, failed, or were killed by somebody else.
    pub fn replace_the_dead(&mut self, done: u32) -> Result<(), Box<dyn Error>> {
        for slot in 0..self.workers.len() {
            let Some(worker) = &mut self.workers[slot] else { continue };
            let Some(status) = worker.try_wait()? else { continue };
            self.workers[slot] = None;
            if status.success() {
                continue;
            }
            self.deaths = if self.deaths.0 == done { (done, self.deaths.1 + 1) } else { (done, 1) };
            if status.signal().is_none() || self.deaths.1 > PATIENCE {
                return Err(format!("a worker failed: {status}").into());
            }
            self.workers[slot] = Some(self.start_one(slot)?);
        }
        Ok(())
    }
}

impl Drop for Crew<'_> {
    fn drop(&mut self) {
        for mut worker in self.workers.drain(..).flatten() {
            // Both fail only for a worker that is gone, which is what is wanted.
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}
