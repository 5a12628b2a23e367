//! A process with an IPC namespace of its own, where there are no sets but its own, and workers in it.

use std::ops::Deref;
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

/// A name in `/dev/shm` that nobody else has, and that is free again afterwards.
pub struct Name(String);

pub fn name() -> Name {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    Name(format!("pshared-sysv-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)))
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // Err: removed already, as it should be.
        let _ = std::fs::remove_file(format!("/dev/shm/{}", self.0));
    }
}
