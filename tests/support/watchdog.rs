//! Ends a test that hangs, with a message, instead of letting the whole run hang.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// No test takes as long; what does hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// As long as it lives, the test it was made for must come to an end in time.
pub struct Watchdog {
    _alive: Sender<()>,
}

/// Aborts this process, naming `test`, if the result isn't dropped within [`PATIENCE`].
pub fn watch(test: &str) -> Watchdog {
    let (alive, end) = channel();
    let test = test.to_owned();
    thread::spawn(move || {
        if end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            // Past the capture of the test's output, which nobody would get to see.
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "\n{test} hangs: it came to no end within {PATIENCE:?}");
            std::process::abort();
        }
    });
    Watchdog { _alive: alive }
}
