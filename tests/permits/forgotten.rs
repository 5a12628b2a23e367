//! U1, U2: memory with a permit that a thread of this process has stays mapped as long as that thread lives.

use std::thread;

use nix::sys::signal::{Signal, kill};
use pshared::{Permits, Shm};

use crate::support::child;
use crate::support::place::{Place, Scratch};
use crate::support::watchdog::watch;

/// How many mappings of the region this process has.
fn mappings(place: &Place) -> usize {
    let [_, name] = place.words();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.ends_with(&format!("/{}", name.trim_start_matches('/')))).count()
}

fn open(place: &Place) -> Shm<Permits<2>> {
    Shm::open_in(&*place.region(None)).unwrap()
}

#[test]
fn u2_a_forgotten_permit_keeps_its_memory_mapped_until_its_thread_has_ended() {
    let _watchdog = watch("u2");
    let scratch = Scratch::new();
    let place = scratch.posix();
    drop(Shm::create_in(&*place.region(None), || Ok(Permits::<2>::new())).unwrap());

    let shm = open(place);
    drop(shm.acquire().unwrap());
    drop(shm);
    assert_eq!(mappings(place), 0, "nobody forgot one");

    let shm = open(place);
    let clone = shm.clone();
    thread::spawn(move || clone.acquire().unwrap().forget()).join().unwrap();
    drop(shm);
    assert_eq!(mappings(place), 0, "the thread has ended");

    thread::spawn(move || {
        let scratch = scratch;
        let place = scratch.posix();
        let shm = open(place);
        assert_eq!(shm.available(), 2);
        shm.acquire().unwrap().forget();
        drop(shm);
        assert_eq!(mappings(place), 1);
        assert_eq!(open(place).available(), 1);
    })
    .join()
    .unwrap();
}

/// Were the forgotten one's memory gone, the kernel would not find the older one behind it.
#[test]
fn u1_a_forgotten_permit_hides_no_older_one_from_the_kernel() {
    const TEST: &str = "forgotten::u1_a_forgotten_permit_hides_no_older_one_from_the_kernel";
    if let Some((_, args, _)) = child::role() {
        let [older, newer] = [0, 2].map(|at| Place::from_words(&args[at..]));
        let older = open(&older);
        let _kept = older.acquire().unwrap();
        let newer = open(&newer);
        newer.acquire().unwrap().forget();
        drop(newer);
        kill(nix::unistd::getpid(), Signal::SIGKILL).unwrap();
    }
    let _watchdog = watch(TEST);
    let scratch = Scratch::new();
    let places = scratch.hidden();
    let [older, newer] = places.map(|place| Shm::create_in(&*place.region(None), || Ok(Permits::<2>::new())).unwrap());
    let words = places.map(Place::words);
    let args: Vec<&str> = words.iter().flatten().map(String::as_str).collect();
    assert!(!child::spawn(TEST, "victim", &args).wait().success());
    assert_eq!([older.available(), newer.available()], [2, 2]);
}
