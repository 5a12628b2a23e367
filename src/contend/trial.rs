//! One run of one plan: its processes are forked, watched, waited for and judged.

use std::fmt;
use std::io::{PipeWriter, Write};
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use nix::unistd::{Pid, getpid};

use super::Subject;
use super::contest::Options;
use super::history::{History, Seen};
use super::judge::{Verdict, judge};
use super::plan::Plan;
use super::report::{Error, Problem, Report, Schedule};
use super::watch::{Children, Watched, watch};
use super::worker::{quietly, work};
use crate::ShmCell;
use crate::region::{Anonymous, Mapping, Region};
use crate::sys::{process, step};

/// What came of one run of a plan.
pub(super) struct Trial {
    pub(super) verdict: Verdict,
    kills: u64,
    pub(super) schedule: Schedule,
    seen: Vec<Vec<(String, Seen)>>,
    stalls: u64,
}

impl Trial {
    pub(super) fn problem(&self) -> Option<&Problem> {
        match &self.verdict {
            Verdict::Bad(problem) => Some(problem),
            Verdict::Good | Verdict::Undecided => None,
        }
    }

    /// Adds this run to what was done.
    pub(super) fn count(&self, report: &mut Report) {
        report.plans += 1;
        report.kills += self.kills;
        report.stalls += self.stalls;
        report.undecided += u64::from(self.verdict == Verdict::Undecided);
        for (op, seen) in self.seen.iter().flatten() {
            report.operations += u64::from(*seen != Seen::Nothing);
            match seen {
                Seen::Done { took, .. } if *took > report.longest_wait => {
                    report.longest_wait = *took;
                    report.longest_operation.clone_from(op);
                }
                Seen::Begun { .. } if self.kills > 0 => report.kills_inside += 1,
                _ => {}
            }
        }
    }
}

/// The shared value of one plan.
struct Arena<T: crate::ShmSafe> {
    cell: std::ptr::NonNull<ShmCell<T>>,
    _mapping: Mapping,
}

impl<T: crate::ShmSafe> Arena<T> {
    fn create(create: impl FnOnce() -> crate::Result<T>) -> crate::Result<Self> {
        let staged = Anonymous::new().stage(ShmCell::<T>::size())?;
        // SAFETY: new memory of zeros, mapped as long as the result, whose users borrow that; this process takes no lock in
        // it, and those that do end without unmapping it.
        let cell = unsafe { ShmCell::init(staged.mapping().as_slice_ptr(), create) }?;
        Ok(Arena { cell: cell.into(), _mapping: staged.into_mapping() })
    }

    fn cell(&self) -> &ShmCell<T> {
        // SAFETY: a finished cell in memory that is mapped as long as `self`.
        unsafe { self.cell.as_ref() }
    }
}

impl<T: crate::ShmSafe> Drop for Arena<T> {
    fn drop(&mut self) {
        // SAFETY: the processes of the plan have ended, and nobody else can find the memory.
        unsafe { self.cell().teardown() };
    }
}

/// Runs `plan` once.
pub(super) fn run<S: Subject>(
    subject: &S,
    options: &Options,
    history: &'static History,
    plan: &Plan<S::Op>,
) -> Result<Trial, Error> {
    let not_created = |error: crate::Error| Error::NotCreated { message: error.to_string() };
    let arena = Arena::create(|| subject.create()).map_err(not_created)?;
    history.reset();

    let mut trial = Trial {
        verdict: Verdict::Good,
        kills: 0,
        schedule: plan.schedule(options.threads, |_, _| String::new()),
        seen: Vec::new(),
        stalls: 0,
    };
    let problem = compete(subject, options, history, plan, arena.cell(), &mut trial.kills)?;
    trial.look(options, history, plan);
    trial.verdict = match problem {
        Some(problem) => Verdict::Bad(problem),
        None => verdict(subject, options, history, plan, arena.cell())?,
    };
    Ok(trial)
}

impl Trial {
    fn look<Op: Clone + fmt::Debug>(&mut self, options: &Options, history: &History, plan: &Plan<Op>) {
        let look = |(worker, steps): (usize, &Vec<_>)| {
            let of_step =
                |(at, step): (usize, &super::plan::Step<Op>)| (format!("{:?}", step.op), history.seen(worker, at));
            steps.iter().enumerate().map(of_step).collect()
        };
        self.seen = plan.workers.iter().map(|work| &work.steps).enumerate().map(look).collect();
        self.stalls = match options.threads {
            // Counted by the process that they are in.
            true => history.workers.iter().map(|notes| notes.stalls.load(Ordering::Relaxed)).max().unwrap_or(0).into(),
            false => history.workers.iter().map(|notes| u64::from(notes.stalls.load(Ordering::Relaxed))).sum(),
        };
        self.schedule = plan.schedule(options.threads, |worker, at| match &self.seen[worker][at].1 {
            Seen::Nothing => "   (not begun)".into(),
            Seen::Begun { began } => format!("   (began as event {began}, never ended)"),
            Seen::Done { began, ended, answer, .. } => format!("   → {answer} (events {began} to {ended})"),
        });
    }
}

/// The workers, until they have ended.
fn compete<S: Subject>(
    subject: &S,
    options: &Options,
    history: &'static History,
    plan: &Plan<S::Op>,
    shared: &S::Shared,
    kills: &mut u64,
) -> Result<Option<Problem>, Error> {
    let (reader, writer) = std::io::pipe().map_err(|error| Error::system("pipe", error))?;
    let all = plan.workers.len();
    let one = |number: usize| {
        history.start_together(all);
        match work(subject, shared, history, number, &plan.workers[number]) {
            Ok(()) => 0,
            Err(message) => {
                history.panicked(number, &message);
                process::PANICKED
            }
        }
    };
    let mut children = Children { each: Vec::new() };
    if options.threads {
        children.each.push((None, start(|| in_threads(all, &one))?));
    } else {
        for number in 0..all {
            children.each.push((Some(number), start(|| one(number))?));
        }
    }
    drop(writer);

    let panicked =
        || (0..all).find_map(|worker| history.panic(worker).map(|message| Problem::Panic { worker, message }));
    let watched = watch(&reader, &mut Vec::new(), options.deadline, &children, || {
        if panicked().is_some() { None } else { Some(history.progress()) }
    })?;
    let who = || (0..all).filter_map(|worker| in_the_middle(plan, history, worker)).collect();
    let hang = matches!(watched, Watched::Hung).then(|| Problem::Hang { deadline: options.deadline, who: who() });
    if !matches!(watched, Watched::Ended) {
        children.kill();
    }
    let mut died = None;
    for (worker, status) in children.wait()? {
        let is_doomed = worker.is_some_and(|worker| plan.workers[worker].kill.is_some());
        match status {
            WaitStatus::Exited(_, process::PANICKED) if panicked().is_some() => {}
            WaitStatus::Exited(_, 0) if worker.is_none_or(|worker| is_done(plan, history, worker)) => {}
            WaitStatus::Signaled(_, Signal::SIGKILL, _) if !matches!(watched, Watched::Ended) => {}
            WaitStatus::Signaled(_, Signal::SIGKILL, _) if is_doomed => *kills += 1,
            other => died = Some(Problem::Died { worker: worker.unwrap_or(0), how: describe(other) }),
        }
    }
    Ok(panicked().or(hang).or(died))
}

fn describe(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_, code) => format!("exit code {code}"),
        WaitStatus::Signaled(_, signal, _) => signal.to_string(),
        other => format!("{other:?}"),
    }
}

/// Whether a worker came to the end of its part.
fn is_done<Op>(plan: &Plan<Op>, history: &History, worker: usize) -> bool {
    let last = plan.workers[worker].steps.len() - 1;
    matches!(history.seen(worker, last), Seen::Done { .. })
}

/// What a worker was at when its process was found hanging.
fn in_the_middle<Op: fmt::Debug>(plan: &Plan<Op>, history: &History, worker: usize) -> Option<String> {
    let steps = &plan.workers[worker].steps;
    let at = (0..steps.len()).find(|at| matches!(history.seen(worker, *at), Seen::Begun { .. }))?;
    let op = &steps[at].op;
    Some(match plan.workers[worker].kill {
        Some(kill) if kill.step <= at => format!("worker {worker} killed in {op:?}"),
        _ => format!("worker {worker} in {op:?}"),
    })
}

/// Forks a process that runs `f` and is killed with this one.
fn start(f: impl FnOnce() -> i32) -> Result<Pid, Error> {
    let parent = getpid();
    // SAFETY: the zygote has made sure that no other thread of this process is at work.
    let child = unsafe {
        process::fork_to(|| {
            match process::die_with(parent).and_then(|()| process::let_stall()).and_then(|()| step::let_step()) {
                Ok(()) => f(),
                Err(errno) => errno as i32,
            }
        })
    };
    child.map_err(|errno| Error::system("fork", errno))
}

fn in_threads(all: usize, one: &(impl Fn(usize) -> i32 + Sync)) -> i32 {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..all).map(|number| scope.spawn(move || one(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(process::PANICKED)).max().unwrap_or(0)
    })
}

/// Enough for the longest plan.
const STACK: usize = 64 << 20;

/// The process that looks at what is left, and what it says.
fn verdict<S: Subject>(
    subject: &S,
    options: &Options,
    history: &'static History,
    plan: &Plan<S::Op>,
    shared: &S::Shared,
) -> Result<Verdict, Error> {
    let (reader, writer) = std::io::pipe().map_err(|error| Error::system("pipe", error))?;
    let look = || {
        let found = quietly(|| {
            subject.invariants(shared);
            subject.state(shared)
        });
        let verdict = match found {
            Ok(found) => judge(subject, plan, history, found),
            Err(message) => Verdict::Bad(Problem::Invariant { message }),
        };
        i32::from(say(&writer, &verdict).is_err())
    };
    // The search goes as deep as the plan is long.
    let look = || {
        std::thread::scope(|scope| {
            let looking = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, look);
            looking.map_or(1, |looking| looking.join().unwrap_or(process::PANICKED))
        })
    };
    let mut children = Children { each: vec![(None, start(look)?)] };
    drop(writer);
    let mut said = Vec::new();
    match watch(&reader, &mut said, options.deadline, &children, || Some(history.progress()))? {
        Watched::Ended => {}
        Watched::Hung | Watched::Panicked => {
            let who = vec!["all workers at their end, invariants() or state()".into()];
            return Ok(Verdict::Bad(Problem::Hang { deadline: options.deadline, who }));
        }
    }
    match children.wait()?.pop() {
        Some((_, WaitStatus::Exited(_, 0))) => {
            serde_json::from_slice(&said).map_err(|error| Error::system("reading the verdict", error))
        }
        Some((_, status)) => {
            let message = format!("the process that looked at it ended by itself: {}", describe(status));
            Ok(Verdict::Bad(Problem::Invariant { message }))
        }
        None => Err(Error::system("waitpid", Errno::ECHILD)),
    }
}

fn say(mut writer: &PipeWriter, verdict: &Verdict) -> std::io::Result<()> {
    writer.write_all(&serde_json::to_vec(verdict)?)
}
