//! The calls of `NamedSemaphore`.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, Instant};

use pshared::Error;
use pshared::posix::NamedSemaphore;

use crate::Name;
use crate::support::child;
use crate::support::schedule;
use crate::support::state::{tid, wait_until};
use crate::support::stepper::{Stepper, Stop, mark};
use crate::support::watchdog::watch;

const BRIEF: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_new_one_has_the_permits_and_the_mode_that_it_was_made_with() {
    let name = Name::new();
    let jobs = name.create(3);
    assert_eq!(jobs.value(), Ok(3));
    let mode = std::fs::metadata(name.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn each_wait_takes_one_and_each_post_adds_one() {
    let name = Name::new();
    let jobs = name.create(5);
    jobs.wait().unwrap();
    jobs.try_wait().unwrap();
    jobs.wait_timeout(Duration::ZERO).unwrap();
    jobs.wait_timeout(Duration::MAX).unwrap();
    jobs.wait_until(Instant::now()).unwrap();
    assert_eq!(jobs.value(), Ok(0));
    assert_eq!(jobs.try_wait(), Err(Error::WouldBlock));
    jobs.post().unwrap();
    assert_eq!(jobs.value(), Ok(1));
    jobs.wait_until(Instant::now() + LONG).unwrap();
}

#[test]
fn all_who_open_a_name_have_one_count() {
    let name = Name::new();
    let mine = name.create(0);
    let other = NamedSemaphore::open(&name.0).unwrap();
    let third = NamedSemaphore::open_or_create(&format!("/{}", name.0), 0o600, 100).unwrap();
    other.post().unwrap();
    assert_eq!([mine.value(), third.value()], [Ok(1), Ok(1)]);
    drop(other);
    third.wait().unwrap();
    assert_eq!(mine.try_wait(), Err(Error::WouldBlock));
}

#[test]
fn a_removed_name_is_gone_and_who_has_it_open_goes_on() {
    let name = Name::new();
    let old = name.create(1);
    NamedSemaphore::remove(&name.0).unwrap();
    assert!(matches!(NamedSemaphore::open(&name.0), Err(Error::NotFound { .. })));
    assert!(matches!(NamedSemaphore::remove(&name.0), Err(Error::NotFound { .. })));
    let new = NamedSemaphore::open_or_create(&name.0, 0o600, 0).unwrap();
    old.try_wait().unwrap();
    old.post().unwrap();
    assert_eq!(new.value(), Ok(0));
}

#[test]
fn what_exists_is_not_made_again() {
    let name = Name::new();
    let _jobs = name.create(1);
    let error = NamedSemaphore::create(&name.0, 0o600, 1).unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }));
    assert!(error.to_string().contains(&name.0), "{error}");
}

#[test]
fn a_bad_name_is_refused_by_every_call_with_what_is_wrong() {
    let long = "x".repeat(252);
    let bad = [
        ("", "empty"),
        ("/", "empty"),
        (".", "directory"),
        ("/..", "directory"),
        ("a/b", "'/'"),
        ("//a", "'/'"),
        ("a\0b", "NUL"),
        (&long, "251 bytes"),
    ];
    for (name, wrong) in bad {
        let refusals = [
            NamedSemaphore::create(name, 0o600, 0).err(),
            NamedSemaphore::open(name).err(),
            NamedSemaphore::open_or_create(name, 0o600, 0).err(),
            NamedSemaphore::remove(name).err(),
        ];
        for refusal in refusals {
            let Some(Error::InvalidName { name: said, why }) = &refusal else { panic!("{name:?}: {refusal:?}") };
            assert_eq!(&**said, name);
            assert!(why.contains(wrong), "{name:?}: {why}");
        }
    }
}

#[test]
fn the_longest_name_is_good() {
    let name = Name(format!("{:x<251}", Name::new().0.clone() + "-"));
    assert_eq!(name.create(1).value(), Ok(1));
}

#[test]
fn a_bad_mode_or_value_is_refused_and_makes_nothing() {
    let name = Name::new();
    assert!(matches!(NamedSemaphore::create(&name.0, 0o1600, 0), Err(Error::Unsupported { .. })));
    let many = NamedSemaphore::open_or_create(&name.0, 0o600, 1 << 31);
    assert!(matches!(many, Err(Error::TooManyPermits { value: 0, .. })));
    assert!(matches!(NamedSemaphore::open(&name.0), Err(Error::NotFound { .. })));
}

#[test]
fn one_more_than_it_can_count_is_refused() {
    let name = Name::new();
    let full = name.create(i32::MAX as u32);
    assert!(matches!(full.post(), Err(Error::TooManyPermits { more: 1, .. })));
    assert_eq!(full.value(), Ok(i32::MAX as u32));
}

#[test]
fn no_timed_wait_ends_early() {
    let name = Name::new();
    let jobs = name.create(0);
    for time in [BRIEF, Duration::from_millis(120)] {
        let start = Instant::now();
        assert_eq!(jobs.wait_timeout(time), Err(Error::TimedOut));
        assert_eq!(jobs.wait_until(start + 2 * time), Err(Error::TimedOut));
        assert!(start.elapsed() >= 2 * time);
    }
}

#[test]
fn a_post_wakes_a_waiter_of_another_process() {
    const TEST: &str = "named::a_post_wakes_a_waiter_of_another_process";
    if let Some((_, args, peer)) = child::role() {
        let jobs = NamedSemaphore::open(&args[0]).unwrap();
        peer.say(&tid().to_string());
        jobs.wait().unwrap();
        peer.say("got it");
        return;
    }
    let _watchdog = watch(TEST);
    let name = Name::new();
    let jobs = name.create(0);
    let waiter = child::spawn(TEST, "waiter", &[&name.0]);
    schedule::wait_until_asleep(waiter.peer.hear().parse().unwrap());
    jobs.post().unwrap();
    waiter.peer.expect("got it");
    waiter.finish();
}

/// R3 for a bare count: the wake-up is lost with the dead, the permit isn't.
#[test]
fn r3_a_woken_waiter_is_killed_and_another_gets_the_permit() {
    const TEST: &str = "named::r3_a_woken_waiter_is_killed_and_another_gets_the_permit";
    if let Some((role, args, peer)) = child::role() {
        let jobs = NamedSemaphore::open(&args[0]).unwrap();
        peer.say(&tid().to_string());
        peer.expect("go");
        if role == "victim" {
            mark();
        }
        jobs.wait().unwrap();
        peer.say("got it");
        peer.hear();
        return;
    }
    let _watchdog = watch(TEST);
    for attempt in 1.. {
        assert!(attempt <= 30, "the schedule was never met");
        let name = Name::new();
        let jobs = name.create(0);
        let victim = child::spawn(TEST, "victim", &[&name.0]);
        let stepper = Stepper::seize(victim.peer.hear().parse().unwrap());
        victim.peer.say("go");
        assert_eq!(stepper.stopped(), Stop::Mark);
        stepper.run_until_asleep();
        let other = child::spawn(TEST, "other", &[&name.0]);
        let other_tid = other.peer.hear().parse().unwrap();
        other.peer.say("go");
        schedule::wait_until_asleep(other_tid);
        jobs.post().unwrap();
        let woken = stepper.stopped() == (Stop::Exit { result: 0 });
        stepper.kill();
        victim.kill();
        other.peer.expect("got it");
        assert_eq!(jobs.value(), Ok(0));
        if woken {
            return println!("staged at attempt {attempt}");
        }
    }
}

#[test]
fn nothing_is_left_of_what_was_closed_and_removed() {
    let name = Name::new();
    let (first, second) = (name.create(0), NamedSemaphore::open(&name.0).unwrap());
    let inode = format!(" {} ", std::fs::metadata(name.file()).unwrap().ino());
    let maps = || std::fs::read_to_string("/proc/self/maps").unwrap().matches(&inode).count();
    assert!(maps() > 0);
    NamedSemaphore::remove(&name.0).unwrap();
    assert!(!std::path::Path::new(&name.file()).exists());
    drop((first, second));
    wait_until("it is unmapped", || maps() == 0);
}
