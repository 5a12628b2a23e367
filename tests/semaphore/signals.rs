//! A storm of signals whose handler posts, while the thread that it interrupts is inside this crate.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use pshared::{Error, Event, Mutex, Semaphore, Shm, ShmSafe};

use crate::actor::TEST;
use crate::support::child::{self, Peer};
use crate::support::place::Scratch;
use crate::support::{schedule, watchdog};

#[repr(C)]
#[derive(ShmSafe)]
struct Sea {
    /// Posted by the handler, taken by the thread that it interrupts and by the test.
    waves: Semaphore,
    /// Posted and taken by the same thread.
    own: Semaphore,
    /// Set by the handler.
    seen: Event,
    bell: Event,
    lock: Mutex<u64>,
    /// How often the handler posted, and how many permits were taken.
    posted: AtomicU64,
    taken: AtomicU64,
    failed: AtomicU64,
}

static SEA: OnceLock<Shm<Sea>> = OnceLock::new();

extern "C" fn post(_: i32) {
    let sea = SEA.get().expect("set before the first signal");
    let done = sea.waves.post_many(2).is_ok() && sea.seen.set().is_ok() && sea.bell.set().is_ok();
    sea.posted.fetch_add(2, Ordering::Relaxed);
    sea.failed.fetch_add(u64::from(!done), Ordering::Relaxed);
}

/// The process that is stormed at.
pub fn storm(name: &str, peer: &Peer) {
    assert!(SEA.set(Shm::open(name).unwrap()).is_ok());
    let sea = SEA.get().unwrap();
    let action = SigAction::new(SigHandler::Handler(post), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler posts, sets and adds to atomics.
    let _before = unsafe { [Signal::SIGALRM, Signal::SIGUSR1].map(|signal| sigaction(signal, &action).unwrap()) };
    nix::unistd::alarm::cancel(); // the watchdog is the test's
    let every = libc::timeval { tv_sec: 0, tv_usec: 150 };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    peer.say("out at sea");
    // SAFETY: the struct outlives the call, and nothing comes back.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) }, 0);

    let mut round = 0;
    while sea.posted.load(Ordering::Relaxed) < 6000 {
        round += 1;
        sea.own.post().unwrap();
        *sea.lock.lock().unwrap() += 1;
        sea.own.wait().unwrap();
        let taken = match round % 5 {
            0 => sea.waves.wait(),
            1 => sea.waves.try_wait(),
            2 => sea.waves.wait_timeout(Duration::from_micros(30)),
            3 => pshared::wait_any(&[&sea.bell, &sea.waves], Duration::from_secs(50))
                .and_then(|which| if which == 1 { Ok(()) } else { Err(Error::WouldBlock) }),
            _ => sea.seen.wait().and_then(|()| sea.seen.reset()).and(Err(Error::WouldBlock)),
        };
        match taken {
            Ok(()) => _ = sea.taken.fetch_add(1, Ordering::Relaxed),
            Err(Error::WouldBlock | Error::TimedOut) => {}
            Err(other) => panic!("{other}"),
        }
    }
    let never = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let timer = libc::itimerval { it_interval: never, it_value: never };
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) }, 0);
    assert_eq!((*sea.lock.lock().unwrap(), sea.own.value()), (round, 0));
    peer.say("calm");
    peer.expect("home");
}

#[test]
fn a_handler_posts_whatever_it_interrupts_and_no_permit_is_lost_or_minted() {
    let _watchdog = watchdog::watch("the storm");
    let scratch = Scratch::new();
    let [_, name] = scratch.posix().words();
    let sea = Shm::create(&name, || {
        Ok(Sea {
            waves: Semaphore::counting(0)?,
            own: Semaphore::counting(0)?,
            seen: Event::manual(false),
            bell: Event::auto(false),
            lock: Mutex::new(0),
            posted: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    })
    .unwrap();
    let child = child::spawn(TEST, "storm", &[&name]);
    child.peer.expect("out at sea");
    // Signals of two kinds, from a timer and from here, and another process that takes: the handler finds sleepers.
    let calm = || child.id();
    while sea.posted.load(Ordering::Relaxed) < 6000 {
        if sea.waves.wait_timeout(Duration::from_micros(100)).is_ok() {
            sea.taken.fetch_add(1, Ordering::Relaxed);
        }
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(calm() as i32), Signal::SIGUSR1).unwrap();
        // The thread may be waiting for a permit that this one took.
    }
    // The last rounds of the other may wait for permits that were taken here.
    schedule::wait_until("it is calm", || {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(calm() as i32), Signal::SIGUSR1).unwrap();
        is_calm(&child.peer)
    });
    child.peer.expect("calm");
    child.peer.say("home");
    child.finish();
    let [posted, taken, failed] = [&sea.posted, &sea.taken, &sea.failed].map(|n| n.load(Ordering::Relaxed));
    println!("{posted} posted by handlers, {taken} taken, {} left", sea.waves.value());
    assert_eq!(failed, 0);
    assert_eq!(posted, taken + u64::from(sea.waves.value()));
    assert!(posted >= 6000 && taken > 0);
}

/// Whether it has said so.
fn is_calm(peer: &Peer) -> bool {
    let mut byte = [0_u8];
    // SAFETY: the buffer outlives the call; MSG_PEEK leaves the line to be read.
    let seen = unsafe {
        use std::os::fd::AsRawFd;
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        libc::recv(peer.socket().as_raw_fd(), byte.as_mut_ptr().cast(), 1, flags)
    };
    seen == 1
}
