//! No set outlives those who use it for longer than to the next sweep, however they end.

use std::path::Path;

use pshared::region::Anonymous;
use pshared::sysv::{Mutex, Semaphore, sweep};
use pshared::{Shm, ShmSafe};

use crate::raw::{self, COUNT, MARK, Row, USERS};
use crate::stage::{alone, name, nobody};
use crate::support::claims::Named;
use crate::support::state::wait_until;

#[repr(C)]
#[derive(ShmSafe)]
struct Several {
    locks: [Mutex<u64>; 3],
    jobs: Semaphore,
}

fn several() -> Several {
    Several { locks: [const { Mutex::new(0) }; 3], jobs: Semaphore::counting(0).unwrap() }
}

fn wait_until_old() {
    wait_until("all sets are old enough", || raw::sets().into_iter().all(raw::is_old));
}

/// Sweeps until so many are gone, which were there.
fn assert_swept(expected: usize) {
    let mut swept = 0;
    wait_until("all that is dead is swept", || {
        swept += sweep().unwrap();
        assert!(swept <= expected, "{swept} were swept, of {expected}");
        swept == expected
    });
}

#[test]
fn the_sets_of_killed_processes_are_swept_and_none_of_the_living() {
    alone(
        |stage| {
            let workers = [(); 3].map(|()| stage.worker(&[]));
            workers.iter().for_each(|worker| worker.peer.expect("made"));
            assert_eq!(raw::sets().len(), 3 * 4);
            wait_until_old();
            assert_eq!(sweep(), Ok(0));
            let [first, second, third] = workers;
            first.kill();
            assert_swept(4);
            assert_eq!(raw::sets().len(), 2 * 4);
            second.kill();
            third.kill();
            assert_swept(8);
            assert_eq!(raw::sets(), []);
        },
        |_, peer| {
            let _memory = Shm::create_in(&Anonymous::new(), || Ok(several())).unwrap();
            peer.say("made");
            peer.hear();
        },
    );
}

#[test]
fn the_sets_of_a_process_that_becomes_another_program_are_swept_when_that_ends() {
    alone(
        |stage| {
            let worker = stage.worker(&[]);
            worker.peer.expect("made");
            worker.peer.say("exec");
            let runs = || std::fs::read_to_string(format!("/proc/{}/comm", worker.id())).unwrap();
            wait_until("the new program runs", || runs() == "sleep\n");
            wait_until_old();
            assert_eq!(sweep(), Ok(0), "a process registers, not a program");
            worker.kill();
            assert_swept(4);
        },
        |_, peer| {
            use std::os::unix::process::CommandExt;
            let _memory = Shm::create_in(&Anonymous::new(), || Ok(several())).unwrap();
            peer.say("made");
            peer.expect("exec");
            panic!("{}", std::process::Command::new("sleep").arg("3600").exec());
        },
    );
}

#[test]
fn a_set_is_used_by_who_waits_on_it_and_a_fork_registers_anew() {
    alone(
        |stage| {
            let name = name();
            let maker = stage.worker(&["make", &name]);
            maker.peer.expect("made");
            let shm = Shm::<Several>::open(&name).unwrap();
            let jobs = raw::id(raw::name(&shm.jobs));
            assert_eq!(raw::value(jobs, USERS), 1);
            let waiter = stage.worker(&["wait", &name]);
            waiter.peer.expect("ready");
            wait_until("the waiter and its child are registered", || raw::value(jobs, USERS) == 3);
            // Who has only opened the region is no user.
            maker.kill();
            wait_until("the maker is none any more", || raw::value(jobs, USERS) == 2);
            assert_swept(3);
            assert!(raw::find(jobs).is_some());
            shm.jobs.post_many(2).unwrap();
            waiter.peer.expect("taken");
            waiter.finish();
            wait_until("who has rung is the only user", || raw::value(jobs, USERS) == 1);
            // The locks' sets are gone, and the locks work.
            shm.locks.iter().for_each(|lock| *lock.lock().unwrap() += 1);
            drop(shm);
            Shm::<Several>::remove(&name).unwrap();
            assert_eq!(raw::sets(), []);
        },
        |args, peer| {
            if args[0] == "make" {
                let _shm = Shm::create(&args[1], || Ok(several())).unwrap();
                peer.say("made");
                peer.hear();
            }
            let shm = Shm::<Several>::open(&args[1]).unwrap();
            peer.say("ready");
            let registered = || raw::value(raw::id(raw::name(&shm.jobs)), USERS);
            std::thread::scope(|scope| {
                scope.spawn(|| shm.jobs.wait().unwrap());
                wait_until("this process is registered", || registered() == 2);
                // SAFETY: the child takes a permit and exits.
                match unsafe { nix::unistd::fork() }.unwrap() {
                    nix::unistd::ForkResult::Child => {
                        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).unwrap();
                        let taken = shm.jobs.wait();
                        // SAFETY: ends the child, running nothing.
                        unsafe { libc::_exit(i32::from(taken.is_err())) }
                    }
                    nix::unistd::ForkResult::Parent { child } => {
                        let ended = nix::sys::wait::waitpid(child, None).unwrap();
                        assert_eq!(ended, nix::sys::wait::WaitStatus::Exited(child, 0));
                    }
                }
            });
            peer.say("taken");
        },
    );
}

/// As a creator leaves it that is killed before it has registered.
fn orphan(number: i32) -> Row {
    raw::find(raw::create((MARK as i32) << 20 | number, COUNT).unwrap()).unwrap()
}

#[test]
fn a_set_whose_creator_came_to_nothing_is_swept_but_not_at_once() {
    alone(
        |_| {
            let orphan = orphan(5);
            let swept = sweep().unwrap();
            // Unless this process was away for more than a second.
            assert_eq!(swept, usize::from(raw::is_old(orphan) && raw::find(orphan.id).is_none()));
            if swept == 0 {
                assert_swept(1);
            }
            assert_eq!(raw::sets(), []);
        },
        nobody,
    );
}

#[test]
fn the_sets_of_other_programs_are_not_swept() {
    alone(
        |_| {
            let ours = (MARK as i32) << 20;
            let foreign = [(0, COUNT), (ours | 1, COUNT + 1), (ours | 2, COUNT - 1), (ours ^ 1 << 20, COUNT), (7, 1)];
            let foreign = foreign.map(|(key, count)| raw::Foreign::new(key, count));
            let orphan = orphan(9);
            wait_until_old();
            assert_swept(1);
            assert!(raw::find(orphan.id).is_none());
            assert!(foreign.iter().all(|set| raw::find(set.id).is_some()));
        },
        nobody,
    );
}

#[test]
fn removing_the_region_removes_its_sets() {
    alone(
        |_| {
            let named = Named::create(several);
            assert_eq!(raw::sets().len(), 4);
            let path = format!("/dev/shm/{}", named.name);
            drop(named);
            assert!(!Path::new(&path).exists());
            assert_eq!(raw::sets(), []);
        },
        nobody,
    );
}
