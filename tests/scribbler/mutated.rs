//! Cells of which a few bytes, or the length, were changed before they are opened: an error that says what differs, or a
//! cell that works.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use pshared::backend::Backend;
use pshared::backend::futex::Futex;
use pshared::backend::posix::Posix;
use pshared::backend::pthread::Pthread;
use pshared::backend::sysv::Sysv;
use pshared::region::Region;
use pshared::{Error, Mutex, Shm, ShmSafe};

use crate::allocated::largest_in;
use crate::bodies::{HEADER, IDENTITY, check, hurry, use_up};
use crate::everything::{Data, Everything, everything};
use crate::scene::alone;
use crate::support::place::Scratch;
use crate::support::random::Random;
use crate::work::{UNTIMED, WAYS};

/// No opening needs more memory at once.
const MOST: usize = 1 << 20;

/// Something else than [`Everything`], which all are opened as now and then.
#[repr(C)]
#[derive(ShmSafe)]
struct Else {
    lock: Mutex<Data>,
    counts: [Mutex<u32>; 4],
}

/// A region whose bytes are written past the library.
struct Written {
    scratch: Scratch,
    region: Box<dyn Region>,
    file: File,
    whole: Vec<u8>,
}

impl Written {
    fn new<T: ShmSafe>(init: impl FnOnce() -> pshared::Result<T>) -> Written {
        let scratch = Scratch::new();
        let region = scratch.posix().region(None);
        drop(Shm::create_in(&*region, init).unwrap());
        let [_, name] = scratch.posix().words();
        let path = format!("/dev/shm/{name}");
        let whole = std::fs::read(&path).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        Written { scratch, region, file, whole }
    }

    fn write(&self, bytes: &[u8]) {
        self.file.set_len(bytes.len() as u64).unwrap();
        self.file.write_all_at(bytes, 0).unwrap();
    }
}

fn mutate(random: &Random, whole: &[u8], table_at: usize) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    // The identity, the word behind it, the locks and their data, the table of fields, or all.
    let parts = [(0, IDENTITY), (IDENTITY, HEADER), (HEADER, table_at), (table_at, whole.len()), (0, whole.len())];
    let (from, to) = random.of(&parts);
    for _ in 0..random.of(&[0, 1, 1, 2, 8, 100]) {
        let at = from + random.below(to - from);
        match random.below(6) {
            0 | 1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = random.of(&[0, 1, 0x20, 0x40, 0x80, 0xff]),
            3 => bytes[at] = random.next() as u8,
            _ => {
                let any = random.next();
                let own = std::process::id();
                let value = random.of(&[0, 1, u64::MAX, 1 << 63, any, whole.len() as u64, own.into()]).to_ne_bytes();
                let at = at & !7;
                let end = bytes.len().min(at + random.of(&[4, 8]));
                bytes[at..end].copy_from_slice(&value[..end - at]);
            }
        }
    }
    if random.once_in(8) {
        let len = random.of(&[0, 1, IDENTITY, HEADER, table_at, whole.len() - 1, whole.len() + 1, whole.len() + 9999]);
        bytes.resize(if random.once_in(2) { len } else { random.below(2 * whole.len()) }, random.next() as u8);
    }
    hurry(random.next() as u32, &mut bytes);
    bytes
}

/// Opens `count` cells that were changed; says how many of them worked.
fn mutated<B: Backend>(random: &Random, count: usize) -> usize {
    let written = Written::new(everything::<B>);
    let table_at = pshared_table_at(&written.whole);
    let mut worked = 0;
    for _ in 0..count {
        nix::unistd::alarm::set(60);
        written.write(&mutate(random, &written.whole, table_at));
        if random.once_in(4) {
            let (opened, largest) = largest_in(|| Shm::<Else>::open_in(&*written.region).map(drop));
            check(&opened.expect_err("it is something else"));
            assert!(largest <= MOST, "{largest} bytes at once");
            continue;
        }
        let (opened, largest) = largest_in(|| Shm::<Everything<B>>::open_in(&*written.region));
        assert!(largest <= MOST, "{largest} bytes at once");
        match opened {
            Err(error) => check(&error),
            Ok(cell) => {
                worked += 1;
                let ways = (0..8).map(|_| UNTIMED + random.below(WAYS - UNTIMED));
                use_up(ways, random, &cell);
            }
        }
    }
    worked
}

/// Where the table of fields begins, as the header says.
fn pshared_table_at(whole: &[u8]) -> usize {
    u64::from_ne_bytes(whole[32..40].try_into().unwrap()) as usize
}

/// On sets of semaphores fewer: each that is reset, as after a boot, makes sets anew.
const COUNTS: [usize; 4] = [60_000, 20_000, 20_000, 1000];

#[test]
fn a_hundred_thousand_mutated_cells_are_refused_or_work() {
    alone(|| {
        let random = Random::new();
        let [futex, pthread, posix, sysv] = COUNTS;
        let worked = [
            mutated::<Futex>(&random, futex),
            mutated::<Pthread>(&random, pthread),
            mutated::<Posix>(&random, posix),
            mutated::<Sysv>(&random, sysv),
        ];
        eprintln!("of {COUNTS:?} worked {worked:?}");
        for (worked, count) in worked.into_iter().zip(COUNTS) {
            assert!(worked > count / 10 && worked < count * 9 / 10, "{worked} of {count}");
        }
    });
    let _ = pshared::sysv::sweep();
}

#[test]
fn random_bytes_of_any_length_are_refused_and_stay_as_they_are() {
    let random = Random::new();
    let written = Written::new(everything::<Futex>);
    for len in (1..1024).chain([4095, 4096, 4097, 10_000]) {
        let bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        written.write(&bytes);
        let refused = Shm::<Everything<Futex>>::open_in(&*written.region).map(drop).unwrap_err();
        assert!(matches!(refused, Error::Mismatch(_)), "{len} bytes: {refused}");
        let [_, name] = written.scratch.posix().words();
        assert_eq!(std::fs::read(format!("/dev/shm/{name}")).unwrap(), bytes, "what is no cell stays as it was");
    }
}

#[test]
fn a_table_of_any_length_is_told_of_briefly_and_with_little_memory() {
    let written = Written::new(everything::<Futex>);
    for (byte, long) in [(b'a', 1_u64 << 28), (b'\n', 1 << 28), (0x1b, 1 << 16), (0xff, 1 << 16)] {
        let mut bytes = written.whole.clone();
        let table_at = pshared_table_at(&bytes);
        bytes[table_at..].fill(byte);
        bytes[40..48].copy_from_slice(&(long - table_at as u64).to_ne_bytes());
        written.write(&bytes);
        written.file.set_len(long).unwrap();
        let (opened, largest) = largest_in(|| Shm::<Else>::open_in(&*written.region).map(drop));
        let refused = opened.unwrap_err();
        check(&refused);
        let told = refused.to_string();
        assert!(!told.contains('\x1b'), "{told:?}");
        assert!(largest <= MOST, "{largest} bytes at once");
    }
}
