//! B1: a file outlives the machine's uptime, and with it the ids of threads that held its locks.

use std::fs::OpenOptions;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use pshared::region::File;
use pshared::{Cause, Shm};

use crate::scene::{
    Locks, OWNER_DIED, WAITERS, alone, anonymous, create, die, fork, is_marked, open, recover, until, use_up,
};
use crate::stepped::{Stepped, Stop};
use crate::support::place::{Place, Scratch};
use crate::support::random::Random;

// Where the header has what an earlier boot leaves, in bytes.
const BOOT: Range<usize> = 48..64;
const NAMESPACE: Range<usize> = 64..72;
const STATE: usize = 72;
const LOCKS: usize = 128;
const LOCK: usize = 56;
const READY: u32 = 1 << 29;

/// A file with a cell that was in use when the machine went down.
struct Old {
    scratch: Scratch,
    image: Vec<u8>,
}

impl Old {
    fn new() -> Old {
        let scratch = Scratch::new();
        let shm = create(&*scratch.file().region(None));
        shm.marks[0].store(4711, SeqCst);
        // This thread's first lock makes a record of it, which children have then: all of them take as many instructions.
        use_up(&anonymous().locks[0]);
        drop(shm);
        let mut old = Old { image: std::fs::read(Self::path_in(&scratch)).unwrap(), scratch };
        old.change_image();
        old.age();
        old
    }

    fn path_in(scratch: &Scratch) -> &Path {
        match scratch.file() {
            Place::File(path) => path,
            other => panic!("no file: {other:?}"),
        }
    }

    fn path(&self) -> PathBuf {
        Self::path_in(&self.scratch).into()
    }

    fn region(&self) -> File {
        File::new(self.path()).unwrap()
    }

    /// Another boot, another pid namespace, and locks held by threads of which some have namesakes now.
    fn change_image(&mut self) {
        self.image[BOOT].iter_mut().for_each(|byte| *byte ^= 0x5a);
        self.image[NAMESPACE][0] ^= 0xff;
        self.image[STATE + 4] ^= 0xff;
        let me = nix::unistd::gettid().as_raw() as u32;
        let words = [0, me, me | WAITERS, 1, 4_000_000, 4_000_001 | WAITERS, OWNER_DIED, WAITERS];
        for (i, word) in words.into_iter().enumerate() {
            let lock = &mut self.image[LOCKS + i * LOCK..][..LOCK];
            lock[..4].copy_from_slice(&word.to_ne_bytes());
            lock[4] ^= 0xff; // the namespace
            lock[8..12].copy_from_slice(&(word & !WAITERS).to_ne_bytes());
            lock[24..40].fill(0xee); // the links of a robust list that is no more
        }
    }

    /// Puts the file back to what the earlier boot left.
    fn age(&self) {
        let file = OpenOptions::new().write(true).open(self.path()).unwrap();
        file.write_all_at(&self.image, 0).unwrap();
    }

    /// Opens it and sees that it was reset.
    fn expect_reset(&self) -> Shm<Locks> {
        let shm = open(&self.region());
        assert_eq!(shm.marks[0].load(SeqCst), 4711);
        for (i, lock) in shm.locks.iter().enumerate() {
            assert!(!lock.is_locked() && lock.is_poisoned(), "{i}");
            let (guard, cause) = lock.try_lock().expect_err("poisoned").recover().unwrap();
            assert_eq!((*guard, cause), (i as u64, Cause::OwnerDied), "{i}");
        }
        shm
    }
}

#[test]
fn b1_locks_of_an_earlier_boot_are_free_and_poisoned_and_their_data_is_kept() {
    alone(|| {
        let old = Old::new();
        let shm = old.expect_reset();
        shm.locks.iter().for_each(|lock| lock.clear_poison());

        // From now on it is of this boot: opening it resets nothing more, and the locks are robust.
        let guard = shm.locks[0].lock().unwrap();
        let again = open(&old.region());
        assert!(again.locks[0].is_locked());
        again.locks[1..].iter().for_each(use_up);
        fork(|| {
            let _held = shm.locks[3].lock().unwrap();
            die()
        })
        .killed();
        drop(guard);
        (0..8).for_each(|i| assert_eq!(is_marked(&again.locks[i]), i == 3, "{i}"));
        recover(&shm.locks[3]);
    });
}

#[test]
fn b1_of_processes_that_open_it_at_once_one_resets_it() {
    const PROCESSES: u32 = 3;
    alone(|| {
        let old = Old::new();
        let control = anonymous();
        let [ready, go, recovered] = [0, 1, 2].map(|i| &control.marks[i]);
        for round in 0..40 {
            old.age();
            [ready, go, recovered].iter().for_each(|mark| mark.store(0, SeqCst));
            let children: Vec<_> = (0..PROCESSES)
                .map(|_| {
                    fork(|| {
                        let region = old.region();
                        ready.fetch_add(1, SeqCst);
                        while go.load(SeqCst) == 0 {}
                        let shm = open(&region);
                        for lock in &shm.locks {
                            let mut guard = lock.lock_or_recover(|_, _| _ = recovered.fetch_add(1, SeqCst)).unwrap();
                            *guard += 100;
                        }
                    })
                })
                .collect();
            until("all are there", || ready.load(SeqCst) == PROCESSES);
            go.store(1, SeqCst);
            children.into_iter().for_each(|child| child.finish());
            assert_eq!(recovered.load(SeqCst), 8, "round {round}: each lock is poisoned once");
            let shm = open(&old.region());
            for (i, lock) in shm.locks.iter().enumerate() {
                assert_eq!(*lock.lock().unwrap(), i as u64 + 100 * u64::from(PROCESSES), "round {round}");
            }
        }
    });
}

/// The state of a cell in a file that this process looks at.
struct State(NonNull<AtomicU32>);

impl State {
    fn of(old: &Old) -> State {
        let file = OpenOptions::new().read(true).write(true).open(old.path()).unwrap();
        let (len, both) = (NonZeroUsize::new(4096).unwrap(), ProtFlags::PROT_READ | ProtFlags::PROT_WRITE);
        // SAFETY: a new mapping.
        let at = unsafe { mmap(None, len, both, MapFlags::MAP_SHARED, file, 0) }.unwrap();
        // SAFETY: within the page.
        State(unsafe { at.byte_add(STATE) }.cast())
    }

    fn get(&self) -> u32 {
        // SAFETY: mapped and aligned.
        unsafe { self.0.as_ref() }.load(SeqCst)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // SAFETY: mapped in `of`, nothing borrowed is left.
        unsafe { munmap(self.0.byte_sub(STATE).cast(), 4096) }.unwrap();
    }
}

/// A process that opens the old file, after the last system call before it takes the state word.
fn before_the_reset(calls: usize, open: impl FnOnce()) -> Stepped {
    let child = Stepped::start(open);
    (0..calls).for_each(|_| assert_eq!(child.to_system_call(), Stop::There));
    child
}

/// How many stops at system calls that is.
fn calls_before_the_reset(old: &Old, state: &State, open: impl FnOnce()) -> usize {
    old.age();
    let child = Stepped::start(open);
    let mut calls = 0;
    while child.to_system_call() == Stop::There {
        if state.get() != READY {
            child.kill();
            return calls;
        }
        calls += 1;
    }
    panic!("nothing was reset")
}

/// Steps until it has taken the state word; says after how many instructions.
fn into_the_reset(child: &Stepped, state: &State) -> usize {
    let mut steps = 0;
    while state.get() == READY {
        assert_eq!(child.step(), Stop::There);
        steps += 1;
    }
    steps
}

#[test]
fn b1_a_process_killed_in_the_middle_of_the_reset_is_replaced_by_the_next() {
    const KILLS: usize = 16;
    alone(|| {
        let old = Old::new();
        let state = State::of(&old);
        let opening = || drop(open(&old.region()));
        let calls = calls_before_the_reset(&old, &state, opening);

        old.age();
        let child = before_the_reset(calls, opening);
        let first = into_the_reset(&child, &state);
        let mut last = first;
        while state.get() != READY {
            assert_eq!(child.step(), Stop::There);
            last += 1;
        }
        child.kill();
        assert!(last - first > KILLS, "{first}..{last}");

        let stride = (last - first) / KILLS;
        let mut at_work = 0;
        let offset = Random::new().below(stride); // other instructions each time
        for steps in [first - 1, first, last - 1, last].into_iter().chain((first + offset..last).step_by(stride)) {
            old.age();
            let child = before_the_reset(calls, opening);
            (0..steps).for_each(|_| assert_eq!(child.step(), Stop::There));
            at_work += usize::from(state.get() == child.pid());
            child.kill();
            old.expect_reset().locks.iter().for_each(|lock| lock.clear_poison());
            assert_eq!(state.get(), READY, "after {steps} steps");
        }
        assert!(at_work > KILLS, "{at_work} were killed while at work");
    });
}

/// A process that opens the old file and stands at each of some instructions before it takes the state word, and the
/// number of the instruction.
fn about_to_reset(old: &Old, state: &State, opening: impl Fn(), mut scene: impl FnMut(Stepped, usize)) {
    const PLACES: usize = 60;
    let calls = calls_before_the_reset(old, state, &opening);
    old.age();
    let child = before_the_reset(calls, &opening);
    let taken_at = into_the_reset(&child, state);
    child.kill();
    for steps in (0..taken_at).step_by(1 + taken_at / PLACES) {
        old.age();
        let child = before_the_reset(calls, &opening);
        (0..steps).for_each(|_| assert_eq!(child.step(), Stop::There));
        scene(child, steps);
    }
}

#[test]
fn b1_nobody_comes_in_while_another_is_in_the_middle_of_the_reset() {
    alone(|| {
        let old = Old::new();
        let state = State::of(&old);
        let control = anonymous();
        let opened = &control.marks[0];
        let opening = || {
            let shm = open(&old.region());
            opened.store(1, SeqCst);
            // Only after all of the reset is there poison on every lock.
            shm.locks.iter().for_each(recover);
        };
        about_to_reset(&old, &state, opening, |second, steps| {
            opened.store(0, SeqCst);
            let first = Stepped::start(|| drop(open(&old.region())));
            while state.get() == READY {
                assert_eq!(first.to_system_call(), Stop::There);
            }
            let second = second.let_go();
            until("the second waits or is in", || second.sleeps() || opened.load(SeqCst) == 1);
            assert_eq!(opened.load(SeqCst), 0, "in after {steps} steps, and the reset goes on");
            first.let_go().finish();
            second.finish();
        });
    });
}

#[test]
fn b1_who_comes_when_the_reset_is_over_resets_nothing_again() {
    alone(|| {
        let old = Old::new();
        let state = State::of(&old);
        let in_use = anonymous();
        let is_in_use = || in_use.marks[0].load(SeqCst) == 1;
        let opening = || {
            let shm = open(&old.region());
            for (i, lock) in shm.locks.iter().enumerate() {
                assert_eq!((lock.is_locked(), lock.is_poisoned()), (is_in_use() && i == 2, !is_in_use()), "{i}");
            }
        };
        about_to_reset(&old, &state, opening, |late, _| {
            let shm = open(&old.region());
            shm.locks.iter().for_each(|lock| lock.clear_poison());
            let _guard = shm.locks[2].lock().unwrap();
            in_use.marks[0].store(1, SeqCst);
            late.let_go().finish();
            in_use.marks[0].store(0, SeqCst);
        });
    });
}
