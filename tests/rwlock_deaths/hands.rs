//! The other process: does as it is told.

use nix::errno::Errno;
use nix::unistd::{alarm, gettid};
use pshared::{LockResult, RwLock, RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard, Shm, UpgradeError};

use crate::actor::{BRIEF, LONG};
use crate::support::child::{self, Peer};
use crate::support::stepper::mark;

/// Not a test by itself: the processes that the others start.
#[test]
fn the_process_that_acts() {
    let Some((_, args, peer)) = child::role() else { return };
    match args[1].as_str() {
        "64" => act::<64>(&args[0], &peer),
        "1" => act::<1>(&args[0], &peer),
        other => panic!("no lock for {other} readers"),
    }
}

fn act<const READERS: usize>(name: &str, peer: &Peer) {
    let lock = Shm::<RwLock<u32, READERS>>::open(name).unwrap();
    let mut hand = Hand { lock: &lock, guard: Guard::None };
    peer.say(&gettid().to_string());
    loop {
        let line = peer.hear();
        alarm::set(60); // the watchdog, wound up again
        let answer = match line.strip_prefix("step ") {
            None => hand.does(&line),
            Some("read-briefly") => {
                mark(); // the only one: the stepper lets go
                hand.does("read-briefly")
            }
            Some(command) => {
                // What is stepped through, with nothing in between that the test isn't about.
                mark();
                let answer = hand.does(command);
                mark();
                answer
            }
        };
        peer.say(answer);
    }
}

enum Guard<'a, const READERS: usize> {
    None,
    Read(#[allow(dead_code, reason = "held")] RwLockReadGuard<'a, u32, READERS>),
    Write(RwLockWriteGuard<'a, u32, READERS>),
    Upgradable(RwLockUpgradableReadGuard<'a, u32, READERS>),
}

struct Hand<'a, const READERS: usize> {
    lock: &'a RwLock<u32, READERS>,
    guard: Guard<'a, READERS>,
}

fn told<G>(result: LockResult<G>) -> (G, &'static str) {
    match result {
        Ok(guard) => (guard, "clean"),
        Err(error) => (error.recover().expect("it was to be taken").0, "poisoned OwnerDied"),
    }
}

impl<'a, const READERS: usize> Hand<'a, READERS> {
    fn does(&mut self, command: &str) -> &'static str {
        let lock = self.lock;
        match command {
            "read" => self.keeps(told(lock.read()), Guard::Read),
            "write" => self.keeps(told(lock.write()), Guard::Write),
            "upgradable" => self.keeps(told(lock.upgradable_read()), Guard::Upgradable),
            "timed-read" => self.keeps(told(lock.try_read_for(LONG)), Guard::Read),
            "timed-write" => self.keeps(told(lock.try_write_for(LONG)), Guard::Write),
            "read-briefly" => self.keeps(told(lock.try_read_for(BRIEF)), Guard::Read),
            // Takes it and gives it back.
            "pass-read" => told(lock.read()).1,
            "pass-write" => told(lock.write()).1,
            "pass-upgradable" => told(lock.upgradable_read()).1,
            "pass-nested" => {
                let (_outer, answer) = told(lock.read());
                drop(told(lock.read()).0);
                answer
            }
            "recover" => {
                drop(lock.write_or_recover(|data, _| *data = 0).unwrap());
                "done"
            }
            "unlock" => {
                self.guard = Guard::None;
                "done"
            }
            "upgrade" => {
                let Guard::Upgradable(guard) = self.take() else { panic!("nothing to upgrade") };
                let (guard, answer) = match RwLockUpgradableReadGuard::upgrade(guard) {
                    Ok(guard) => (guard, "clean"),
                    Err(UpgradeError::Poisoned(poison)) => (poison.into_inner(), "poisoned OwnerDied"),
                    Err(other) => panic!("{other}"),
                };
                self.guard = Guard::Write(guard);
                answer
            }
            "downgrade" => {
                self.guard = Guard::Read(match self.take() {
                    Guard::Write(guard) => RwLockWriteGuard::downgrade(guard),
                    Guard::Upgradable(guard) => RwLockUpgradableReadGuard::downgrade(guard),
                    _ => panic!("nothing to downgrade"),
                });
                "done"
            }
            "open" => {
                let Guard::Write(guard) = self.take() else { panic!("nothing to downgrade") };
                self.guard = Guard::Upgradable(RwLockWriteGuard::downgrade_to_upgradable(guard));
                "done"
            }
            // One turn after the other.
            "turns" => {
                let turns = ["upgradable", "upgrade", "open", "upgrade", "downgrade", "unlock"];
                let and_others = ["upgradable", "downgrade", "unlock"];
                turns.into_iter().chain(and_others).for_each(|command| _ = self.does(command));
                "done"
            }
            "forget-list" => {
                // SAFETY: a null list is none, and the length is the one that the kernel asks for.
                let done =
                    unsafe { libc::syscall(libc::SYS_set_robust_list, std::ptr::null::<u8>(), 3 * size_of::<usize>()) };
                Errno::result(done).unwrap();
                "done"
            }
            other => panic!("no command is called {other}"),
        }
    }

    fn keeps<G>(&mut self, (guard, answer): (G, &'static str), kind: fn(G) -> Guard<'a, READERS>) -> &'static str {
        self.guard = kind(guard);
        answer
    }

    fn take(&mut self) -> Guard<'a, READERS> {
        std::mem::replace(&mut self.guard, Guard::None)
    }
}
