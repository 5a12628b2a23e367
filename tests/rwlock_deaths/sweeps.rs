//! Killed after each instruction, or after each that changes what a kill leaves: what the kill sweep doesn't have, nested
//! reads, one place for many readers, and sleepers of every kind at once.
//!
//! The victim is stepped to the instruction, killed, and waited for: then the kernel has marked what it marks. If it had
//! the data for writing at that moment there must be poison, otherwise none; everybody who sleeps must come through, and
//! the lock must be free.

use crate::actor::{Actor, Found, Stage, run_until_asleep};
use crate::support::kill_points::KillPoints;
use crate::support::stepper::Stop;

/// What is swept: what the victim does before, what is stepped through, and what the others do.
struct Sweep<'a> {
    /// Where it is killed.
    points: fn() -> KillPoints,
    /// What the victim does before.
    before: &'a [&'a str],
    /// What it is killed in.
    command: &'a str,
    /// What an owner does before the others come; it lets go after the death.
    owner: Option<&'a str>,
    /// What each of the others waits for.
    sleepers: &'a [&'a str],
    /// Whether the victim is killed only since it has slept for the lock and been woken by the owner.
    woken: bool,
}

impl Sweep<'_> {
    fn run<const READERS: usize>(&self, name: &str) {
        let stage = Stage::<READERS>::new();
        let owner = stage.actor();
        let sleepers: Vec<Actor> = self.sleepers.iter().map(|_| stage.actor()).collect();
        let (mut poisoned, mut missed) = (0, 0);
        let mut points = (self.points)();
        while points.are_left() {
            let victim = stage.actor();
            if self.owner.is_some() {
                assert_eq!(victim.takes("pass-read"), Found::Clean); // its first lock prepares the thread
            }
            if let Some(command) = self.owner {
                assert_eq!(owner.takes(command), Found::Clean);
            }
            self.before.iter().for_each(|command| _ = victim.ask(command));
            let stepper = if self.woken {
                let stepper = victim.step_through(self.command);
                run_until_asleep(&stepper, &victim);
                self.others_sleep(&sleepers);
                owner.unlock();
                // Somebody who looked up by himself just now changes the order; that round is done again.
                if !matches!(stepper.stopped(), Stop::Exit { result: 0.. }) {
                    missed += 1;
                    assert!(missed < 200, "the schedule is never met");
                }
                stepper
            } else {
                self.others_sleep(&sleepers);
                victim.step_through(self.command)
            };
            points.send(&stepper);
            let (tid, writing) = (victim.tid, stage.is_writing(victim.tid));
            stepper.kill();
            victim.kill();
            assert!(!stage.owners().contains(&tid), "not marked by the kernel: {tid:x} in {:x?}", stage.owners());
            if self.owner.is_some() && !self.woken {
                owner.unlock();
            }
            let expected = Found::poisoned_if(writing);
            let found = stage.all_come_through(&sleepers.iter().collect::<Vec<_>>());
            // Where the victim is woken, others are too, and may have been in and out before it.
            let fits = |found: &Found| *found == expected || self.woken && *found == Found::Clean;
            assert!(found.iter().all(fits), "{expected:?} was expected: {found:?}");
            assert_eq!(stage.must_be_free(), expected, "{points}");
            poisoned += usize::from(writing);
        }
        let fresh = stage.actor();
        for command in ["pass-read", "pass-write", "pass-read", "pass-write", "pass-upgradable"] {
            assert_eq!(fresh.takes(command), Found::Clean);
        }
        println!("futex rwlock {name}: {points}, {poisoned} poisoned, 0 stuck, {missed} missed");
        assert!(points.kills() > 2, "nothing was stepped through");
    }

    fn others_sleep(&self, sleepers: &[Actor]) {
        sleepers.iter().zip(self.sleepers).for_each(|(sleeper, command)| sleeper.sleep_on(command));
    }
}

const ALONE: Sweep<'static> =
    Sweep { points: KillPoints::each, before: &["pass-read"], command: "", owner: None, sleepers: &[], woken: false };

#[test]
fn killed_in_reads_inside_reads() {
    Sweep { command: "pass-nested", ..ALONE }.run::<64>("nested reads");
}

#[test]
fn killed_in_turns_of_one_kind_into_another() {
    Sweep { command: "turns", points: KillPoints::changes, ..ALONE }.run::<64>("upgrades and downgrades");
    Sweep { command: "turns", points: KillPoints::changes, ..ALONE }.run::<1>("upgrades and downgrades, one place");
}

/// Everybody who can wait behind a writer.
const BEHIND_A_WRITER: &[&str] = &["pass-read", "pass-write", "pass-read", "pass-upgradable"];

#[test]
fn killed_while_a_writer_unlocks_with_sleepers_of_each_kind() {
    let sweep = Sweep {
        command: "unlock",
        before: &["write"],
        sleepers: BEHIND_A_WRITER,
        points: KillPoints::changes,
        ..ALONE
    };
    sweep.run::<64>("unlock of a writer, four sleepers");
    Sweep { sleepers: &["pass-read"], ..sweep }.run::<64>("unlock of a writer, a reader asleep");
    Sweep { sleepers: &["pass-write"], ..sweep }.run::<64>("unlock of a writer, a writer asleep");
    Sweep { ..sweep }.run::<1>("unlock of a writer, four sleepers, one place");
}

#[test]
fn killed_while_a_reader_unlocks_with_sleepers_of_each_kind() {
    let sleepers = &["pass-write", "pass-read", "pass-write", "pass-upgradable"];
    let sweep = Sweep { command: "unlock", before: &["read"], sleepers, points: KillPoints::changes, ..ALONE };
    sweep.run::<64>("unlock of a reader, four sleepers");
    let sleepers = &["pass-read", "pass-read", "pass-write"];
    Sweep { sleepers, ..sweep }.run::<1>("unlock of a reader, two readers too many and a writer");
}

#[test]
fn killed_while_a_writer_turns_into_another_kind_with_sleepers() {
    let sweep = Sweep {
        command: "downgrade",
        before: &["write"],
        sleepers: BEHIND_A_WRITER,
        points: KillPoints::changes,
        ..ALONE
    };
    sweep.run::<64>("downgrade, four sleepers");
    Sweep { command: "open", ..sweep }.run::<64>("downgrade to upgradable, four sleepers");
    Sweep { ..sweep }.run::<1>("downgrade, four sleepers, one place");
}

#[test]
fn a_waiter_killed_on_its_way_to_sleep() {
    for command in ["upgradable", "timed-write"] {
        let sleepers = &["pass-write", "pass-read"];
        let sweep =
            Sweep { command, owner: Some("write"), before: &[], sleepers, points: KillPoints::changes, woken: false };
        sweep.run::<64>(&format!("{command} behind a writer, two sleepers"));
    }
    let sweep = Sweep {
        command: "read",
        owner: Some("read"),
        before: &[],
        sleepers: &[],
        points: KillPoints::changes,
        woken: false,
    };
    sweep.run::<1>("read without a place");
}

/// From the moment it is woken, through taking the lock.
#[test]
fn a_waiter_killed_since_it_was_woken() {
    let sweep = Sweep {
        command: "pass-upgradable",
        owner: Some("write"),
        before: &[],
        sleepers: &["pass-read", "pass-write"],
        points: KillPoints::changes,
        woken: true,
    };
    sweep.run::<64>("woken upgradable behind a writer, two sleepers");
    let without_place = Sweep { command: "pass-read", owner: Some("read"), sleepers: &["pass-write"], ..sweep };
    without_place.run::<1>("woken read without a place, one sleeper");
}
