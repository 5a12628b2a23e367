//! The process that the user starts: it sees to it that the workers do the work, and reports.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use crate::Cli;
use crate::books::{Books, Job};
use crate::common::{Crew, Named, progress_bar, random};
use crate::report;

/// Counts all files; the exit code says whether all could be read.
pub fn run(cli: &Cli) -> Result<ExitCode, Box<dyn Error>> {
    if cli.files.iter().any(|file| file.as_os_str() == "-") {
        return Err("standard input can be read only once, which is not enough here; name a file".into());
    }
    let files = u32::try_from(cli.files.len())?;
    // As many files are held back as workers are to be killed: no kill comes after the end of the work.
    let job = Named::create("word_count", || Job::new(files, cli.kill))?;
    let outcome = supervise(&job, files, cli)?;

    for &(file, errno) in &outcome.unreadable {
        eprintln!("word_count: {}: {}", report::quoted(&cli.files[file as usize]), report::system_message(errno));
    }
    let (totals, taken_over) = job.change(|books| (books.totals, books.taken_over))?;
    if cli.kill > 0 {
        let (killed, repairs) = (outcome.killed, job.repairs()?);
        eprintln!("word_count: workers killed: {killed}, inside the lock: {repairs}, files begun again: {taken_over}");
    }
    let width = report::number_width(&cli.files);
    writeln!(io::stdout(), "{:>width$} {:>width$} {:>width$} total", totals.lines, totals.words, totals.bytes)?;
    Ok(if outcome.unreadable.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is known at the end besides what the books say.
struct Outcome {
    killed: u32,
    /// Files that couldn't be read, each with its errno.
    unreadable: Vec<(u32, i32)>,
}

/// Sees to it that the workers get through all files.
fn supervise(job: &Named<Job>, files: u32, cli: &Cli) -> Result<Outcome, Box<dyn Error>> {
    let mut unreadable = Vec::new();
    let mut kills = random_moments(cli.kill, files);
    let mut crew = Crew::start(job.name(), cli.processes())?;
    let bar = progress_bar(files.into(), "files");
    while crew.is_at_work() {
        thread::sleep(Duration::from_micros(if kills.is_empty() { 1000 } else { random(200).into() }));
        let progress = job.change(Books::progress)?;
        unreadable.extend(progress.unreadable);
        bar.set_position(progress.done.into());
        if kills.last().is_some_and(|&moment| moment <= progress.taken) {
            kills.pop();
            crew.kill_one(&progress.busy)?;
            job.change(Books::hold_back_one_less)?;
        }
        crew.replace_the_dead(progress.done.into())?;
    }
    bar.finish_and_clear();
    unreadable.sort_unstable();
    Ok(Outcome { killed: crew.killed(), unreadable })
}

/// When to kill: as soon as so many files have been taken; the earliest moment last.
fn random_moments(kills: u32, files: u32) -> Vec<u32> {
    // More than this are not taken while all kills are still to come.
    let last = files.saturating_sub(kills);
    let mut moments: Vec<u32> = (0..kills).map(|_| random(last + 1)).collect();
    moments.sort_unstable_by(|a, b| b.cmp(a));
    moments
}
