//! Workers: processes of this same program to start, to kill and to replace, and what makes a process one of them.

use std::error::Error;
use std::os::unix::process::{CommandExt, ExitStatusExt, parent_id};
use std::process::{self, Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use std::{env, io};

use pshared::{Result, Shm, ShmSafe};

use super::random;

/// So many workers in a row may die, unasked and with nothing done in between, before the boss gives up.
const PATIENCE: u32 = 16;

/// The workers as their boss sees them, one for each slot in the books.
pub struct Crew<'a> {
    job: &'a str,
    workers: Vec<Option<Child>>,
    killed: u32,
    /// What was done when a worker last died unasked, and how many have died at that point.
    deaths: (u64, u32),
}

impl<'a> Crew<'a> {
    /// Starts the workers of the job of this name in shared memory.
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

    /// Kills one of these workers (any, when none of them is there), and puts another one in its place. Says whether one
    /// died of it: it may just have ended by itself.
    pub fn kill_one(&mut self, of: &[usize]) -> io::Result<bool> {
        let there = |slot: &usize| self.workers[*slot].is_some();
        let mut slots: Vec<usize> = of.iter().copied().filter(there).collect();
        if slots.is_empty() {
            slots = (0..self.workers.len()).filter(there).collect();
        }
        if slots.is_empty() {
            return Ok(false);
        }
        let victim = slots[random(slots.len() as u32) as usize];
        let mut died = false;
        if let Some(mut worker) = self.workers[victim].take() {
            worker.kill()?;
            // Only once it is gone for certain may another one have its slot.
            died = worker.wait()?.signal().is_some();
        }
        self.killed += u32::from(died);
        self.workers[victim] = Some(self.start_one(victim)?);
        Ok(died)
    }

    /// Looks after workers that ended by themselves: they finished, failed, or were killed by somebody else.
    pub fn replace_the_dead(&mut self, done: u64) -> Result<(), Box<dyn Error>> {
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

/// The part of the command line that the boss puts in front of its own, and that makes a process a worker.
#[derive(clap::Args)]
pub struct Post {
    /// The name of the job in shared memory
    #[arg(long, hide = true, required = false, requires_all = ["slot", "boss"])]
    job: String,

    /// The worker's place in the books
    #[arg(long, hide = true, required = false)]
    pub slot: usize,

    /// The process id of the worker's boss
    #[arg(long, hide = true, required = false)]
    boss: u32,
}

impl Post {
    /// Opens what the job is about. From now on this process ends soon after the boss ended, however it did; the job's name
    /// goes, too.
    pub fn take_up<T: ShmSafe + 'static>(&self) -> Result<Shm<T>> {
        let (boss, name) = (self.boss, self.job.clone());
        thread::spawn(move || {
            while parent_id() == boss {
                thread::sleep(Duration::from_millis(50));
            }
            // Another worker may have been faster: nothing to remove is as good.
            let _ = Shm::<T>::remove(&name);
            process::exit(1);
        });
        Shm::open(&self.job)
    }
}
