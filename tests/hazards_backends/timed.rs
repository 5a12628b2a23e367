//! Timed waits: never early, not moved by signals, and no wake-up goes with them.

use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use crate::actor::BRIEF;
use crate::hazard;
use crate::stage::{KINDS, is_wake_up};
use crate::support::schedule;

hazard!(
    /// T1: a hundred waits, of each kind a quarter.
    t1_no_timed_wait_ends_early,
    |stage| {
        let _holders = ["lock", "permit"].map(|kind| stage.holder(kind));
        let free = stage.anew(); // a condition variable takes a free lock
        let waiters = KINDS.map(|kind| if kind == "change" { free.actor() } else { stage.actor() });
        for (waiter, kind) in waiters.iter().zip(KINDS) {
            waiter.tell(&format!("take-shortly {kind}"));
        }
        waiters.iter().for_each(|waiter| waiter.says("done"));
        Some(())
    }
);

/// SIGUSR1 to a thread.
fn signal(process: u32, thread: u32) {
    // SAFETY: takes numbers only.
    Errno::result(unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGUSR1) }).unwrap();
}

hazard!(
    /// T2: it ends while signals go on coming, and not before its time.
    t2_a_stream_of_signals_moves_no_deadline,
    |stage| {
        for kind in KINDS {
            let stage = stage.anew();
            let _holder = stage.holder(kind);
            let waiter = stage.actor();
            waiter.tell(&format!("take-briefly {kind}"));
            let socket = waiter.child.peer.socket().as_raw_fd();
            let mut sent = 0;
            while recv(socket, &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT).is_err() {
                signal(waiter.child.id(), waiter.tid);
                sent += 1;
                thread::sleep(Duration::from_millis(2));
            }
            waiter.says("TimedOut");
            assert!(sent > 20, "{sent} signals only");
        }
        Some(())
    }
);

hazard!(
    /// T3: who is woken when its time is up takes what it was woken for.
    t3_a_timed_waiter_that_is_woken_when_its_time_is_up_takes_it,
    |stage| {
        for kind in KINDS {
            let stage = stage.anew();
            let (holder, victim) = (stage.holder(kind), stage.actor());
            let stepper = victim.step_to_sleep(&format!("step-take-briefly {kind}"));
            let deadline = Instant::now() + BRIEF;
            holder.does(&format!("give {kind}"));
            let met = is_wake_up(stepper.stopped());
            // Stopped as it was woken, until its time is certainly up.
            schedule::wait_until("its time is up", || Instant::now() > deadline);
            stepper.detach();
            if !met {
                return None;
            }
            victim.says("done");
        }
        Some(())
    }
);
