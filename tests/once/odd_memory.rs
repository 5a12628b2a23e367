//! Memory that is not what this process left: from before a reboot, or scribbled over.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};

use pshared::{Once, OnceLock, Shm};

use super::{Cause, Error, LONG, ShmSafe, panic_once};
use crate::support::place::{Place, Scratch};
use crate::support::watchdog::watch;

#[repr(C)]
#[derive(ShmSafe)]
struct Table {
    done: Once,
    panicked: Once,
    new: Once,
    full: OnceLock<[u64; 4]>,
    empty: OnceLock<u64>,
}

fn table() -> Table {
    Table { done: Once::new(), panicked: Once::new(), new: Once::new(), full: OnceLock::new(), empty: OnceLock::new() }
}

/// B1 of the list of hazards: nobody knows what of it reached the disk, so it is done again.
#[test]
fn what_was_done_before_a_reboot_is_done_again() {
    let scratch = Scratch::new();
    let region = scratch.file().region(None);
    let before = Shm::create_in(&*region, || Ok(table())).unwrap();
    before.done.call_once(|| {}).unwrap();
    panic_once(&before.panicked);
    before.full.set([1; 4]).unwrap();
    drop(before);
    let again = Shm::<Table>::open_in(&*region).unwrap();
    assert!(again.done.is_completed() && again.full.get() == Some(&[1; 4]), "no reboot yet");
    drop(again);

    let Place::File(path) = scratch.file() else { unreachable!("it is a file") };
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut boot = [0; 16];
    file.read_exact_at(&mut boot, 48).unwrap();
    file.write_all_at(&boot.map(|byte| byte ^ 0x5a), 48).unwrap();

    let after = Shm::<Table>::open_in(&*region).unwrap();
    for once in [&after.done, &after.new, &after.panicked] {
        assert!(!once.is_completed());
        once.call_once_force(|state| assert_eq!(state.cause(), Some(Cause::OwnerDied))).unwrap();
    }
    assert_eq!((after.full.get(), after.empty.get()), (None, None));
    assert_eq!(after.full.get_or_init(|| [2; 4]), Ok(&[2; 4]));
    after.empty.set(3).unwrap();
    drop(after);
    let later = Shm::<Table>::open_in(&*region).unwrap();
    assert!(later.done.is_completed() && later.full.get() == Some(&[2; 4]), "reset a second time");
}

/// U4 of the list of hazards.
#[test]
fn a_scribbled_word_is_an_error_once_and_a_death_from_then_on() {
    let _watchdog = watch("a_scribbled_word_is_an_error_once_and_a_death_from_then_on");
    let scratch = Scratch::new();
    for word in [0x0040_0000, 0x1fff_ffff, 0x3fff_ffff, 0x8fff_0000, 0xffff_ffff, 0x5fff_ffff_u32] {
        for waits in [false, true] {
            let region = scratch.posix().region(None);
            let shm = Shm::create_in(&*region, || Ok(table())).unwrap();
            region.remove().unwrap();
            let at = if cfg!(target_env = "musl") { 4 } else { 0 };
            // SAFETY: inside the Once, whose first 40 bytes are its atomic words; aligned like them.
            let stored = unsafe { &*(&raw const shm.new).cast::<u8>().add(at).cast::<AtomicU32>() };
            stored.store(word, Ordering::SeqCst);
            assert!(!shm.new.is_completed());
            let refused =
                if waits { shm.new.wait_timeout(LONG) } else { shm.new.call_once(|| panic!("not to be run")) };
            assert_eq!(refused, Err(Error::Corrupted { word }));
            shm.new.call_once_force(|state| assert_eq!(state.cause(), Some(Cause::OwnerDied))).unwrap();
            assert!(shm.new.is_completed());
        }
    }
}
