//! A worker: does its part of a plan and notes down what comes of it.

use std::cell::{Cell, RefCell};
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
use crate::sys::step::Stops;
use crate::sys::{clock, process, step};

/// Timers are set so long before the operation begins that they reach its first instructions too.
const LEAD: Duration = Duration::from_micros(30);

/// Shorter pauses are not worth a sleep, which takes longer.
const SPUN: Duration = Duration::from_micros(50);

/// Does what the plan says. `Err`: an operation panicked, or the system has no timers.
pub(super) fn work<S: Subject>(
    subject: &S,
    shared: &S::Shared,
    history: &'static History,
    number: usize,
    work: &Work<S::Op>,
) -> Result<(), String> {
    // What is to kill the worker lasts.
    let mut timers = Vec::new();
    for (at, step) in work.steps.iter().enumerate() {
        let kill = work.kill.filter(|kill| kill.step == at);
        pause(step.pause);
        wait_for_others_to_step(history);
        let stops = approach(history, step, kill);
        let stalled = set_timers(step, kill, &mut timers).map_err(|errno| format!("no timer: {errno}"))?;

        history.begin(number, at);
        let started = Instant::now();
        let answer = quietly(|| {
            step::begin(stops);
            let answer = subject.run(shared, &step.op);
            step::end();
            answer
        });
        let (took, ended) = (started.elapsed(), history.now());
        step::end(); // once more: a panic is past the other one
        arrive();
        drop(stalled);
        history.end(number, at, ended, took, &Answer::of(&answer?));
        history.workers[number].stalls.store(process::stalls(), Ordering::Relaxed);
        if matches!(kill, Some(Kill { when: When::Instructions(_), .. })) {
            process::kill_myself();
        }
    }
    history.leave();
    Ok(())
}

// Stops after so many instructions. Getting there takes a thousand times as long as usual; the others begin nothing until
// then, or they would be through by the time that it becomes interesting.

thread_local! {
    /// The history, while the thread is on its way to its first stop.
    static ON_ITS_WAY: Cell<Option<&'static History>> = const { Cell::new(None) };
    /// The history, and how many operations of others its stall lets by.
    static STALLED: Cell<Option<(&'static History, u32)>> = const { Cell::new(None) };
}

/// How long others wait for a worker to step, which may be dead.
const STEPPING: Duration = Duration::from_millis(20);

/// How long a stalled worker waits for others, which may wait for it.
const STALLING: Duration = Duration::from_millis(5);

/// How often they look.
const LOOK: Duration = Duration::from_micros(20);

fn wait_for_others_to_step(history: &History) {
    let started = Instant::now();
    while history.is_anybody_stepping() && started.elapsed() < STEPPING {
        sleep(LOOK);
    }
}

fn approach<Op>(history: &'static History, step: &Step<Op>, kill: Option<Kill>) -> Stops {
    let mut stops = Stops::NONE;
    if let Some(Stall::Stepped { instructions, others }) = step.stall {
        STALLED.set(Some((history, others)));
        stops.first = Some((instructions, stand_still));
    }
    if let Some(Kill { when: When::Instructions(at), .. }) = kill {
        stops.second = Some((at, die));
    }
    if stops.first.or(stops.second).is_some() {
        history.begin_stepping();
        ON_ITS_WAY.set(Some(history));
    }
    stops
}

/// At the first stop, or at the end of an operation that was shorter.
fn arrive() {
    if let Some(history) = ON_ITS_WAY.take() {
        history.end_stepping();
    }
}

/// In a signal handler: as the others, only reads and writes atomics and sleeps.
fn stand_still() {
    process::count_stall();
    arrive();
    let Some((history, others)) = STALLED.get() else { return };
    let started = Instant::now();
    let Some(before) = history.ended() else { return };
    while started.elapsed() < STALLING && history.ended().is_some_and(|now| now - before < others) {
        sleep(LOOK);
    }
}

/// In a signal handler.
fn die() {
    arrive();
    process::kill_myself();
}

// Stalls and kills after some time.

/// Returns when the operation is to begin, with what ends when it ends; `lasting` gets what doesn't.
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
        Some(Stall::Timed { after, length }) => Some(process::stall_at(at(after), length)?),
        _ => None,
    };
    if is_doomed || stalled.is_some() {
        spin_until(start);
    }
    Ok(stalled)
}

fn sleep(length: Duration) {
    clock::sleep_until(clock::monotonic() + TimeSpec::from_duration(length));
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
