//! U1, U2 of the list of hazards: memory with a lock that a thread of this process has stays mapped as long as that thread
//! lives.

use std::mem::forget;
use std::thread;

use nix::sys::signal::{Signal, kill};
use pshared::{RwLock, Shm};

use crate::cause;
use crate::support::child;
use crate::support::place::{Place, Scratch};
use crate::support::watchdog::watch;

type Lock = RwLock<u64, 2>;

/// How many mappings of the region this process has.
fn mappings(place: &Place) -> usize {
    let [_, name] = place.words();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.ends_with(&format!("/{}", name.trim_start_matches('/')))).count()
}

fn create(place: &Place) -> Shm<Lock> {
    Shm::create_in(&*place.region(None), || Ok(RwLock::with_readers(0))).unwrap()
}

fn open(place: &Place) -> Shm<Lock> {
    Shm::open_in(&*place.region(None)).unwrap()
}

/// A way to take the lock for good.
type Keep = fn(&Lock);

const WAYS: [(&str, Keep); 6] = [
    ("write", |l| forget(l.write().unwrap())),
    ("read", |l| forget(l.read().unwrap())),
    ("upgradable", |l| forget(l.upgradable_read().unwrap())),
    ("one of two reads", |l| {
        forget(l.read().unwrap());
        drop(l.read().unwrap());
    }),
    ("downgraded", |l| forget(pshared::RwLockWriteGuard::downgrade(l.write().unwrap()))),
    ("mapped", |l| forget(pshared::RwLockReadGuard::map(l.read().unwrap(), |n| n))),
];

#[test]
fn u2_a_forgotten_guard_keeps_its_memory_mapped_until_its_thread_has_ended() {
    let _watchdog = watch("u2");
    for (name, keep) in WAYS {
        let scratch = Scratch::new();
        let place = scratch.posix();
        drop(create(place));

        let shm = open(place);
        drop(shm.write().unwrap());
        drop(shm.read().unwrap());
        drop(shm);
        assert_eq!(mappings(place), 0, "{name}: nobody forgot one");

        let shm = open(place);
        let clone = shm.clone();
        thread::spawn(move || keep(&clone)).join().unwrap();
        drop(shm);
        assert_eq!(mappings(place), 0, "{name}: the thread has ended");

        let shm = open(place);
        shm.clear_poison();
        thread::spawn(move || {
            let place = scratch.posix();
            keep(&shm);
            drop(shm);
            assert_eq!(mappings(place), 1, "{name}");
            assert!(open(place).is_locked(), "{name}");
        })
        .join()
        .unwrap();
    }
}

/// Were the forgotten one's memory gone, the kernel would not find the older one behind it.
#[test]
fn u1_a_forgotten_guard_hides_no_older_one_from_the_kernel() {
    const TEST: &str = "forgotten::u1_a_forgotten_guard_hides_no_older_one_from_the_kernel";
    if let Some((_, args, _)) = child::role() {
        let [older, newer] = [0, 2].map(|at| Place::from_words(&args[at..]));
        let older = open(&older);
        let _kept = older.write().unwrap();
        let newer = open(&newer);
        let (_, keep) = WAYS[args[4].parse::<usize>().unwrap()];
        keep(&newer);
        drop(newer);
        kill(nix::unistd::getpid(), Signal::SIGKILL).unwrap();
    }
    let _watchdog = watch(TEST);
    for (number, (name, _)) in WAYS.iter().enumerate() {
        let scratch = Scratch::new();
        let places = scratch.hidden();
        let [older, newer] = places.map(create);
        let [of_older, of_newer] = places.map(Place::words);
        let number = number.to_string();
        let args: Vec<&str> = of_older.iter().chain(&of_newer).map(String::as_str).chain([number.as_str()]).collect();
        assert!(!child::spawn(TEST, "victim", &args).wait().success());
        assert!(!older.is_locked() && !newer.is_locked(), "{name}: the kernel didn't tell");
        assert_eq!(cause(older.try_write()), Some(pshared::Cause::OwnerDied), "{name}");
        assert_eq!(cause(newer.try_write()).is_some(), *name == "write", "{name}");
    }
}
