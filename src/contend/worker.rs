//! A worker: does its part of a plan and notes down what comes of it.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::time::TimeSpec;

use super::Subject;
use super::history::{Answer, History};
use super::plan::{Kill, Stall, Step, Work};
use crate::sys::{clock, process};

/// Timers are set so long before the operation begins that they reach its first instructions too.
const LEAD: Duration = Duration::from_micros(30);

/// Shorter pauses are not worth a sleep, which takes longer.
const SPUN: Duration = Duration::from_micros(50);

/// Does what the plan says. `Err`: an operation panicked, or the system has no timers.
pub(super) fn work<S: Subject>(
    subject: &S,
    shared: &S::Shared,
    history: &History,
    number: usize,
    work: &Work<S::Op>,
) -> Result<(), String> {
    let mut doomed = None;
    for (at, step) in work.steps.iter().enumerate() {
        let stalled = begin(step, work.kill.filter(|kill| kill.step == at), &mut doomed);
        let stalled = stalled.map_err(|errno| format!("no timer: {errno}"))?;
        history.begin(number, at);
        let started = Instant::now();
        let answer = quietly(|| subject.run(shared, &step.op))?;
        let (took, ended) = (started.elapsed(), history.now());
        drop(stalled);
        history.end(number, at, ended, took, &Answer::of(&answer));
        history.workers[number].stalls.store(process::stalls(), Ordering::Relaxed);
    }
    Ok(())
}

/// Pauses, and sets the timers of the step; returns in time for it. What kills the worker lasts.
fn begin<Op>(
    step: &Step<Op>,
    kill: Option<Kill>,
    doomed: &mut Option<process::Armed>,
) -> Result<Option<process::Armed>, Errno> {
    let now = clock::monotonic();
    if step.pause > SPUN {
        clock::sleep_until(now + TimeSpec::from_duration(step.pause));
    } else {
        spin_until(now + TimeSpec::from_duration(step.pause));
    }
    if kill.is_none() && step.stall.is_none() {
        return Ok(None);
    }
    let start = clock::monotonic() + TimeSpec::from_duration(LEAD);
    let at = |after: Duration| start + TimeSpec::from_duration(after);
    if let Some(Kill { after, .. }) = kill {
        *doomed = Some(process::kill_at(at(after))?);
    }
    let stalled = step.stall.map(|Stall { after, length }| process::stall_at(at(after), length)).transpose()?;
    spin_until(start);
    Ok(stalled)
}

fn spin_until(moment: TimeSpec) {
    while clock::monotonic() < moment {
        std::hint::spin_loop();
    }
}

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `f`; a panic of it is an error with its message and place, and is not printed. For processes that nobody else uses.
pub(super) fn quietly<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            // A thread that is ending has no place for it any more.
            let _ = PANIC.try_with(|panic| *panic.borrow_mut() = info.to_string());
        }));
    });
    catch_unwind(AssertUnwindSafe(f)).map_err(|_| PANIC.take())
}
