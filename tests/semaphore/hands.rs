//! The other process: does as it is told.

use std::time::Duration;

use nix::unistd::{alarm, gettid};
use pshared::{Error, Result, Shm, wait_any};

use crate::actor::Table;
use crate::support::child::{self, Peer};
use crate::support::stepper::mark;

/// As long as any wait of these tests may last; longer is a hang.
const LONG: Duration = Duration::from_secs(55);

/// Long enough to fall asleep in, and short enough to let pass.
pub const BRIEF: Duration = Duration::from_millis(400);

/// Not a test by itself: the processes that the others start.
#[test]
fn the_process_that_acts() {
    let Some((role, args, peer)) = child::role() else { return };
    match role.as_str() {
        "actor" => act(&args[0], &peer),
        "storm" => crate::signals::storm(&args[0], &peer),
        other => panic!("no role is called {other}"),
    }
}

fn act(name: &str, peer: &Peer) {
    let table = Shm::<Table>::open(name).unwrap();
    // What a thread does once only is done: its first wait prepares its state.
    assert_eq!(table.others.wait_timeout(Duration::ZERO), Err(Error::TimedOut));
    peer.say(&gettid().to_string());
    loop {
        let line = peer.hear();
        alarm::set(60); // the watchdog, wound up again
        // Stepped through, or traced until the stepper lets go; with nothing in between that the test isn't about.
        let (stepped, traced) = (line.strip_prefix("step-"), line.strip_prefix("trace-"));
        if stepped.or(traced).is_some() {
            mark();
        }
        let result = obey(&table, stepped.or(traced).unwrap_or(&line));
        if stepped.is_some() {
            mark();
        }
        peer.say(&result.map_or_else(|error| format!("{error:?}"), |()| "done".into()));
    }
}

fn obey(table: &Table, command: &str) -> Result<()> {
    let Table { permits, binary, limited, others, auto, manual } = table;
    match command {
        "wait" => permits.wait(),
        "timed" => permits.wait_timeout(LONG),
        "briefly" => permits.wait_timeout(BRIEF),
        "give-up" => permits.wait_timeout(Duration::ZERO),
        "try" => permits.try_wait(),
        "post" => permits.post(),
        "wait-binary" => binary.wait(),
        "post-binary" => binary.post(),
        "wait-limited" => limited.wait(),
        "post-limited" => limited.post(),
        "post-2" => permits.post_many(2),
        "any" => wait_any(&[permits, others], LONG).map(drop),
        "any-all" => wait_any(&[others, auto, manual, permits], LONG).map(drop),
        "auto" => auto.wait(),
        "set-auto" => auto.set(),
        "manual" => manual.wait(),
        "set-manual" => manual.set(),
        "reset-manual" => manual.reset(),
        "set-and-reset-manual" => manual.set().and_then(|()| manual.reset()),
        other => panic!("no command is called {other}"),
    }
}
