//! `ShmCell` in memory that the caller mapped: made there, found there, refused there.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use pshared::region::{Anonymous, Mapping, Region};
use pshared::{Cause, Error, Mutex, Result, ShmCell, ShmSafe};

use crate::support::child;
use crate::support::place::{Place, Scratch};
use crate::support::state::{tid, wait_until_asleep_in_a_lock};
use crate::support::watchdog::watch;

#[repr(C)]
#[derive(Debug, ShmSafe)]
struct Pair {
    left: Mutex<u64>,
    right: Mutex<u64>,
}

impl Pair {
    fn of(left: u64) -> Result<Pair> {
        Ok(Pair { left: Mutex::new(left), right: Mutex::new(0) })
    }
}

fn blank(len: usize) -> Mapping {
    Anonymous::new().stage(len).unwrap().into_mapping()
}

/// Where a cell would stand, for all of the test: the mapping is leaked.
struct Memory(NonNull<[u8]>);

// SAFETY: an address of memory that is never unmapped.
unsafe impl Sync for Memory {}

impl Memory {
    fn new() -> Memory {
        Memory::of(blank(ShmCell::<Pair>::size()))
    }

    fn of(mapping: Mapping) -> Memory {
        let memory = Memory(mapping.as_slice_ptr());
        mapping.keep();
        memory
    }

    fn init(&self, init: impl FnOnce() -> Result<Pair>) -> Result<&'static ShmCell<Pair>> {
        // SAFETY: mapped for good, for cells only, and zero when it was new.
        unsafe { ShmCell::init(self.0, init) }
    }

    fn attach(&self) -> Result<&'static ShmCell<Pair>> {
        // SAFETY: as above.
        unsafe { ShmCell::attach(self.0) }
    }
}

#[test]
fn a_cell_is_made_once_and_found_ever_after() {
    let memory = Memory::new();
    let made = memory.init(|| Pair::of(4)).unwrap();
    let found = memory.attach().unwrap();
    assert!(std::ptr::eq(made, found));
    *found.left.lock().unwrap() += 1;
    let what = "the caller's memory".into();
    assert_eq!(memory.init(|| panic!("it exists")).err(), Some(Error::AlreadyExists { what }));
    assert_eq!(*made.left.lock().unwrap(), 5);
    // SAFETY: as in Memory::attach.
    let other = unsafe { ShmCell::<Mutex<u64>>::attach(memory.0) };
    assert!(matches!(other, Err(Error::Mismatch(_))), "{other:?}");
    let shown = format!("{found:?}");
    assert!(shown.starts_with("ShmCell(Pair { left: Mutex { data: 5"), "{shown}");
}

#[test]
fn memory_that_cannot_take_the_cell_is_refused() {
    let (needed, align) = (ShmCell::<Pair>::size(), ShmCell::<Pair>::align());
    let mapping = blank(needed + 4096);
    let start = mapping.as_ptr();
    let untouched = |what: &str| {
        // SAFETY: within the mapping, which nobody else has.
        let bytes = unsafe { std::slice::from_raw_parts(start.as_ptr(), mapping.len()) };
        assert!(bytes.iter().all(|byte| *byte == 0), "{what}: the memory was written to");
    };
    let mut bad = vec![(0, needed - 1), (0, 0), (0, 1), (0, 127)];
    bad.extend([1, 4, 8, 16, align / 2, align - 1, align + 8].map(|offset| (offset, needed + 64)));
    for (offset, len) in bad {
        // SAFETY: `offset` is within the mapping.
        let memory = NonNull::slice_from_raw_parts(unsafe { start.add(offset) }, len);
        let error = Error::BadMemory { address: start.addr().get() + offset, len, needed, align };
        // SAFETY: mapped, zero, nobody else's.
        let made = unsafe { ShmCell::<Pair>::init(memory, || Pair::of(1)) };
        assert_eq!(made.err(), Some(error.clone()), "{len} bytes from byte {offset}");
        // SAFETY: as above.
        let found = unsafe { ShmCell::<Pair>::attach(memory) };
        assert_eq!(found.err(), Some(error), "{len} bytes from byte {offset}");
        untouched(&format!("{len} bytes from byte {offset}"));
    }
    // Aligned, though to no more than asked for, and not a byte longer than needed.
    // SAFETY: within the mapping.
    let memory = NonNull::slice_from_raw_parts(unsafe { start.add(align) }, needed);
    // SAFETY: mapped until the end of the test, zero, nobody else's.
    let cell = unsafe { ShmCell::init(memory, || Pair::of(6)) }.unwrap();
    assert_eq!(*cell.left.lock().unwrap(), 6);
}

#[test]
fn garbage_is_refused_and_left_as_it_is() {
    let memory = Memory::new();
    let len = memory.0.len();
    // SAFETY: mapped, and used by this thread only.
    let bytes = || unsafe { std::slice::from_raw_parts_mut(memory.0.cast::<u8>().as_ptr(), len) };
    // All of it, or only where the header begins, before words that look free.
    for (garbage, until) in [(0xff, len), (0x20, len), (1, len), (0x20, 1), (0xff, 8), (1, 72)] {
        bytes().fill(0);
        bytes()[..until].fill(garbage);
        let before = bytes().to_vec();
        for result in [memory.init(|| Pair::of(1)), memory.attach()] {
            match result {
                Err(Error::Mismatch(m)) => assert_eq!(*m.field, *"the magic number"),
                other => panic!("{garbage:#x}: {other:?}"),
            }
        }
        assert!(bytes() == before, "{until} bytes of {garbage:#x}: it was changed");
    }
}

#[test]
fn a_failure_of_init_leaves_the_memory_to_the_next() {
    let memory = Memory::new();
    for _ in 0..2 {
        assert_eq!(memory.init(|| Err(Error::TimedOut)).err(), Some(Error::TimedOut));
        catch_unwind(AssertUnwindSafe(|| memory.init(|| resume_unwind(Box::new("on purpose"))))).unwrap_err();
    }
    assert_eq!(*memory.init(|| Pair::of(3)).unwrap().left.lock().unwrap(), 3);
}

#[test]
fn of_those_who_make_a_cell_at_once_one_does() {
    let _watchdog = watch("of_those_who_make_a_cell_at_once_one_does");
    for round in 0..200 {
        let memory = Memory::new();
        let (start, runs) = (Barrier::new(3), AtomicU32::new(0));
        let make = |number: u64| {
            start.wait();
            let init = || {
                runs.fetch_add(1, Ordering::Relaxed);
                Pair::of(number)
            };
            match memory.init(init) {
                Ok(cell) => Some(*cell.left.lock().unwrap()),
                Err(Error::AlreadyExists { .. }) => {
                    *memory.attach().unwrap().right.lock().unwrap() += 1;
                    None
                }
                Err(other) => panic!("{other}"),
            }
        };
        let made: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (1..=3).map(|number| scope.spawn(move || make(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let winners: Vec<_> = made.iter().flatten().collect();
        assert_eq!((winners.len(), runs.load(Ordering::Relaxed)), (1, 1), "round {round}: {made:?}");
        let cell = memory.attach().unwrap();
        assert_eq!((*cell.left.lock().unwrap(), *cell.right.lock().unwrap()), (*winners[0], 2), "round {round}");
    }
}

/// One makes a cell and takes its time, until two others sleep, one that attaches and one that would make it too.
fn one_makes_a_cell_while_two_wait() {
    let memory = Memory::new();
    let (begun, go_on, ids) = (channel(), channel::<()>(), channel());
    thread::scope(|scope| {
        let memory = &memory;
        scope.spawn(move || {
            let init = || {
                begun.0.send(()).unwrap();
                go_on.1.recv().unwrap();
                Pair::of(9)
            };
            memory.init(init).unwrap();
        });
        begun.1.recv().unwrap();
        let send_id = ids.0.clone();
        scope.spawn(move || {
            send_id.send(tid()).unwrap();
            assert_eq!(*memory.attach().unwrap().left.lock().unwrap(), 9);
        });
        scope.spawn(move || {
            ids.0.send(tid()).unwrap();
            assert!(matches!(memory.init(|| panic!("it is being made")), Err(Error::AlreadyExists { .. })));
        });
        for _ in 0..2 {
            wait_until_asleep_in_a_lock(ids.1.recv().unwrap());
        }
        go_on.0.send(()).unwrap();
    });
}

#[test]
fn attaching_waits_for_a_creator_at_work_and_is_woken_by_it() {
    let _watchdog = watch("attaching_waits_for_a_creator_at_work_and_is_woken_by_it");
    // Whoever waits looks up once a second by itself. Were they not woken, the watchdog would end this.
    (0..100).for_each(|_| one_makes_a_cell_while_two_wait());
}

#[test]
fn who_makes_a_cell_within_its_own_init_is_told() {
    let _watchdog = watch("who_makes_a_cell_within_its_own_init_is_told");
    let memory = Memory::new();
    let inner = Cell::new(None);
    memory
        .init(|| {
            inner.set(memory.attach().err());
            Pair::of(1)
        })
        .unwrap();
    assert!(inner.take().is_some());
}

#[test]
fn what_nobody_makes_is_not_ready() {
    let _watchdog = watch("what_nobody_makes_is_not_ready");
    let memory = Memory::new();
    let started = Instant::now();
    let error = memory.attach().unwrap_err();
    assert!(matches!(error, Error::NotReady { waited, .. } if waited <= started.elapsed()), "{error}");
    assert!(started.elapsed() >= Duration::from_secs(5), "that was no patience");
    // Which spoils nothing.
    memory.init(|| Pair::of(2)).unwrap();
    memory.attach().unwrap();
}

#[test]
fn processes_share_a_cell_in_memory_that_they_mapped() {
    const NAME: &str = "callers_memory::processes_share_a_cell_in_memory_that_they_mapped";
    if let Some((_, args, parent)) = child::role() {
        let memory = Memory::of(Place::from_words(&args).region(None).open().unwrap());
        let cell = memory.attach().unwrap();
        assert_eq!(*cell.left.lock().unwrap(), 5);
        std::mem::forget(cell.right.lock().unwrap());
        parent.say("held");
        parent.hear();
        return;
    }
    let _watchdog = watch(NAME);
    let scratch = Scratch::new();
    for place in &scratch.places {
        let region = place.region(None);
        let staged = region.stage(ShmCell::<Pair>::size()).unwrap();
        staged.publish().unwrap();
        let memory = Memory::of(staged.into_mapping());
        let [kind, name] = place.words();
        let child = child::spawn(NAME, "attach", &[&kind, &name]);
        let cell = memory.init(|| Pair::of(5)).unwrap();
        child.peer.expect("held");
        assert!(cell.right.is_locked());
        assert_eq!(cell.right.owner().map(|owner| owner.pid), Some(child.id()));
        child.kill();
        assert_eq!(cell.right.lock().unwrap_err().recover().unwrap().1, Cause::OwnerDied, "{place:?}");
        assert!(!cell.left.is_poisoned());
    }
}
