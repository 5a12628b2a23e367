//! Creating, opening and removing, in every kind of region, and what is left when it goes wrong.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use pshared::region::{Anonymous, Posix};
use pshared::{Error, Mutex, Result, Shm, ShmCell, ShmSafe};

use super::*;
use crate::support::watchdog::watch;

#[repr(C)]
#[derive(Debug, ShmSafe)]
struct Stats {
    total: Mutex<u64>,
    runs: AtomicU64,
}

impl Stats {
    fn of(total: u64) -> Result<Stats> {
        Ok(Stats { total: Mutex::new(total), runs: AtomicU64::new(0) })
    }
}

fn total(shm: &Shm<Stats>) -> u64 {
    *shm.total.lock().unwrap()
}

static_assertions::assert_impl_all!(Shm<Stats>: Send, Sync, Clone, std::fmt::Debug);
static_assertions::assert_impl_all!(ShmCell<Stats>: Send, Sync);

#[test]
fn what_one_creates_another_opens() {
    let scratch = Scratch::new();
    for (place, region) in every_region(&scratch) {
        let created = Shm::create_in(&*region, || Stats::of(7)).unwrap();
        let opened = Shm::<Stats>::open_in(&*region).unwrap();
        assert!(!std::ptr::eq(&*created, &*opened), "two mappings: {place:?}");
        *opened.total.lock().unwrap() += 1;
        opened.runs.fetch_add(1, Ordering::Relaxed);
        assert_eq!((total(&created), created.runs.load(Ordering::Relaxed)), (8, 1), "{place:?}");
        let attached = Shm::open_or_create_in(&*region, || panic!("it exists: {place:?}")).unwrap();
        assert_eq!(total(&attached), 8);
        for shm in [&created, &opened, &attached] {
            assert!(shm.size() >= ShmCell::<Stats>::size(), "{place:?}");
            assert_eq!(shm.size(), region.size().unwrap(), "{place:?}");
        }
        // Somebody else's value is not touched.
        let what = region.describe().into();
        assert_eq!(Shm::create_in(&*region, || Stats::of(9)).unwrap_err(), Error::AlreadyExists { what }, "{place:?}");
        assert!(matches!(Shm::<Stats>::create_zeroed_in(&*region), Err(Error::AlreadyExists { .. })), "{place:?}");
        assert_eq!(total(&attached), 8);
    }
}

#[test]
fn what_nobody_created_is_not_found_and_is_created_by_who_asks_for_both() {
    let scratch = Scratch::new();
    for (place, region) in every_region(&scratch) {
        let not_found = Error::NotFound { what: region.describe().into() };
        assert_eq!(Shm::<Stats>::open_in(&*region).unwrap_err(), not_found);
        assert_eq!(Shm::<Stats>::remove_in(&*region).unwrap_err(), not_found);
        assert!(place.is_none_or(|place| !place.exists()));
        assert_eq!(total(&Shm::open_or_create_in(&*region, || Stats::of(3)).unwrap()), 3, "{place:?}");
        assert!(place.is_none_or(Place::exists));
    }
}

#[test]
fn what_was_removed_is_not_found_and_stays_with_those_who_have_it() {
    let scratch = Scratch::new();
    for place in &scratch.places {
        let region = place.region(None);
        let old = Shm::create_in(&*region, || Stats::of(1)).unwrap();
        Shm::<Stats>::remove_in(&*region).unwrap();
        assert!(!place.exists());
        assert!(matches!(Shm::<Stats>::open_in(&*region), Err(Error::NotFound { .. })), "{place:?}");
        assert!(matches!(Shm::<Stats>::remove_in(&*region), Err(Error::NotFound { .. })), "{place:?}");
        let new = Shm::open_or_create_in(&*region, || Stats::of(2)).unwrap();
        *old.total.lock().unwrap() += 10;
        assert_eq!((total(&old), total(&new)), (11, 2), "{place:?}");
    }
}

#[test]
fn names_are_those_of_posix_shared_memory() {
    let name = format!("pshared-cell-names-{}", std::process::id());
    assert!(matches!(Shm::<Stats>::open(&name), Err(Error::NotFound { .. })));
    let created = Shm::create(&name, || Stats::of(4)).unwrap();
    assert!(Path::new("/dev/shm").join(&name).exists());
    assert_eq!(total(&Shm::open(&name).unwrap()), 4);
    assert_eq!(total(&Shm::open_in(&Posix::new(&name).unwrap()).unwrap()), 4);
    assert_eq!(total(&Shm::open_or_create(&name, || Stats::of(5)).unwrap()), 4);
    assert!(matches!(Shm::create(&name, || Stats::of(6)), Err(Error::AlreadyExists { .. })));
    Shm::<Stats>::remove(&name).unwrap();
    assert!(!Path::new("/dev/shm").join(&name).exists());
    drop(created);
    assert_eq!(total(&Shm::<Stats>::create_zeroed(&name).unwrap()), 0);
    Shm::<Stats>::remove(&name).unwrap();
    for bad in ["", "a/b", "a\0b", "..", &"n".repeat(300)] {
        assert!(matches!(Shm::<Stats>::open(bad), Err(Error::InvalidName { .. })), "{bad:?}");
        assert!(matches!(Shm::create(bad, || Stats::of(0)), Err(Error::InvalidName { .. })), "{bad:?}");
        assert!(matches!(Shm::<Stats>::create_zeroed(bad), Err(Error::InvalidName { .. })), "{bad:?}");
        assert!(matches!(Shm::open_or_create(bad, || Stats::of(0)), Err(Error::InvalidName { .. })), "{bad:?}");
        assert!(matches!(Shm::<Stats>::remove(bad), Err(Error::InvalidName { .. })), "{bad:?}");
    }
}

#[test]
fn zeroed_cells_hold_unlocked_locks() {
    let scratch = Scratch::new();
    for (place, region) in every_region(&scratch) {
        let zeroed = Shm::<Stats>::create_zeroed_in(&*region).unwrap();
        assert!(!zeroed.total.is_locked() && !zeroed.total.is_poisoned(), "{place:?}");
        *zeroed.total.lock().unwrap() += 2;
        assert_eq!(total(&Shm::open_in(&*region).unwrap()), 2, "{place:?}");
    }
}

#[test]
fn anonymous_memory_is_created_once_and_never_opened() {
    let region = Anonymous::new();
    let shm = Shm::create_in(&region, || Stats::of(5)).unwrap();
    assert_eq!(total(&shm), 5);
    assert!(matches!(Shm::create_in(&region, || Stats::of(6)), Err(Error::AlreadyExists { .. })));
    assert!(matches!(Shm::<Stats>::open_in(&region), Err(Error::Unsupported { .. })));
    assert!(matches!(Shm::open_or_create_in(&region, || Stats::of(6)), Err(Error::Unsupported { .. })));
    assert_eq!(total(&shm), 5);
}

/// What the failure of `init` leaves, however it fails.
fn assert_nothing_is_left(fail: impl Fn(&dyn Region) -> std::result::Result<(), Error>) {
    let scratch = Scratch::new();
    for (place, region) in every_region(&scratch) {
        assert_eq!(fail(&*region), Err(Error::TimedOut), "{place:?}");
        if place.is_none_or(|place| scratch.hidden().iter().any(|hidden| std::ptr::eq(*hidden, place))) {
            assert!(matches!(region.open(), Err(Error::NotFound { .. })), "{place:?}");
        }
        assert_eq!(scratch.leftovers(), [""; 0], "{place:?}");
        // Nor does it stand in anybody's way.
        let shm = Shm::create_in(&*region, || Stats::of(8)).unwrap_or_else(|e| panic!("{place:?}: {e}"));
        assert_eq!(total(&shm), 8);
        Shm::<Stats>::remove_in(&*region).unwrap();
    }
}

#[test]
fn an_error_of_init_is_handed_out_and_leaves_nothing() {
    assert_nothing_is_left(|region| Shm::<Stats>::create_in(region, || Err(Error::TimedOut)).map(drop));
    assert_nothing_is_left(|region| Shm::<Stats>::open_or_create_in(region, || Err(Error::TimedOut)).map(drop));
}

#[test]
fn a_panic_of_init_leaves_nothing() {
    let panics = |create: fn(&dyn Region) -> Result<Shm<Stats>>| {
        move |region: &dyn Region| {
            let result = catch_unwind(AssertUnwindSafe(|| create(region)));
            assert_eq!(*result.unwrap_err().downcast::<&str>().unwrap(), "on purpose");
            Err(Error::TimedOut)
        }
    };
    assert_nothing_is_left(panics(|region| Shm::create_in(region, || resume_unwind(Box::new("on purpose")))));
    assert_nothing_is_left(panics(|region| Shm::open_or_create_in(region, || resume_unwind(Box::new("on purpose")))));
}

#[test]
fn init_runs_once_at_most() {
    let scratch = Scratch::new();
    for (place, region) in every_region(&scratch) {
        let runs = Cell::new(0);
        let init = || {
            runs.set(runs.get() + 1);
            Stats::of(1)
        };
        let _shm = Shm::open_or_create_in(&*region, init).unwrap();
        let _again = Shm::open_or_create_in(&*region, init).unwrap();
        assert_eq!(runs.get(), 1, "{place:?}");
    }
}

/// How many mappings of the place this process has.
fn mappings_of(place: &Place) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let inode = |path: &Path| path.metadata().unwrap().ino().to_string();
    let has = |line: &str, inode: &str| line.split_whitespace().nth(4) == Some(inode);
    match place {
        Place::Posix(name) => {
            let inode = inode(&Path::new("/dev/shm").join(name));
            maps.lines().filter(|line| has(line, &inode)).count()
        }
        Place::File(path) => {
            let inode = inode(path);
            maps.lines().filter(|line| has(line, &inode)).count()
        }
        Place::Key(key) => maps.lines().filter(|line| line.contains(&format!("/SYSV{key:08x}"))).count(),
        Place::Ftok(_) => panic!("a key like the other"),
    }
}

#[test]
fn the_last_clone_unmaps() {
    let scratch = Scratch::new();
    for place in &scratch.places[..3] {
        let region = place.region(None);
        let created = Shm::create_in(&*region, || Stats::of(0)).unwrap();
        assert_eq!(mappings_of(place), 1, "{place:?}");
        let clone = created.clone();
        assert!(std::ptr::eq(&*created, &*clone), "a clone is the same mapping: {place:?}");
        assert_eq!(mappings_of(place), 1, "{place:?}");
        drop(created);
        assert_eq!(mappings_of(place), 1, "{place:?}");
        // In another thread, which has it last.
        thread::spawn(move || *clone.total.lock().unwrap() += 1).join().unwrap();
        assert_eq!(mappings_of(place), 0, "{place:?}");
        let opened = Shm::<Stats>::open_in(&*region).unwrap();
        assert_eq!((mappings_of(place), total(&opened)), (1, 1), "{place:?}");
        drop(opened);
        assert_eq!(mappings_of(place), 0, "{place:?}");
    }
}

#[test]
fn a_refused_cell_is_not_left_mapped() {
    let scratch = Scratch::new();
    for place in &scratch.places[..3] {
        let region = place.region(None);
        drop(Shm::create_in(&*region, || Stats::of(0)).unwrap());
        Shm::<Mutex<u64>>::open_in(&*region).unwrap_err();
        Shm::create_in(&*region, || Stats::of(0)).unwrap_err();
        assert_eq!(mappings_of(place), 0, "{place:?}");
    }
}

#[test]
fn memory_in_which_a_thread_still_holds_a_lock_stays() {
    let _watchdog = watch("memory_in_which_a_thread_still_holds_a_lock_stays");
    let scratch = Scratch::new();
    for place in &scratch.places[..3] {
        let region = place.region(None);
        let shm = Shm::create_in(&*region, || Stats::of(0)).unwrap();
        let (held, let_go) = (channel(), channel::<()>());
        let holder = thread::spawn({
            let shm = shm.clone();
            move || {
                std::mem::forget(shm.total.lock().unwrap());
                drop(shm);
                held.0.send(()).unwrap();
                let_go.1.recv().unwrap();
            }
        });
        held.1.recv().unwrap();
        drop(shm);
        assert_eq!(mappings_of(place), 1, "{place:?}");
        let_go.0.send(()).unwrap();
        holder.join().unwrap();
        // Its end was noticed there.
        let opened = Shm::<Stats>::open_in(&*region).unwrap();
        assert!(opened.total.is_poisoned() && !opened.total.is_locked(), "{place:?}");
    }
}
