//! E8 of the list of hazards: why owners are written down here and not left to `SEM_UNDO`. Undoing is for a process as a
//! whole, which isn't what owns a lock, and it undoes operations, not ownership. Each schedule is staged with the system's
//! own semaphores, and then with ours.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use nix::errno::Errno;
use pshared::generic::MutexGuard;
use pshared::sysv::{Mutex, Semaphore, Sysv};
use pshared::{Cause, LockResult, Shm, ShmSafe};

use crate::raw::{Foreign, operate, value};
use crate::support::child::{self, Peer};
use crate::support::claims::Named;
use crate::support::state::wait_until;
use crate::support::watchdog::watch;

const UNDO: i32 = libc::SEM_UNDO;
const TRY: i32 = libc::IPC_NOWAIT;

#[repr(C)]
#[derive(ShmSafe)]
struct Ours {
    mutex: Mutex<u64>,
    jobs: Semaphore,
}

fn ours() -> Ours {
    Ours { mutex: Mutex::new(0), jobs: Semaphore::counting(0).unwrap() }
}

/// The system's own, as a mutex: 1 is free.
fn free() -> Foreign {
    let set = Foreign::new(0, 1);
    operate(set.id, 0, 1, 0).unwrap();
    set
}

fn cause(result: LockResult<MutexGuard<'_, u64, Sysv>>) -> Option<Cause> {
    result.err().map(|error| error.recover().unwrap().1)
}

/// A process that does one thing with each and says so; then another, if it is told to, or exits.
fn actor(args: &[String], peer: &Peer) {
    let (id, shm) = (args[1].parse().unwrap(), Shm::<Ours>::open(&args[2]).unwrap());
    match args[0].as_str() {
        "lock" => {
            operate(id, 0, -1, UNDO).unwrap();
            std::mem::forget(shm.mutex.lock().unwrap());
        }
        "post" => {
            operate(id, 0, 1, UNDO).unwrap();
            shm.jobs.post().unwrap();
        }
        _ => {
            operate(id, 0, -1, UNDO).unwrap();
            shm.jobs.wait().unwrap();
        }
    }
    peer.say("done");
    if peer.hear() == "exec" {
        panic!("{}", Command::new("sleep").arg("3600").exec());
    }
}

/// Starts an [`actor`] that does this with these, and waits until it has.
type Start<'a> = dyn Fn(&str, &Foreign, &Named<Ours>) -> child::Child + 'a;

/// Runs `main`, whose processes are [`actor`]s.
fn staged(test: &str, main: fn(&Start<'_>)) {
    match child::role() {
        Some((_, args, peer)) => actor(&args, &peer),
        None => {
            let _watchdog = watch(test);
            main(&|what, set, named| {
                let child = child::spawn(test, "actor", &[what, &set.id.to_string(), &named.name]);
                child.peer.expect("done");
                child
            });
        }
    }
}

#[test]
fn e8_a_thread_that_ends_with_the_lock_while_its_process_lives() {
    let _watchdog = watch("e8_a_thread_that_ends_with_the_lock_while_its_process_lives");
    let (set, named) = (free(), Named::create(ours));
    let lock = || {
        operate(set.id, 0, -1, UNDO).unwrap();
        std::mem::forget(named.shm.mutex.lock().unwrap());
    };
    thread::scope(|scope| scope.spawn(lock).join().unwrap());
    assert_eq!(operate(set.id, 0, -1, TRY), Err(Errno::EAGAIN), "the system's is nobody's, and locked");
    assert_eq!(cause(named.shm.mutex.lock()), Some(Cause::OwnerDied));
}

#[test]
fn e8_a_process_that_becomes_another_program_with_the_lock() {
    staged("undo::e8_a_process_that_becomes_another_program_with_the_lock", |start| {
        let (set, named) = (free(), Named::create(ours));
        let owner = start("lock", &set, &named);
        owner.peer.say("exec");
        let runs = || std::fs::read_to_string(format!("/proc/{}/comm", owner.id())).unwrap();
        wait_until("the new program runs", || runs() == "sleep\n");
        assert_eq!(
            operate(set.id, 0, -1, TRY),
            Err(Errno::EAGAIN),
            "the new program has the system's, and knows nothing"
        );
        assert_eq!(cause(named.shm.mutex.lock()), Some(Cause::OwnerDied));
        owner.kill();
        wait_until("undone at last", || value(set.id, 0) == 1);
    });
}

#[test]
fn e8_a_permit_taken_by_one_process_and_given_back_by_another() {
    staged("undo::e8_a_permit_taken_by_one_process_and_given_back_by_another", |start| {
        let (set, named) = (free(), Named::create(ours));
        named.shm.jobs.post().unwrap();
        let taker = start("wait", &set, &named);
        operate(set.id, 0, 1, 0).unwrap();
        named.shm.jobs.post().unwrap();
        assert_eq!((value(set.id, 0), named.shm.jobs.value()), (1, 1));
        taker.kill();
        wait_until("the system has minted a permit", || value(set.id, 0) == 2);
        assert_eq!(named.shm.jobs.value(), 1);
    });
}

#[test]
fn e8_a_process_that_ends_as_it_should_after_it_posted() {
    staged("undo::e8_a_process_that_ends_as_it_should_after_it_posted", |start| {
        let (set, named) = (Foreign::new(0, 1), Named::create(ours));
        let poster = start("post", &set, &named);
        assert_eq!((value(set.id, 0), named.shm.jobs.value()), (1, 1));
        poster.peer.say("end");
        poster.finish();
        assert_eq!(value(set.id, 0), 0, "the system has retracted the post");
        assert_eq!(named.shm.jobs.value(), 1);
        named.shm.jobs.wait().unwrap();
    });
}
