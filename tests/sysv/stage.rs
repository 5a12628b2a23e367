//! A process with an IPC namespace of its own, where there are no sets but its own, and workers in it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::sched::{CloneFlags, unshare};

use crate::support::child::{self, Child, Peer};
use crate::support::watchdog::watch;

pub struct Stage {
    test: String,
}

/// Runs `main` in such a process; the processes that it starts run `work`. Says so where this user may not.
pub fn alone(main: fn(&Stage), work: fn(&[String], &Peer)) {
    match child::role() {
        None => {
            let test = thread::current().name().expect("a test runs in a thread of its name").to_owned();
            let _watchdog = watch(&test);
            let child = child::spawn(&test, "main", &[&test]);
            let said = child.peer.hear();
            if said != "alone" {
                eprintln!("{test}: skipped: {said}");
            }
            child.finish();
        }
        Some((role, args, peer)) if role == "main" => match unshare(CloneFlags::CLONE_NEWIPC) {
            Ok(()) => {
                peer.say("alone");
                main(&Stage { test: args[0].clone() });
            }
            Err(errno) => peer.say(&format!("this user may not make IPC namespaces ({errno})")),
        },
        Some((_, args, peer)) => work(&args, &peer),
    }
}

/// For a stage without workers.
pub fn nobody(_: &[String], _: &Peer) {}

impl Stage {
    pub fn worker(&self, args: &[&str]) -> Child {
        child::spawn(&self.test, "worker", args)
    }
}

/// A name in `/dev/shm` that nobody else has.
pub fn name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("pshared-sysv-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}
