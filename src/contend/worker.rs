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
use super::plan::{Kill, Stall, Step, When, Work};
use crate::sys::process::Armed;
use crate::sys::step::Steps;
use crate::sys::{clock, process, step};

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
    // What is to kill the worker lasts.
    let mut timers = Vec::new();
    for (at, step) in work.steps.iter().enumerate() {
        let kill = work.kill.filter(|kill| kill.step == at);
        pause(step.pause);
        let steps = steps_of(step, kill);
        let stalled = set_timers(step, kill, &mut timers).map_err(|errno| format!("no timer: {errno}"))?;

        history.begin(number, at);
        let started = Instant::now();
        let answer = quietly(|| {
            step::begin(steps);
            let answer = subject.run(shared, &step.op);
            step::end();
            answer
        });
        let (took, ended) = (started.elapsed(), history.now());
        step::end(); // once more: a panic is past the other one
        drop(stalled);
        history.end(number, at, ended, took, &Answer::of(&answer?));
        history.workers[number].stalls.store(process::stalls(), Ordering::Relaxed);
        if steps.kill_at > 0 {
            process::kill_myself();
        }
    }
    Ok(())
}

/// The kill and the stall that come after so many instructions.
fn steps_of<Op>(step: &Step<Op>, kill: Option<Kill>) -> Steps {
    let mut steps = Steps::default();
    if let Some(Kill { when: When::Instructions(at), .. }) = kill {
        steps.kill_at = at;
    }
    if let Some(Stall { when: When::Instructions(at), length }) = step.stall {
        (steps.stall_at, steps.stall_for) = (at, length);
    }
    steps
}

/// Those that come after some time. Returns when the operation is to begin, with what ends when it ends.
fn set_timers<Op>(step: &Step<Op>, kill: Option<Kill>, lasting: &mut Vec<Armed>) -> Result<Option<Armed>, Errno> {
    let start = clock::monotonic() + TimeSpec::from_duration(LEAD);
    let at = |after: Duration| start + TimeSpec::from_duration(after);
    let is_doomed = match kill {
        Some(Kill { when: When::After(after), .. }) => {
            lasting.push(process::kill_at(at(after))?);
            true
        }
        _ => false,
    };
    let stalled = match step.stall {
        Some(Stall { when: When::After(after), length }) => Some(process::stall_at(at(after), length)?),
        _ => None,
    };
    if is_doomed || stalled.is_some() {
        spin_until(start);
    }
    Ok(stalled)
}

fn pause(length: Duration) {
    let end = clock::monotonic() + TimeSpec::from_duration(length);
    if length > SPUN { clock::sleep_until(end) } else { spin_until(end) }
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
