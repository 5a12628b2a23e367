//! The other process: does as it is told.

use nix::unistd::{alarm, gettid};
use pshared::{Condvar, Mutex, MutexGuard, Shm};

use super::*;
use crate::actor::{BRIEF, Table};
use crate::support::child::{self, Peer};
use crate::support::stepper::mark;

/// Not a test by itself: the processes that the others start.
#[test]
fn the_process_that_acts() {
    let Some((_, args, peer)) = child::role() else { return };
    let table = Shm::<Table>::open(&args[0]).unwrap();
    peer.say(&gettid().to_string());
    let mut hands = Hands { value: &table.value, changed: &table.changed, table: &table, guard: None };
    loop {
        let line = peer.hear();
        alarm::set(60); // the watchdog, wound up again
        let answer = hands.do_as_told(&line, &peer);
        peer.say(&answer);
    }
}

struct Hands<'a> {
    value: &'a Mutex<u64>,
    changed: &'a Condvar,
    table: &'a Table,
    guard: Option<MutexGuard<'a, u64>>,
}

impl<'a> Hands<'a> {
    fn do_as_told(&mut self, command: &str, _peer: &Peer) -> String {
        match command {
            "lock" => {
                let (guard, answer) = self.got(self.value.lock());
                self.guard = Some(guard);
                return answer;
            }
            "unlock" => self.guard = None,
            // Until there is something, which it takes.
            "take" => {
                let (mut guard, mut answer) = self.got(self.value.lock());
                while *guard == 0 {
                    let (again, news) = self.got(self.changed.wait(guard));
                    (guard, answer) = (again, if answer == "clean" { news } else { answer });
                }
                *guard -= 1;
                return answer;
            }
            // Stepped through, so with nothing in between that the test isn't about.
            "step-wait" => {
                let guard = self.value.lock().unwrap();
                mark();
                let guard = self.changed.wait(guard);
                mark();
                return self.got(guard).1;
            }
            "step-timed" => {
                let guard = self.value.lock().unwrap();
                mark();
                let guard = self.changed.wait_timeout(guard, LONG);
                mark();
                return guard.is_ok().to_string();
            }
            "step-briefly" => {
                let guard = self.value.lock().unwrap();
                mark(); // the only one: the stepper lets go
                let (_guard, result) = self.changed.wait_timeout(guard, BRIEF).unwrap();
                return format!("timed out: {}", result.timed_out());
            }
            "step-one" => {
                mark();
                self.changed.notify_one();
                mark();
            }
            "step-all" => {
                mark();
                self.changed.notify_all();
                mark();
            }
            "step-recover" => {
                let guard = self.value.lock().unwrap();
                mark();
                if let Err(error) = self.changed.wait(guard) {
                    let (mut guard, cause) = error.recover().unwrap();
                    assert_eq!(cause, Cause::OwnerDied);
                    *guard = 0;
                    self.table.repaired.store(1, Ordering::SeqCst);
                    self.value.clear_poison();
                }
                mark();
            }
            other => panic!("no command is called {other}"),
        }
        "done".into()
    }

    /// The guard, and whether it came with bad news, which end here.
    fn got(&self, result: LockResult<MutexGuard<'a, u64>>) -> (MutexGuard<'a, u64>, String) {
        match result {
            Ok(guard) => (guard, "clean".into()),
            Err(error) => {
                let (guard, cause) = error.recover().unwrap();
                self.value.clear_poison();
                (guard, format!("poisoned {cause:?}"))
            }
        }
    }
}
