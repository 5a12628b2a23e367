//! Processes of this same program: how they are started, and what makes a process one of them.

use std::env;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt, parent_id};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use pshared::{Result, Shm};

use crate::Storm;
use crate::arena::{Arena, Chapter, INSPECTOR, KEEPER, MAX_WORKERS};
use crate::worker::Worker;

/// The part of the command line that the boss puts in front of its own, and that makes a process one of its crew.
#[derive(clap::Args)]
pub struct Post {
    /// The name of the arena in shared memory
    #[arg(long, hide = true, required = false, requires_all = ["desk", "life", "boss"])]
    arena: String,

    /// The number of the process's desk
    #[arg(long, hide = true, required = false)]
    desk: usize,

    /// How many processes were started before it
    #[arg(long, hide = true, required = false)]
    life: u32,

    /// The process id of the boss
    #[arg(long, hide = true, required = false)]
    boss: u32,
}

/// Starts this program again with the same command line, to sit at that desk.
pub fn start(arena: &str, backend: &str, desk: usize, life: u32) -> io::Result<Child> {
    Command::new(env::current_exe()?)
        .args(["--arena", arena, "--desk", &desk.to_string(), "--life", &life.to_string()])
        .args(["--boss", &process::id().to_string(), "--on", backend])
        .args(env::args_os().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // Ctrl-C is for the boss, who ends the others.
        .process_group(0)
        .spawn()
}

/// Whether somebody killed it.
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::SIGKILL as i32)
}

impl Post {
    /// Does what is to be done at this desk; comes back only if that comes to an end by itself.
    pub fn take_up<B: Storm>(&self, seed: u64) -> Result<()> {
        if self.desk != KEEPER && (set_pdeathsig(Signal::SIGKILL).is_err() || parent_id() != self.boss) {
            return Ok(()); // the boss is gone already
        }
        let clearing_up = (self.desk == KEEPER).then(|| self.clear_up_after_the_boss::<B>());
        if self.desk < MAX_WORKERS && self.desk % 2 == 1 {
            run_late();
        }
        let arena = Shm::<Arena<B>>::open(&self.arena)?;
        let mut worker = Worker::new(&arena, &self.arena, self.desk, self.life, seed);
        let Some((at_work, clearing_up)) = clearing_up else {
            return if self.desk == INSPECTOR { worker.inspect() } else { worker.work() };
        };
        worker.keep(self.boss);
        drop(at_work);
        let _ = clearing_up.join();
        Ok(())
    }

    /// The keeper outlives a boss that was killed for as long as it takes to remove what that leaves behind: once the
    /// workers are dead too, and what is returned first was dropped or the keeper can't come to that.
    fn clear_up_after_the_boss<B: Storm>(&self) -> (Sender<()>, JoinHandle<()>) {
        let (boss, name) = (self.boss, self.arena.clone());
        let (at_work, keeper) = mpsc::channel();
        let clearing_up = thread::spawn(move || {
            while parent_id() == boss {
                thread::sleep(Duration::from_millis(50));
            }
            let _ = keeper.recv_timeout(Duration::from_secs(5));
            if let Ok(arena) = Shm::<Arena<B>>::open(&name) {
                for (_, desk) in arena.desks.iter().enumerate().filter(|(at, _)| *at != KEEPER) {
                    let _ = desk.is_alive(desk.life.load(Ordering::SeqCst)); // waits for its end
                }
            }
            remove::<B>(&name);
            process::exit(1);
        });
        (at_work, clearing_up)
    }
}

/// Has this process run after others, and all of its kind on one processor: so there is time between its being woken and
/// its running, to kill it in. Where the system refuses, there is less.
fn run_late() {
    let mut first = CpuSet::new();
    if let Ok(all) = sched_getaffinity(Pid::this())
        && let Some(cpu) = (0..CpuSet::count()).find(|cpu| all.is_set(*cpu) == Ok(true))
        && first.set(cpu).is_ok()
    {
        let _ = sched_setaffinity(Pid::this(), &first);
    }
    // SAFETY: changes this process's priority, and touches no memory.
    unsafe { libc::nice(3) };
}

/// Removes the arena and its chapter. Not there any more is as good.
pub fn remove<B: Storm>(name: &str) {
    if let Ok(arena) = Shm::<Arena<B>>::open(name) {
        let chapter = arena.chapter.load(Ordering::SeqCst);
        let _ = Shm::<Chapter<B>>::remove(&Chapter::<B>::name(name, chapter));
    }
    let _ = Shm::<Arena<B>>::remove(name);
}
