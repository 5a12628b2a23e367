//! Dining philosophers: a process each, two forks to eat, any of them killed at any time. The table keeps going.

#[path = "support/mod.rs"]
mod support;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use pshared::{Cause, LockResult, Mutex, MutexGuard, Permits, Result, Shm, ShmSafe};

use crate::support::child::{self, Child};
use crate::support::place::Scratch;
use crate::support::state::wait_until;
use crate::support::watchdog;

const SEATS: usize = 5;
const KILLS: usize = 40;
/// What each seat's philosophers eat between two deaths, at the least, and at the end.
const MEALS: u64 = 20;

#[repr(C)]
#[derive(ShmSafe)]
struct Table {
    /// Who holds a fork writes its seat there, from 1, and 0 when it is put back.
    forks: [Mutex<u32>; SEATS],
    /// One chair less than seats: who sits can't be the last link of a ring that waits for itself.
    chairs: Permits<{ SEATS - 1 }>,
    meals: [AtomicU64; SEATS],
    /// Forks that a dead philosopher left in the middle of a meal.
    wiped: AtomicU32,
}

fn table() -> Result<Table> {
    let meals = [const { AtomicU64::new(0) }; SEATS];
    Ok(Table { forks: [const { Mutex::new(0) }; SEATS], chairs: Permits::new(), meals, wiped: AtomicU32::new(0) })
}

impl Table {
    fn fork(&self, fork: LockResult<MutexGuard<'static, u32>>, of: &Mutex<u32>) -> MutexGuard<'static, u32> {
        fork.unwrap_or_else(|error| {
            let (mut fork, cause) = error.recover().unwrap();
            assert_eq!(cause, Cause::OwnerDied);
            self.wiped.fetch_add(u32::from(*fork != 0), Ordering::Relaxed);
            *fork = 0;
            of.clear_poison();
            fork
        })
    }

    fn eat(&'static self, seat: usize, order: [usize; 2]) {
        let hands = order.map(|at| self.fork(self.forks[at].lock(), &self.forks[at]));
        for mut fork in hands {
            assert_eq!(*fork, 0, "somebody else eats with it");
            *fork = seat as u32 + 1;
            thread::yield_now();
            assert_eq!(*fork, seat as u32 + 1, "somebody else eats with it");
            *fork = 0;
        }
        self.meals[seat].fetch_add(1, Ordering::Relaxed);
    }
}

/// How philosophers that wait for each other in a ring are prevented.
const BY_ORDER: &str = "by order";
const BY_CHAIRS: &str = "by chairs";

fn philosophize(args: &[String]) -> ! {
    let table: &'static Table = Box::leak(Box::new(Shm::<Table>::open(&args[0]).unwrap()));
    let seat: usize = args[1].parse().unwrap();
    let (left, right) = (seat, (seat + 1) % SEATS);
    loop {
        if args[2] == BY_CHAIRS {
            let _chair = table.chairs.acquire().unwrap();
            table.eat(seat, [left, right]);
        } else {
            table.eat(seat, [left.min(right), left.max(right)]);
        }
    }
}

/// A generator of numbers that look random and can be had again (xorshift).
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

fn dine(test: &str, how: &str) {
    if let Some((_, args, _)) = child::role() {
        philosophize(&args);
    }
    let _watchdog = watchdog::watch(test);
    let scratch = Scratch::new();
    let [_, name] = scratch.posix().words();
    let table = Shm::create(&name, table).unwrap();
    let seat = |seat: usize| child::spawn(test, "philosopher", &[&name, &seat.to_string(), how]);
    let mut philosophers: Vec<Child> = (0..SEATS).map(seat).collect();

    // All of them eat, so nobody is locked out, whatever the dead held.
    let everybody_eats = |meals: u64| {
        let before: Vec<u64> = table.meals.iter().map(|meals| meals.load(Ordering::Relaxed)).collect();
        wait_until("everybody eats", || {
            let now = table.meals.iter().map(|meals| meals.load(Ordering::Relaxed));
            now.zip(&before).all(|(now, before)| now >= before + meals)
        });
    };
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..KILLS {
        thread::sleep(Duration::from_micros(random(&mut seed) % 3000));
        let victim = random(&mut seed) as usize % SEATS;
        philosophers.remove(victim).kill();
        philosophers.insert(victim, seat(victim));
        everybody_eats(1);
    }
    everybody_eats(MEALS);
    drop(philosophers);

    assert_eq!(table.chairs.available(), SEATS - 1);
    for fork in &table.forks {
        assert!(!fork.is_locked());
        drop(fork.lock_or_recover(|fork, _| *fork = 0).unwrap());
    }
    let meals: u64 = table.meals.iter().map(|meals| meals.load(Ordering::Relaxed)).sum();
    println!("{how}: {KILLS} killed, {meals} meals, {} forks wiped", table.wiped.load(Ordering::Relaxed));
}

#[test]
fn philosophers_that_take_the_lower_fork_first_keep_eating_whoever_is_killed() {
    dine("philosophers_that_take_the_lower_fork_first_keep_eating_whoever_is_killed", BY_ORDER);
}

#[test]
fn philosophers_with_a_chair_too_few_keep_eating_whoever_is_killed() {
    dine("philosophers_with_a_chair_too_few_keep_eating_whoever_is_killed", BY_CHAIRS);
}
