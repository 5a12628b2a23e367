//! What is counted: the fast paths, each as it is gone through when nobody is in the way.

use std::hint::black_box;
use std::time::Duration;

use pshared::backend::Backend;
use pshared::futex::Futex;
use pshared::generic::{RwLockUpgradableReadGuard as Upgradable, RwLockWriteGuard as Write};
use pshared::posix::Posix;
use pshared::pthread::{Pthread, PthreadPi};
use pshared::sysv::Sysv;
use pshared::{Mutex, wait_any};

use crate::scene::{Scene, Stage};

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(3600);

/// Something that is done so many times in a row.
type Path<B> = (&'static str, fn(&Scene<B>, u64));

/// Calls `count` for each path whose name is `wanted`, with what goes through it so many times.
pub fn each(wanted: impl Fn(&str) -> bool, mut count: impl FnMut(&str, &dyn Fn(u64))) {
    of::<Futex>(&[most_used(), less_used(), of_futexes()].concat(), &wanted, &mut count);
    of::<Pthread>(&most_used(), &wanted, &mut count);
    of::<PthreadPi>(&most_used()[..1], &wanted, &mut count); // the rest is that of POSIX threads
    of::<Posix>(&most_used(), &wanted, &mut count);
    of::<Sysv>(&most_used(), &wanted, &mut count);
}

fn of<B: Backend>(paths: &[Path<B>], wanted: &impl Fn(&str) -> bool, count: &mut impl FnMut(&str, &dyn Fn(u64))) {
    let stage = Stage::<B>::new();
    for (name, go) in paths {
        let name = format!("{} {name}", B::NAME);
        if wanted(&name) {
            count(&name, &|times| go(&stage.scene, times));
        }
    }
}

/// Does it so often. A call, so that nothing of it is done once for all times, and what comes out of it is used.
fn repeat<B: Backend, R>(scene: &Scene<B>, times: u64, what: impl Fn(&Scene<B>) -> R) {
    #[inline(never)]
    fn call<B: Backend, R>(scene: &Scene<B>, what: impl Fn(&Scene<B>) -> R) -> R {
        what(scene)
    }
    for _ in 0..times {
        black_box(call(black_box(scene), &what));
    }
}

fn most_used<B: Backend>() -> Vec<Path<B>> {
    vec![
        ("mutex lock, unlock", |s, n| repeat(s, n, |s| drop(s.mutex.lock().unwrap()))),
        ("semaphore post, wait", |s, n| {
            repeat(s, n, |s| {
                s.jobs.post().unwrap();
                s.jobs.wait().unwrap();
            })
        }),
    ]
}

fn less_used<B: Backend>() -> Vec<Path<B>> {
    vec![
        ("mutex try_lock, unlock", |s, n| repeat(s, n, |s| drop(s.mutex.try_lock().unwrap()))),
        ("mutex try_lock_for, unlock", |s, n| repeat(s, n, |s| drop(s.mutex.try_lock_for(LONG).unwrap()))),
        ("mutex lock, unlock with another in hand", |s, n| {
            let _other = s.second.lock().unwrap();
            repeat(s, n, |s| drop(s.mutex.lock().unwrap()));
        }),
        ("reentrant mutex lock, unlock", |s, n| repeat(s, n, |s| drop(s.reentrant.lock().unwrap()))),
        ("reentrant mutex try_lock, unlock", |s, n| repeat(s, n, |s| drop(s.reentrant.try_lock().unwrap()))),
        ("reentrant mutex lock, unlock again", |s, n| {
            let _outer = s.reentrant.lock().unwrap();
            repeat(s, n, |s| drop(s.reentrant.lock().unwrap()));
        }),
        ("rwlock read, unlock", |s, n| repeat(s, n, |s| drop(s.rwlock.read().unwrap()))),
        ("rwlock read, unlock with a mutex in hand", |s, n| {
            let _other = s.second.lock().unwrap();
            repeat(s, n, |s| drop(s.rwlock.read().unwrap()));
        }),
        ("rwlock write, unlock with a mutex in hand", |s, n| {
            let _other = s.second.lock().unwrap();
            repeat(s, n, |s| drop(s.rwlock.write().unwrap()));
        }),
        ("rwlock try_read, unlock", |s, n| repeat(s, n, |s| drop(s.rwlock.try_read().unwrap()))),
        ("rwlock try_read_for, unlock", |s, n| repeat(s, n, |s| drop(s.rwlock.try_read_for(LONG).unwrap()))),
        ("rwlock read, unlock again", |s, n| {
            let _outer = s.rwlock.read().unwrap();
            repeat(s, n, |s| drop(s.rwlock.read().unwrap()));
        }),
        ("rwlock write, unlock", |s, n| repeat(s, n, |s| drop(s.rwlock.write().unwrap()))),
        ("rwlock try_write, unlock", |s, n| repeat(s, n, |s| drop(s.rwlock.try_write().unwrap()))),
        ("rwlock upgradable_read, unlock", |s, n| repeat(s, n, |s| drop(s.rwlock.upgradable_read().unwrap()))),
        ("rwlock upgradable_read, upgrade, unlock", |s, n| {
            repeat(s, n, |s| drop(Upgradable::upgrade(s.rwlock.upgradable_read().unwrap()).unwrap()))
        }),
        ("rwlock write, downgrade, unlock", |s, n| repeat(s, n, |s| drop(Write::downgrade(s.rwlock.write().unwrap())))),
        ("semaphore post", |s, n| repeat(s, n, |s| s.posted.post().unwrap())),
        ("semaphore wait", |s, n| {
            s.jobs.post_many(n as u32).unwrap();
            repeat(s, n, |s| s.jobs.wait().unwrap());
        }),
        ("semaphore try_wait", |s, n| {
            s.jobs.post_many(n as u32).unwrap();
            repeat(s, n, |s| s.jobs.try_wait().unwrap());
        }),
        ("semaphore wait_timeout", |s, n| {
            s.jobs.post_many(n as u32).unwrap();
            repeat(s, n, |s| s.jobs.wait_timeout(LONG).unwrap());
        }),
        ("semaphore try_wait, nothing there", |s, n| repeat(s, n, |s| assert!(s.jobs.try_wait().is_err()))),
        ("permits acquire, release", |s, n| repeat(s, n, |s| drop(s.permits.acquire().unwrap()))),
        ("permits try_acquire, release", |s, n| repeat(s, n, |s| drop(s.permits.try_acquire().unwrap()))),
        ("permits acquire_timeout, release", |s, n| repeat(s, n, |s| drop(s.permits.acquire_timeout(LONG).unwrap()))),
        ("permits acquire, release with another in hand", |s, n| {
            let _other = s.permits.acquire().unwrap();
            repeat(s, n, |s| drop(s.permits.acquire().unwrap()));
        }),
        ("condvar notify_one, nobody asleep", |s, n| repeat(s, n, |s| s.condvar.notify_one())),
        ("condvar notify_all, nobody asleep", |s, n| repeat(s, n, |s| s.condvar.notify_all())),
        ("event set, reset (manual reset)", |s, n| {
            repeat(s, n, |s| {
                s.manual.set().unwrap();
                s.manual.reset().unwrap();
            })
        }),
        ("event set when set (manual reset)", |s, n| repeat(s, n, |s| s.open.set().unwrap())),
        ("event wait (manual reset)", |s, n| repeat(s, n, |s| s.open.wait().unwrap())),
        ("event set, wait (auto reset)", |s, n| {
            repeat(s, n, |s| {
                s.auto.set().unwrap();
                s.auto.wait().unwrap();
            })
        }),
        ("barrier wait, alone", |s, n| repeat(s, n, |s| s.barrier.wait().unwrap().is_leader())),
        ("once call_once, done", |s, n| {
            s.once.call_once(|| {}).unwrap();
            repeat(s, n, |s| s.once.call_once(|| {}).unwrap());
        }),
        ("once_lock get", |s, n| {
            s.once_lock.get_or_init(|| 1).unwrap();
            repeat(s, n, |s| *s.once_lock.get().unwrap());
        }),
        ("once_lock get_or_init, done", |s, n| repeat(s, n, |s| *s.once_lock.get_or_init(|| 1).unwrap())),
    ]
}

fn of_futexes() -> Vec<Path<Futex>> {
    vec![
        ("mutex lock, unlock outside a cell", |s, n| {
            let mutex = Mutex::new(0_u64);
            repeat(s, n, |_| drop(black_box(&mutex).lock().unwrap()));
        }),
        ("wait_any, the first of two there", |s, n| {
            s.jobs.post_many(n as u32).unwrap();
            repeat(s, n, |s| wait_any(&[&s.jobs, &s.open], LONG).unwrap());
        }),
        ("wait_any, the second of two there", |s, n| {
            repeat(s, n, |s| wait_any(&[&s.jobs, &s.open], LONG).unwrap());
        }),
    ]
}
