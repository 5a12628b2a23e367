//! M3: whatever bytes a region holds, opening it and using what was opened comes back.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use pshared::{Error, LockError, Shm};

use crate::scene::{Locks, alone, create};
use crate::scribbled::Random;
use crate::support::place::Scratch;

const LOCKS: usize = 128;

/// Opens it, and uses what it is if it is a cell; says whether it was.
fn open_and_use(region: &dyn pshared::region::Region) -> Result<(), Error> {
    let shm = Shm::<Locks>::open_in(region)?;
    for lock in &shm.locks {
        // Corrupt words are reported once; what names a living thread stays locked.
        for _ in 0..3 {
            match lock.try_lock() {
                Ok(_) | Err(LockError::Poisoned(_) | LockError::WouldBlock | LockError::Failed(_)) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        let _ = (format!("{lock:?}"), lock.owner(), lock.try_lock_for(Duration::from_micros(1)).is_ok());
    }
    Ok(())
}

#[test]
fn m3_ten_thousand_mutated_cells_are_refused_or_work() {
    alone(|| {
        let scratch = Scratch::new();
        let region = scratch.file().region(None);
        drop(create(&*region));
        let [_, path] = scratch.file().words();
        let whole = std::fs::read(&path).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let random = Random::new();
        let (mut worked, mut refused) = (0, 0);
        for _ in 0..10_000 {
            nix::unistd::alarm::set(60);
            let mut bytes = whole.clone();
            // The header, the locks or all; few bytes or many; any value, one bit, or one that means something.
            let within =
                random.of(&[0..72, 72..LOCKS, LOCKS..LOCKS + 8 * 56, 0..whole.len()].map(|r| (r.start, r.end)));
            for _ in 0..random.of(&[1, 2, 8, 100]) {
                let byte = &mut bytes[within.0 + random.below(within.1 - within.0)];
                *byte = match random.below(4) {
                    0 => *byte ^ (1 << random.below(8)),
                    1 => random.of(&[0, 1, 0x20, 0x40, 0x80, 0xff]),
                    _ => random.next() as u8,
                };
            }
            file.write_all_at(&bytes, 0).unwrap();
            match open_and_use(&*region) {
                Ok(()) => worked += 1,
                Err(Error::Mismatch(_) | Error::PidNamespace { .. }) => refused += 1,
                Err(Error::Corrupted { .. } | Error::NotReady { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        eprintln!("{worked} worked, {refused} were refused");
        assert!(worked > 1000 && refused > 1000);
    });
}

#[test]
fn m3_random_bytes_of_any_length_are_refused() {
    alone(|| {
        let scratch = Scratch::new();
        let region = scratch.file().region(None);
        drop(create(&*region));
        let [_, path] = scratch.file().words();
        let random = Random::new();
        for len in (1..1024).chain([4095, 4096, 4097, 10_000]) {
            let bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            assert!(matches!(open_and_use(&*region), Err(Error::Mismatch(_))), "{len} bytes");
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "what is no cell stays as it was");
        }
    });
}
