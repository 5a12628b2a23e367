//! Creators killed, and creators at the same time.

use std::sync::atomic::{AtomicU32, Ordering};

use nix::unistd::gettid;
use pshared::{Error, Shm, ShmSafe};

use crate::Mutex;
use crate::actor::{LONG, TEST};
use crate::staged;
use crate::support::child::{self, Child, Peer};
use crate::support::place::{Place, Scratch};
use crate::support::schedule::{self, sleeps};
use crate::support::stepper::{Stepper, Stop, mark};

/// What is created: complete only if all of it is there.
#[repr(C)]
#[derive(ShmSafe)]
struct Made {
    first: AtomicU32,
    numbers: Mutex<[u64; 300]>,
    last: AtomicU32,
}

fn made(by: u32) -> Made {
    Made { first: AtomicU32::new(by), numbers: Mutex::new([u64::from(by); 300]), last: AtomicU32::new(by) }
}

impl Made {
    /// Whose value it is; all of it must be.
    fn by(&self) -> u32 {
        let first = self.first.load(Ordering::SeqCst);
        assert_eq!(self.last.load(Ordering::SeqCst), first);
        assert_eq!(*self.numbers.try_lock_for(LONG).unwrap(), [u64::from(first); 300]);
        first
    }
}

/// The creator's ways.
const CALLS: [&str; 2] = ["create", "open_or_create"];

fn creator(place: &Place, call: &str) -> (Child, Stepper) {
    let [kind, at] = place.words();
    let child = child::spawn(TEST, "creator", &[&kind, &at, call]);
    let tid = child.peer.hear().parse().unwrap();
    let stepper = Stepper::seize(tid);
    child.peer.say("go");
    assert_eq!(stepper.stopped(), Stop::Mark);
    (child, stepper)
}

/// The process of the tests below.
pub fn create(args: &[String], peer: &Peer) {
    let region = Place::from_words(args).region(None);
    let me = std::process::id();
    let shm;
    match args[2].as_str() {
        "create" | "open_or_create" => {
            peer.say(&gettid().to_string());
            peer.expect("go");
            mark();
            shm = match args[2].as_str() {
                "create" => Shm::create_in(&*region, || Ok(made(me))),
                _ => Shm::open_or_create_in(&*region, || Ok(made(me))),
            };
            mark();
        }
        "create and stop inside" => {
            peer.say(&gettid().to_string());
            peer.expect("go");
            shm = Shm::create_in(&*region, || {
                mark();
                Ok(made(me))
            });
            mark();
        }
        attach => {
            peer.say(&gettid().to_string());
            shm = match attach {
                "attach" => Shm::<Made>::open_in(&*region),
                _ => Shm::open_or_create_in(&*region, || Ok(made(me))),
            };
        }
    }
    peer.say(&shm.unwrap().by().to_string());
}

/// What comes after a killed creator: one that creates or opens, and finds or makes all of it; then nothing is left.
fn next_one_has_it(scratch: &Scratch, place: &Place, dead: u32, call: &str) -> bool {
    let region = place.region(None);
    let hidden = matches!(place, Place::Posix(_) | Place::File(_));
    let existed = place.exists();
    if hidden {
        // Of what others can't see nothing is left; what they can see is complete.
        assert_eq!(scratch.leftovers().len(), usize::from(existed));
    }
    let me = std::process::id();
    let opened = Shm::<Made>::open_in(&*region).map(|shm| shm.by());
    let before = match opened {
        Ok(by) => {
            assert_eq!(by, dead);
            true
        }
        Err(Error::NotFound { .. }) => {
            assert!(!existed);
            false
        }
        Err(error) => panic!("{error}"),
    };
    let made_by = match call {
        "create" => match Shm::create_in(&*region, || Ok(made(me))) {
            Err(Error::AlreadyExists { .. }) if before => dead,
            other => other.unwrap().by(),
        },
        _ => Shm::open_or_create_in(&*region, || Ok(made(me))).unwrap().by(),
    };
    assert_eq!(made_by, if before { dead } else { me });
    Shm::<Made>::remove_in(&*region).unwrap();
    assert!(!place.exists());
    assert!(scratch.leftovers().is_empty());
    before
}

/// The same for a place where a segment is found as soon as it exists: opening an unfinished one would only wait.
fn next_one_finishes_it(place: &Place, dead: u32, call: &str) -> bool {
    let region = place.region(None);
    let me = std::process::id();
    let create = || Ok(made(me));
    let shm = match call {
        "create" => Shm::create_in(&*region, create).or_else(|error| match error {
            Error::AlreadyExists { .. } => Shm::open_in(&*region),
            error => Err(error),
        }),
        _ => Shm::open_or_create_in(&*region, create),
    };
    let made_by = shm.unwrap().by();
    assert!([dead, me].contains(&made_by));
    Shm::<Made>::remove_in(&*region).unwrap();
    assert!(!place.exists());
    made_by == dead
}

fn after_the_death(scratch: &Scratch, place: &Place, dead: u32, call: &str) -> bool {
    match place {
        Place::Posix(_) | Place::File(_) => next_one_has_it(scratch, place, dead, call),
        Place::Key(_) | Place::Ftok(_) => next_one_finishes_it(place, dead, call),
    }
}

/// Kills creators after 0, 1, 2, … advances; an advance that comes to the end says `false`.
fn kill_creators(what: &str, mut advance: impl FnMut(&Stepper, usize) -> bool) {
    let scratch = Scratch::new();
    for place in &scratch.places[..3] {
        for call in CALLS {
            let mut whole = 0;
            for kills in 0.. {
                let (child, stepper) = creator(place, call);
                let dead = child.id();
                let more = advance(&stepper, kills);
                stepper.kill();
                child.kill();
                whole += usize::from(after_the_death(&scratch, place, dead, call));
                if !more {
                    let [kind, _] = place.words();
                    println!("{kind}, {call}: creators killed at {} {what}, {whole} of them were done", kills + 1);
                    assert!(whole > 0 && whole < kills);
                    break;
                }
            }
        }
    }
}

#[test]
fn e13_a_creator_killed_at_any_system_call() {
    // Before each of them and after each of them.
    kill_creators("stops at system calls", |stepper, count| (0..count).all(|_| stepper.to_syscall() != Stop::Mark));
}

#[test]
fn e13_a_creator_killed_between_its_system_calls() {
    const DEPTHS: [usize; 3] = [3, 40, 500];
    kill_creators(&format!("instructions, {DEPTHS:?} after each system call"), |stepper, count| {
        let (call, depth) = (count / DEPTHS.len(), DEPTHS[count % DEPTHS.len()]);
        (0..call * 2).all(|_| stepper.to_syscall() != Stop::Mark)
            && (0..depth).all(|_| !matches!(stepper.step(), Stop::Mark))
    });
}

/// Where others find the memory at once, between making the value and saying that it is complete.
#[test]
fn e13_a_creator_killed_between_value_and_publishing() {
    const POINTS: usize = 40;
    let scratch = Scratch::new();
    let place = &scratch.segments()[0];
    let length = instructions_to_publishing();
    let mut whole = 0;
    for point in 0..=POINTS {
        let (child, stepper) = creator(place, "create and stop inside");
        (0..length * point / POINTS).for_each(|_| assert_eq!(stepper.step(), Stop::Stepped));
        let dead = child.id();
        stepper.kill();
        child.kill();
        whole += usize::from(after_the_death(&scratch, place, dead, CALLS[point % 2]));
    }
    println!("creators killed at {POINTS} of {length} instructions after the value was made, {whole} were done");
    assert!(whole > 0 && whole < POINTS);
}

#[test]
fn e14_two_processes_create_at_once() {
    const ROUNDS: u32 = 300;
    let scratch = Scratch::new();
    for place in &scratch.places[..3] {
        let [kind, at] = place.words();
        let start = scratch.places[3].region(None);
        let gate = Shm::create_in(&*start, || Ok([const { AtomicU32::new(0) }; 2])).unwrap();
        let [_, gate_at] = scratch.places[3].words();
        let racers = [0, 1].map(|number| child::spawn(TEST, "racer", &[&kind, &at, &gate_at, &number.to_string()]));
        let mut wins = [0, 0];
        for round in 1..=ROUNDS {
            gate[0].store(round, Ordering::SeqCst); // both spin on it
            let saw = [0, 1].map(|racer: usize| racers[racer].peer.hear());
            assert_eq!(saw[0], saw[1], "round {round}");
            let by = racers.iter().position(|racer| racer.id().to_string() == saw[0]);
            wins[by.unwrap_or_else(|| panic!("round {round}: by {}", saw[0]))] += 1;
            let shm = Shm::<Made>::open_in(&*place.region(None)).unwrap();
            assert_eq!(shm.numbers.try_lock().unwrap()[0], u64::from(shm.first.load(Ordering::SeqCst)) + 2);
            Shm::<Made>::remove_in(&*place.region(None)).unwrap();
        }
        drop(racers);
        Shm::<[AtomicU32; 2]>::remove_in(&*start).unwrap();
        println!("{kind}: {ROUNDS} rounds, created by one or the other {wins:?} times");
    }
}

/// Creates or opens each round, adds 1 under the lock, and says whose value it was.
pub fn race(args: &[String], peer: &Peer) {
    let region = Place::from_words(args).region(None);
    let gate = Place::Ftok(args[2].clone().into()).region(None);
    let gate = Shm::<[AtomicU32; 2]>::open_in(&*gate).unwrap();
    let me = std::process::id();
    for round in 1.. {
        while gate[0].load(Ordering::SeqCst) < round {
            std::hint::spin_loop();
        }
        let shm = Shm::open_or_create_in(&*region, || Ok(made(me))).unwrap();
        shm.numbers.lock().unwrap()[0] += 1;
        gate[1].fetch_add(1, Ordering::SeqCst);
        // The name goes when both have said something, so neither creates it again.
        peer.say(&shm.first.load(Ordering::SeqCst).to_string());
    }
}

/// Where a creator is killed, on its way to publish a segment that others wait for.
#[derive(Clone, Copy, Debug)]
enum Around {
    /// So many instructions before it enters the call that publishes and wakes.
    Before(usize),
    /// In the call, before the kernel does anything.
    Entering,
    /// In the call, after the kernel has done everything.
    Leaving,
    /// So many instructions after it.
    After(usize),
}

#[test]
fn e17_a_creator_killed_around_publishing_with_attachers_asleep() {
    let before = [2000, 500, 100, 30, 10, 5, 3, 2, 1].map(Around::Before);
    let after = [1, 2, 3, 5, 10, 30, 100, 500].map(Around::After);
    let moments = before.into_iter().chain([Around::Entering, Around::Leaving]).chain(after);
    let length = instructions_to_publishing();
    let mut made_by_the_dead = 0;
    let mut kills = 0;
    for moment in moments {
        made_by_the_dead +=
            usize::from(staged(&format!("e17 {moment:?}"), || killed_around_publishing(moment, length)));
        kills += 1;
    }
    println!("{kills} creators killed, {made_by_the_dead} had made the value that all found");
    assert!(made_by_the_dead > 9);
}

/// How many instructions a creator takes from its closure to the call that publishes.
fn instructions_to_publishing() -> usize {
    let scratch = Scratch::new();
    let (_child, stepper) = creator(&scratch.segments()[0], "create and stop inside");
    let mut length = 0;
    while !is_at_publishing(&stepper) {
        assert_eq!(stepper.step(), Stop::Stepped);
        length += 1;
    }
    length
}

fn is_at_publishing(stepper: &Stepper) -> bool {
    stepper.next_futex_operation() == Some(libc::FUTEX_WAKE_OP)
}

/// Says whether the value that all attachers found was the dead one's; `None` if they weren't asleep.
fn killed_around_publishing(moment: Around, length: usize) -> Option<bool> {
    let scratch = Scratch::new();
    let place = &scratch.segments()[0];
    let [kind, at] = place.words();
    let (child, stepper) = creator(place, "create and stop inside");
    let attachers = ["attach", "attach or create", "attach or create"].map(|call| {
        let child = child::spawn(TEST, "creator", &[&kind, &at, call]);
        let tid: u32 = child.peer.hear().parse().unwrap();
        schedule::wait_until_asleep(tid);
        (child, tid)
    });
    let before = attachers.each_ref().map(|(_, tid)| sleeps(*tid));
    match moment {
        Around::Before(count) => (count..length).for_each(|_| assert_eq!(stepper.step(), Stop::Stepped)),
        _ => while !stepper.to_syscall().is_futex_wake_op() {},
    }
    let slept = attachers.each_ref().map(|(_, tid)| sleeps(*tid)) == before;
    match moment {
        Around::Leaving => assert_eq!(stepper.to_syscall(), Stop::Exit { result: 3 }),
        Around::After(count) => {
            let woken = stepper.to_syscall();
            assert!(matches!(woken, Stop::Exit { .. }));
            for _ in 0..count {
                if stepper.step() == Stop::Mark {
                    break;
                }
            }
        }
        _ => {}
    }
    let dead = child.id();
    stepper.kill();
    child.kill();
    // The kernel or the dead one has woken somebody, who goes on at once.
    let asleep = attachers.iter().filter(|(_, tid)| schedule::is_asleep(*tid)).count();
    assert!(asleep < attachers.len(), "{moment:?}: all asleep");
    let found = attachers.each_ref().map(|(child, _)| child.peer.hear().parse::<u32>().unwrap());
    assert_eq!(found[0], found[1]);
    assert_eq!(found[1], found[2]);
    slept.then_some(found[0] == dead)
}
