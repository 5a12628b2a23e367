//! U1, U2: memory that goes while a lock in it is on a thread's robust list takes every older lock of the thread along:
//! the kernel doesn't find them when the thread dies. Nor if a peer has scribbled over the lock meanwhile (U4).

use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::thread;

use pshared::region::Anonymous;
use pshared::{Mutex, Shm};

use crate::scene::{WORD, alone, create, die, exit, fork, is_marked, open, raw, recover, until, use_up};
use crate::support::place::{Place, Scratch};
use crate::support::state::state;

/// How many mappings of the region this process has.
fn mappings(place: &Place) -> usize {
    let [_, name] = place.words();
    let maps = std::fs::read_to_string("/proc/thread-self/maps").unwrap();
    maps.lines().filter(|line| line.ends_with(&format!("/{}", name.trim_start_matches('/')))).count()
}

/// Runs `victim` with two places in a process that ends by SIGKILL, and then looks at the locks it held: `left` and
/// `HELD` in the two cells.
fn afterwards(left: &[usize], victim: impl FnOnce(&Place, &Place)) {
    const HELD: &[usize] = &[2, 4];
    alone(|| {
        let scratch = Scratch::new();
        let [forgotten, other] = scratch.hidden();
        for place in scratch.hidden() {
            drop(create(&*place.region(None)));
        }
        fork(|| victim(forgotten, other)).killed();
        for (place, held) in [(forgotten, left), (other, HELD)] {
            let shm = open(&*place.region(None));
            for (i, lock) in shm.locks.iter().enumerate() {
                assert!(!lock.is_locked(), "{place:?} {i}");
                assert_eq!(is_marked(lock), held.contains(&i), "{place:?} {i}");
                if held.contains(&i) { recover(lock) } else { use_up(lock) }
            }
        }
    });
}

/// Locks for this process's list alone, so that its record grows.
fn anonymous_many(count: usize) -> Vec<Shm<Mutex<u64>>> {
    (0..count).map(|_| Shm::create_in(&Anonymous::new(), || Ok(Mutex::new(0))).unwrap()).collect()
}

#[test]
fn u1_a_forgotten_guard_keeps_its_memory_mapped_and_its_threads_locks_on_the_list() {
    afterwards(&[0], |forgotten, other| {
        let (shm, others) = (open(&*forgotten.region(None)), open(&*other.region(None)));
        let older = others.locks[1].lock().unwrap();
        let oldest_left = others.locks[2].lock().unwrap();
        std::mem::forget(shm.locks[0].lock().unwrap());
        let newer = others.locks[3].lock().unwrap();
        drop(shm);
        assert_eq!(mappings(forgotten), 1);

        // Both neighbours of the forgotten one go, others come.
        drop(newer);
        drop(older);
        let _newest_left = others.locks[4].lock().unwrap();
        others.locks[5..].iter().for_each(use_up);
        let _kept = oldest_left;
        die()
    });
}

#[test]
fn u2_a_guard_forgotten_by_one_thread_keeps_the_memory_when_another_drops_the_last_handle() {
    afterwards(&[0], |forgotten, other| {
        let (shm, others) = (open(&*forgotten.region(None)), open(&*other.region(None)));
        let (to_main, from_thread) = channel();
        let (to_thread, from_main) = channel::<()>();
        let (mine, my_others) = (shm.clone(), others.clone());
        thread::spawn(move || {
            let older = my_others.locks[1].lock().unwrap();
            let _left = my_others.locks[2].lock().unwrap();
            std::mem::forget(mine.locks[0].lock().unwrap());
            drop(mine);
            to_main.send(()).unwrap();
            from_main.recv().unwrap();
            drop(older);
            let _left = my_others.locks[4].lock().unwrap();
            my_others.locks[5..].iter().for_each(use_up);
            die()
        });
        from_thread.recv().unwrap();
        assert_eq!(mappings(forgotten), 1);
        drop(shm);
        assert_eq!(mappings(forgotten), 1);
        others.locks[5..].iter().for_each(use_up);
        to_thread.send(()).unwrap();
        loop {
            thread::park();
        }
    });
}

#[test]
fn u4_memory_whose_forgotten_lock_reads_free_is_kept_for_the_thread_that_has_it_on_its_list() {
    for among in [0, 3, 20] {
        afterwards(&[], |forgotten, other| {
            let (shm, others) = (open(&*forgotten.region(None)), open(&*other.region(None)));
            let many = anonymous_many(among);
            let mut before: Vec<_> = many.iter().map(|lock| lock.lock().unwrap()).collect();
            let older = others.locks[1].lock().unwrap();
            let oldest_left = others.locks[2].lock().unwrap();
            std::mem::forget(shm.locks[0].lock().unwrap());
            let newer = others.locks[3].lock().unwrap();
            raw(&shm.locks[0])[WORD].store(0, SeqCst);
            drop(shm);
            assert_eq!(mappings(forgotten), 1);

            drop(newer);
            drop(older);
            before.clear();
            let _newest_left = others.locks[4].lock().unwrap();
            others.locks[5..].iter().for_each(use_up);
            let _kept = oldest_left;
            die()
        });
    }
}

#[test]
fn u4_nor_does_another_threads_drop_of_the_last_handle_unmap_it() {
    for among in [0, 3, 20] {
        afterwards(&[], |forgotten, other| {
            let (shm, others) = (open(&*forgotten.region(None)), open(&*other.region(None)));
            let (to_main, from_thread) = channel();
            let (to_thread, from_main) = channel::<()>();
            let (mine, my_others) = (shm.clone(), others.clone());
            thread::spawn(move || {
                let many = anonymous_many(among);
                let older: Vec<_> = many.iter().map(|lock| lock.lock().unwrap()).collect();
                let _left = my_others.locks[2].lock().unwrap();
                std::mem::forget(mine.locks[0].lock().unwrap());
                drop(mine);
                to_main.send(()).unwrap();
                from_main.recv().unwrap();
                drop(older);
                let _left = my_others.locks[4].lock().unwrap();
                my_others.locks[5..].iter().for_each(use_up);
                die()
            });
            from_thread.recv().unwrap();
            raw(&shm.locks[0])[WORD].store(0, SeqCst);
            drop(shm);
            assert_eq!(mappings(forgotten), 1);
            to_thread.send(()).unwrap();
            loop {
                thread::park();
            }
        });
    }
}

#[test]
fn u2_memory_that_nobody_holds_is_unmapped_though_the_processs_first_thread_has_ended() {
    alone(|| {
        let scratch = Scratch::new();
        let [place, _] = scratch.hidden();
        drop(create(&*place.region(None)));
        fork(|| {
            thread::scope(|scope| {
                let (to_all, from_other) = channel();
                scope.spawn(move || {
                    use_up(&anonymous_many(1)[0]); // one whose record is asked
                    to_all.send(()).unwrap();
                    loop {
                        thread::park();
                    }
                });
                scope.spawn(move || {
                    from_other.recv().unwrap();
                    until("the first thread has ended", || state(std::process::id()) == Some('Z'));
                    let shm = open(&*place.region(None));
                    use_up(&shm.locks[0]);
                    assert_eq!(mappings(place), 1);
                    drop(shm);
                    exit(mappings(place) as i32)
                });
                // SAFETY: ends this thread alone, whose stack stays.
                unsafe { libc::syscall(libc::SYS_exit, 0) };
            });
        })
        .finish();
    });
}

#[test]
fn u2_memory_is_unmapped_when_no_living_thread_of_the_process_owns_a_lock_in_it() {
    alone(|| {
        let scratch = Scratch::new();
        let place = scratch.file();
        let region = place.region(None);

        drop(create(&*region)); // its mapping has no name in maps
        let shm = open(&*region);
        use_up(&shm.locks[0]);
        assert_eq!(mappings(place), 1);
        drop(shm);
        assert_eq!(mappings(place), 0, "nobody ever forgot a guard");

        let shm = open(&*region);
        let clone = shm.clone();
        thread::spawn(move || std::mem::forget(clone.locks[1].lock().unwrap())).join().unwrap();
        drop(shm);
        assert_eq!(mappings(place), 0, "the thread has ended");

        let shm = open(&*region);
        let guard = shm.locks[2].lock().unwrap();
        fork(|| {
            drop(shm.clone());
            let inherited = open(&*region);
            drop(inherited);
            assert_eq!(mappings(place), 1, "the lock is the parent's, only the mapping from before the fork is left");
        })
        .finish();
        drop(guard);
        drop(shm);
        assert_eq!(mappings(place), 0);
    });
}
