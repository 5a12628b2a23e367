//! U3: a forked child has copies of its parent's guards, and of everything that the parent's thread knew of itself.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use pshared::region::Anonymous;
use pshared::{Error, LockError, Mutex, MutexGuard, Shm, ShmSafe};

use crate::scene::{
    How, WORD, alone, anonymous, die, fork, fork_by, is_marked, raw, recover, robust_list, until, use_up,
};

/// Does `scene` for each way to fork, in a process whose first fork is that one.
fn for_each_way(scene: impl Fn(How)) {
    alone(|| How::ALL.into_iter().for_each(|how| fork(|| scene(how)).finish()));
}

fn word(lock: &Mutex<u64>) -> u32 {
    raw(lock)[WORD].load(SeqCst)
}

#[test]
fn u3_a_child_that_drops_its_copy_of_a_guard_unlocks_nothing() {
    for_each_way(|how| {
        let shm = anonymous();
        let [first, second, third] = [0, 1, 2].map(|i| shm.locks[i].lock().unwrap());
        let before = [0, 1, 2].map(|i| word(&shm.locks[i]));
        let on_the_list = robust_list().0;
        let narrowed = MutexGuard::map(third, |n| n);
        let (a, b, c) = (&first, &second, &narrowed);
        let child = fork_by(how, || {
            // SAFETY: a fork has copied them: what stays in the parent is another value.
            unsafe {
                drop(std::ptr::read(a));
                drop(std::ptr::read(c));
            }
            // A panic in the child says nothing of what the parent does with its data.
            let copy = AssertUnwindSafe(b);
            let unwound = catch_unwind(move || {
                // SAFETY: as above.
                let _guard = unsafe { std::ptr::read(copy.0) };
                resume_unwind(Box::new(()));
            });
            assert!(unwound.is_err());
            assert_eq!([0, 1, 2].map(|i| word(&shm.locks[i])), before);
        });
        child.finish();
        assert_eq!([0, 1, 2].map(|i| word(&shm.locks[i])), before, "{how:?}");
        assert!(!shm.locks[1].is_poisoned());
        assert_eq!(robust_list().0, on_the_list);
        drop((narrowed, second, first));
        shm.locks.iter().for_each(use_up);
        assert_eq!(robust_list(), (vec![], 0));
    });
}

#[test]
fn u3_a_child_waits_for_its_parents_lock_as_any_other_process() {
    for_each_way(|how| {
        let shm = anonymous();
        let guard = shm.locks[0].lock().unwrap();
        let child = fork_by(how, || {
            let lock = &shm.locks[0];
            assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock)));
            assert!(matches!(lock.try_lock_for(Duration::from_millis(2)), Err(LockError::TimedOut)));
            assert_eq!(lock.owner().map(|owner| owner.pid), Some(nix::unistd::getppid().as_raw() as u32));
            shm.marks[0].store(1, SeqCst);
            *lock.lock().unwrap() += 100;
        });
        until("the child waits", || shm.marks[0].load(SeqCst) == 1 && child.sleeps());
        drop(guard);
        child.finish();
        assert_eq!(*shm.locks[0].lock().unwrap(), 100, "{how:?}");
    });
}

#[test]
fn u3_a_killed_childs_own_locks_are_marked_and_its_parents_are_not() {
    for_each_way(|how| {
        let shm = anonymous();
        let oldest = shm.locks[0].lock().unwrap();
        let newest = shm.locks[1].lock().unwrap();
        let child = fork_by(how, || {
            let released = shm.locks[4].lock().unwrap();
            let _held = [2, 3].map(|i| shm.locks[i].lock().unwrap());
            drop(released);
            assert!(matches!(shm.locks[2].lock(), Err(LockError::WouldDeadlock)));
            die()
        });
        child.killed();
        for (i, lock) in shm.locks.iter().enumerate() {
            assert_eq!(is_marked(lock), [2, 3].contains(&i), "{how:?} {i}");
            assert_eq!(lock.is_locked(), i < 2, "{how:?} {i}");
        }
        recover(&shm.locks[2]);
        recover(&shm.locks[3]);
        drop((oldest, newest));
        shm.locks.iter().for_each(use_up);
    });
}

#[test]
fn u3_the_parents_locks_are_marked_when_it_is_killed_though_a_child_lives() {
    alone(|| {
        for how in How::ALL {
            let shm = anonymous();
            // Killed in the end; its child is told to go by `marks`, and dies with it by then at the latest.
            let parent = fork(|| {
                let _held = [0, 1].map(|i| shm.locks[i].lock().unwrap());
                let _child = fork_by(how, || {
                    nix::sys::prctl::set_pdeathsig(None).unwrap();
                    shm.marks[1].store(nix::unistd::getpid().as_raw() as u32, SeqCst);
                    until("the grandparent has looked", || shm.marks[0].load(SeqCst) == 1);
                    use_up(&shm.locks[2]);
                    shm.marks[2].store(1, SeqCst);
                });
                until("the child runs", || shm.marks[1].load(SeqCst) != 0);
                die()
            });
            parent.killed();
            let alive = std::path::Path::new(&format!("/proc/{}", shm.marks[1].load(SeqCst))).exists();
            let marked = [0, 1, 2].map(|i| is_marked(&shm.locks[i]));
            shm.marks[0].store(1, SeqCst);
            assert!(alive);
            assert_eq!(marked, [true, true, false], "{how:?}");
            until("the child has done its work", || shm.marks[2].load(SeqCst) == 1);
        }
    });
}

#[test]
fn u3_a_childs_child_is_as_good_as_a_child() {
    for_each_way(|how| {
        let shm = anonymous();
        let guard = shm.locks[0].lock().unwrap();
        fork_by(how, || {
            let _mine = shm.locks[1].lock().unwrap();
            let grandchild = fork_by(how, || {
                assert!(matches!(shm.locks[0].try_lock(), Err(LockError::WouldBlock)));
                assert!(matches!(shm.locks[1].try_lock(), Err(LockError::WouldBlock)));
                let _left = shm.locks[2].lock().unwrap();
                die()
            });
            grandchild.killed();
            assert!(is_marked(&shm.locks[2]) && shm.locks[1].is_locked());
        })
        .finish();
        recover(&shm.locks[2]);
        drop(guard);
        shm.locks.iter().for_each(|lock| assert!(!lock.is_locked() && !lock.is_poisoned(), "{how:?}"));
    });
}

#[repr(C)]
#[derive(ShmSafe)]
struct Many {
    locks: [Mutex<u64>; 2049],
}

#[test]
fn u3_a_child_of_a_thread_that_holds_all_it_may_holds_nothing_and_can_lock() {
    for_each_way(|how| {
        let shm = Shm::<Many>::create_zeroed_in(&Anonymous::new()).unwrap();
        let mut guards: Vec<_> = shm.locks[..2048].iter().map(|lock| lock.lock().unwrap()).collect();
        assert!(matches!(shm.locks[2048].lock(), Err(LockError::Failed(Error::TooManyLocks { .. }))));
        fork_by(how, || {
            let _left = shm.locks[2048].lock().unwrap();
            die()
        })
        .killed();
        assert!(shm.locks[2048].is_poisoned(), "{how:?}");
        guards.clear();
        assert!(shm.locks[..2048].iter().all(|lock| !lock.is_locked() && !lock.is_poisoned()));
    });
}
