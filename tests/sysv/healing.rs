//! A set that is gone, or whose name was scribbled over, is replaced by the next sleeper; other programs' sets are left alone.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use pshared::sysv::{Condvar, Event, Mutex, Semaphore};
use pshared::{Shm, ShmSafe, sysv};

use crate::raw::{self, BELL, COUNT, Foreign, MARK};
use crate::stage::{alone, name, nobody};
use crate::support::child::Peer;
use crate::support::claims::Named;
use crate::support::state::{tid, wait_until, wait_until_asleep_in_a_lock};
use crate::support::watchdog::watch;

const LONG: Duration = Duration::from_secs(3600);

fn no_permits() -> Semaphore {
    Semaphore::counting(0).unwrap()
}

/// Takes a permit of the region named.
fn take(args: &[String], peer: &Peer) {
    let jobs = Shm::<Semaphore>::open(&args[0]).unwrap();
    peer.say("ready");
    jobs.wait().unwrap();
    peer.say("taken");
}

#[test]
fn sleepers_whose_set_is_removed_agree_on_a_new_one() {
    alone(
        |stage| {
            let named = Named::create(no_permits);
            let workers = [(); 4].map(|()| stage.worker(&[&named.name]));
            workers.iter().for_each(|worker| worker.peer.expect("ready"));
            let set = raw::name(&*named.shm);
            for _ in 0..5 {
                let old = raw::id(set);
                wait_until("all asleep on the set", || raw::sleepers(old, BELL) == 4);
                raw::remove(old).unwrap();
                wait_until("all asleep on a new set", || {
                    let new = raw::id(set);
                    new != old && raw::sleepers(new, BELL) == 4
                });
            }
            named.shm.post_many(4).unwrap();
            for worker in workers {
                worker.peer.expect("taken");
                worker.finish();
            }
            // Those who lost have removed theirs.
            let left: Vec<i32> = raw::sets().into_iter().map(|row| row.id).collect();
            assert_eq!(left, [raw::id(set)]);
            drop(named);
            assert_eq!(raw::sets(), []);
        },
        take,
    );
}

#[repr(C)]
#[derive(ShmSafe)]
struct All {
    mutex: Mutex<u64>,
    gate: Mutex<u64>,
    changed: Condvar,
    event: Event,
    jobs: Semaphore,
}

fn all() -> All {
    All {
        mutex: Mutex::new(0),
        gate: Mutex::new(0),
        changed: Condvar::new(),
        event: Event::manual(false),
        jobs: no_permits(),
    }
}

/// Removes each set in the cell.
fn ipcrm(all: &All) {
    for set in raw::names(all) {
        let _ = raw::remove(raw::id(set));
    }
}

#[test]
fn every_waiter_is_woken_though_all_sets_were_removed() {
    let _watchdog = watch("every_waiter_is_woken_though_all_sets_were_removed");
    let named = Named::create(all);
    let all = &*named.shm;
    assert_eq!(raw::names(all).len(), 5);
    for round in 1..=3 {
        let held = all.mutex.lock().unwrap();
        let (ids, sleeping) = std::sync::mpsc::channel();
        thread::scope(|scope| {
            let spawn = |body: fn(&All)| {
                let ids = ids.clone();
                scope.spawn(move || {
                    ids.send(tid()).unwrap();
                    body(all);
                });
            };
            spawn(|all| *all.mutex.lock().unwrap() += 1);
            spawn(|all| drop(all.changed.wait_while(all.gate.lock().unwrap(), |gate| *gate == 0).unwrap()));
            spawn(|all| all.event.wait().unwrap());
            spawn(|all| all.jobs.wait().unwrap());
            sleeping.iter().take(4).for_each(wait_until_asleep_in_a_lock);
            ipcrm(all);
            drop(held);
            *all.gate.lock().unwrap() = 1;
            all.changed.notify_all();
            all.event.set().unwrap();
            all.jobs.post().unwrap();
        });
        assert_eq!(*all.mutex.lock().unwrap(), round);
        *all.gate.lock().unwrap() = 0;
        all.event.reset().unwrap();
        // Nobody is asleep: the next round begins with sets that are gone.
        ipcrm(all);
    }
}

/// A waiter sleeps and is woken.
fn use_up(jobs: &Semaphore) {
    thread::scope(|scope| {
        let (ids, sleeping) = std::sync::mpsc::channel();
        scope.spawn(move || {
            ids.send(tid()).unwrap();
            jobs.wait().unwrap();
        });
        wait_until_asleep_in_a_lock(sleeping.recv().unwrap());
        jobs.post().unwrap();
    });
}

#[test]
fn a_scribbled_name_leaves_the_sets_of_others_alone() {
    alone(
        |_| {
            // One as ours but for the key, one as ours but for the number of semaphores, and two quite ordinary ones.
            let ours = (MARK as i32) << 20;
            let foreign =
                [Foreign::new(0, COUNT), Foreign::new(ours | 1, COUNT + 1), Foreign::new(7, 1), Foreign::new(8, 2)];
            let before = raw::sets();
            let named = Named::create(no_permits);
            let set = raw::name(&*named.shm);
            let key_of = |id: i32| before.iter().find(|row| row.id == id).unwrap().key;
            let good = set.load(Ordering::SeqCst);
            let mut scribbles = vec![0, u64::MAX, 1, good ^ 1 << 40, good ^ 1, 0x0123_4567_89ab_cdef, !good];
            for Foreign { id } in &foreign {
                let id_bits = u64::from(*id as u32);
                scribbles.push(u64::from(key_of(*id) as u32) << 32 | id_bits);
                scribbles.push(good >> 32 << 32 | id_bits);
                scribbles.push(id_bits);
            }
            for scribble in scribbles {
                let found = raw::find(scribble as u32 as i32);
                let is_own = found.is_some_and(|row| row.key as u32 >> 20 == MARK as u32 && row.count == COUNT);
                set.store(scribble, Ordering::SeqCst);
                named.shm.post().unwrap();
                named.shm.wait().unwrap();
                use_up(&named.shm);
                // Where the id is that of another set of its own, it goes on with that: it has checked that one.
                assert_eq!(set.load(Ordering::SeqCst) == scribble, is_own, "{scribble:x}");
                // Nor does the end of the region remove them.
                let other = Named::create(no_permits);
                raw::name(&*other.shm).store(scribble, Ordering::SeqCst);
            }
            drop(named);
            for Foreign { id } in &foreign {
                let row = raw::find(*id);
                assert_eq!(row, before.iter().copied().find(|row| row.id == *id), "it was touched, or is gone");
                assert_eq!(row.unwrap().operated, 0);
            }
        },
        nobody,
    );
}

#[test]
fn a_region_removed_while_others_use_it_works_on_and_the_last_set_is_swept() {
    alone(
        |stage| {
            let name = name();
            let jobs = Shm::create(&name, || Ok(no_permits())).unwrap();
            let worker = stage.worker(&[&name]);
            worker.peer.expect("ready");
            wait_until("asleep on the set", || raw::sets().iter().any(|row| raw::sleepers(row.id, BELL) == 1));
            Shm::<Semaphore>::remove(&name).unwrap();
            wait_until("asleep on a new set", || raw::sets().iter().any(|row| raw::sleepers(row.id, BELL) == 1));
            jobs.post().unwrap();
            worker.peer.expect("taken");
            worker.finish();
            // This process has rung it, and lives: it isn't swept.
            let set = raw::id(raw::name(&*jobs));
            wait_until("the set is old enough", || raw::is_old(raw::find(set).unwrap()));
            assert_eq!(sysv::sweep(), Ok(0));
            assert_eq!(raw::sets().len(), 1);
            raw::remove(set).unwrap();
        },
        take,
    );
}

#[test]
fn a_process_in_another_ipc_namespace_gets_its_permit_and_replaces_nothing() {
    alone(
        |stage| {
            let named = Named::create(no_permits);
            let before = raw::name(&*named.shm).load(Ordering::SeqCst);
            let worker = stage.worker(&[&named.name]);
            worker.peer.expect("away");
            wait_until_asleep_in_a_lock(worker.peer.hear().parse().unwrap());
            named.shm.post().unwrap();
            worker.peer.expect("taken, no set");
            worker.finish();
            assert_eq!(raw::name(&*named.shm).load(Ordering::SeqCst), before);
        },
        |args, peer| {
            let jobs = Shm::<Semaphore>::open(&args[0]).unwrap();
            unshare(CloneFlags::CLONE_NEWIPC).unwrap();
            peer.say("away");
            peer.say(&tid().to_string());
            jobs.wait().unwrap();
            peer.say(&format!("taken, {}", if raw::sets().is_empty() { "no set" } else { "and a set" }));
        },
    );
}

#[test]
fn a_process_of_another_user_gets_its_permit_without_the_bell() {
    alone(
        |stage| {
            let named = Named::create(no_permits);
            let before = raw::sets();
            let worker = stage.worker(&[&named.name]);
            worker.peer.expect("another");
            wait_until_asleep_in_a_lock(worker.peer.hear().parse().unwrap());
            named.shm.post().unwrap();
            worker.peer.expect("taken");
            named.shm.wait_timeout(LONG).unwrap();
            worker.finish();
            assert_eq!(raw::sets().len(), before.len());
        },
        |args, peer| {
            let jobs = Shm::<Semaphore>::open(&args[0]).unwrap();
            // SAFETY: takes numbers only; this process has one thread that does anything.
            assert_eq!(unsafe { libc::setresuid(65534, 65534, 65534) }, 0);
            assert_eq!(raw::operate(raw::id(raw::name(&*jobs)), BELL, 1, 0), Err(nix::errno::Errno::EACCES));
            peer.say("another");
            peer.say(&tid().to_string());
            jobs.wait().unwrap();
            peer.say("taken");
            jobs.post().unwrap();
        },
    );
}
