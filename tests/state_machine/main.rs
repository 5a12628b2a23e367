//! Random plans for processes that share a cell: create, open, use, detach, remove, be killed at any time. What each
//! answers is what a sequential model expects, nobody hangs, and nobody misses a death.

#[path = "../support/mod.rs"]
mod support;

mod barrier;
mod condvar;
mod event;
mod mutex;
mod once;
mod permits;
mod reentrant_mutex;
mod rwlock;
mod semaphore;

use std::time::Duration;

use pshared::backend::{Backend, WaitAny};
use pshared::generic::{Waitable, wait_any};
use pshared::{Cause, LockError, LockResult};

/// A state machine of the subject `$subject<B>`, for every backend.
macro_rules! state_machine {
    ($name:ident, $subject:ident, cases = $cases:literal) => {
        mod $name {
            use super::$subject;
            $crate::support::claims::for_every_backend! {
                #[test]
                fn processes() {
                    let name = concat!(module_path!(), "::processes");
                    $crate::support::plans::check::<$subject<Backend>, Backend>(name, $cases);
                }
            }
        }
    };
}
pub(crate) use state_machine;

/// The same for what only futexes can do.
macro_rules! state_machine_on_futexes {
    ($name:ident, $subject:ident, cases = $cases:literal) => {
        mod $name {
            use pshared::futex::Futex;
            #[test]
            fn processes() {
                let name = concat!(module_path!(), "::processes");
                $crate::support::plans::check::<super::$subject<Futex>, Futex>(name, $cases);
            }
        }
    };
}
pub(crate) use state_machine_on_futexes;

/// How things are waited for, besides one by one.
trait Company<B: Backend> {
    const TOGETHER: bool;

    fn wait_for_any(things: &[&dyn Waitable<B>], timeout: Duration) -> pshared::Result<usize>;
}

/// Not at all: not every backend has a way to wait for several.
struct Alone;

impl<B: Backend> Company<B> for Alone {
    const TOGETHER: bool = false;

    fn wait_for_any(_: &[&dyn Waitable<B>], _: Duration) -> pshared::Result<usize> {
        panic!("nobody is told to")
    }
}

/// Any of several.
struct Together;

impl<B: WaitAny> Company<B> for Together {
    const TOGETHER: bool = true;

    fn wait_for_any(things: &[&dyn Waitable<B>], timeout: Duration) -> pshared::Result<usize> {
        wait_any(things, timeout)
    }
}

/// Too short to be worth a wait, long enough to sleep.
const BRIEF: Duration = Duration::from_millis(2);

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// Why a lock was not taken, in a word.
fn refusal<G>(error: &LockError<G>) -> &'static str {
    match error {
        LockError::Poisoned(_) => "Poisoned",
        LockError::WouldBlock => "WouldBlock",
        LockError::TimedOut => "TimedOut",
        LockError::WouldDeadlock => "WouldDeadlock",
        LockError::Failed(_) => "Failed",
    }
}

/// The guard and what else there is to say, or why there is none.
fn taken<G>(result: LockResult<G>) -> Result<(G, Option<Cause>), &'static str> {
    match result {
        Ok(guard) => Ok((guard, None)),
        Err(LockError::Poisoned(poison)) => {
            let cause = poison.cause();
            Ok((poison.into_inner(), Some(cause)))
        }
        Err(other) => Err(refusal(&other)),
    }
}

/// What `taken` says in a line, together with the data.
fn tell(cause: Option<Cause>, data: impl std::fmt::Debug) -> String {
    match cause {
        None => format!("clean {data:?}"),
        Some(cause) => format!("{cause:?} {data:?}"),
    }
}

/// A panic that no hook hears of, with `held` in its hands.
fn panic_with<T>(held: T) {
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _held = held;
        std::panic::resume_unwind(Box::new("on purpose"))
    }));
    let Err(_) = panicked;
}
