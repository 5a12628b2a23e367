//! The process that the user starts: it starts the workers, kills some, replaces whoever died, and reports.

use std::collections::hash_map::RandomState;
use std::env;
use std::error::Error;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{self, Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indicatif::{ProgressBar, ProgressStyle};
use pshared::Shm;

use crate::Cli;
use crate::books::{Books, Job};
use crate::report;

/// So many workers in a row may die, unasked and with no file finished in between, before the boss gives up.
const PATIENCE: u32 = 16;

/// Counts all files; the exit code says whether all could be read.
pub fn run(cli: &Cli) -> Result<ExitCode, Box<dyn Error>> {
    if cli.files.iter().any(|file| file.as_os_str() == "-") {
        return Err("standard input can be read only once, which is not enough here; name a file".into());
    }
    let files = u32::try_from(cli.files.len())?;
    let name = unique_name();
    // As many files are held back as there are workers to kill: no kill comes too late to hit somebody at work.
    let job = Shm::create(&name, || Ok(Job::new(files, cli.kill)))?;
    let name = Name(name);
    let (killed, unreadable) = supervise(&job, &name, files, cli)?;
    drop(name);

    for &(file, errno) in &unreadable {
        eprintln!("word_count: {}: {}", report::quoted(&cli.files[file as usize]), report::system_message(errno));
    }
    let (totals, taken_over) = job.change(|books| (books.totals, books.taken_over))?;
    if cli.kill > 0 {
        let repairs = job.repairs()?;
        eprintln!("word_count: workers killed: {killed}, inside the lock: {repairs}, files begun again: {taken_over}");
    }
    let width = report::number_width(&cli.files);
    writeln!(io::stdout(), "{:>width$} {:>width$} {:>width$} total", totals.lines, totals.words, totals.bytes)?;
    Ok(if unreadable.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sees to it that the workers get through all files; returns how many of them it killed, and the files that couldn't
/// be read, each with its errno.
fn supervise(job: &Job, name: &Name, files: u32, cli: &Cli) -> Result<(u32, Vec<(u32, i32)>), Box<dyn Error>> {
    let mut unreadable = Vec::new();
    let mut kills = random_moments(cli.kill, files);
    let mut crew = Crew::start(&name.0, cli.processes())?;
    let bar = progress_bar(files);
    while crew.is_at_work() {
        thread::sleep(Duration::from_micros(random(2000) as u64));
        let progress = job.change(Books::progress)?;
        unreadable.extend(progress.unreadable);
        bar.set_position(progress.done.into());
        if kills.last().is_some_and(|&moment| moment <= progress.taken) {
            kills.pop();
            crew.kill_one(&progress.busy)?;
            job.change(Books::hold_back_one_less)?;
        }
        crew.replace_the_dead(progress.done)?;
    }
    bar.finish_and_clear();
    unreadable.sort_unstable();
    Ok((crew.killed, unreadable))
}

fn unique_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("word_count-{}-{}", process::id(), now.as_nanos())
}

/// The job's name in shared memory, for as long as a worker may have to be started.
struct Name(String);

impl Drop for Name {
    fn drop(&mut self) {
        // Not there any more is as good.
        let _ = Shm::<Job>::remove(&self.0);
    }
}

/// The workers, one for each slot in the books.
struct Crew<'a> {
    job: &'a str,
    workers: Vec<Option<Child>>,
    killed: u32,
    /// Files finished when a worker last died unasked, and how many have died at that point.
    deaths: (u32, u32),
}

impl<'a> Crew<'a> {
    fn start(job: &'a str, processes: u32) -> io::Result<Self> {
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

    fn is_at_work(&self) -> bool {
        self.workers.iter().any(Option::is_some)
    }

    /// Kills one of the busy workers (any, when none is), and puts another one in its place.
    fn kill_one(&mut self, busy: &[usize]) -> io::Result<()> {
        let victim = match busy.len() {
            0 => random(self.workers.len()),
            len => busy[random(len)],
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
    fn replace_the_dead(&mut self, done: u32) -> Result<(), Box<dyn Error>> {
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

/// When to kill: as soon as so many files have been taken, the earliest moment last.
fn random_moments(kills: u32, files: u32) -> Vec<u32> {
    // With k kills to go, the last k files are not handed out.
    let last = files.saturating_sub(kills);
    let mut moments: Vec<u32> = (0..kills).map(|_| random(last as usize + 1) as u32).collect();
    moments.sort_unstable_by(|a, b| b.cmp(a));
    moments
}

/// A random number below `end`, which is not 0.
fn random(end: usize) -> usize {
    RandomState::new().build_hasher().finish() as usize % end
}

/// Draws on standard error, if that is a terminal.
fn progress_bar(files: u32) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{wide_bar} {pos}/{len} files").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(files.into()).with_style(style)
}
