//! What is done with bytes that anybody may have chosen: a cell is opened that has them, or a lock is used that has.
//!
//! Nothing is asked but that it comes back, with an error or a lock, and that nothing is left on the thread's robust list.

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use pshared::backend::Backend;
use pshared::backend::futex::Futex;
use pshared::backend::posix::Posix;
use pshared::backend::pthread::Pthread;
use pshared::region::{self, Anonymous};
use pshared::{Error, Shm};

use crate::everything::{Everything, everything};
use crate::support::random::Random;
use crate::work::{COUNTED, Keeping, UNTIMED, WAYS, use_somehow};

/// How long a cell's header is, and the identity in it.
pub const HEADER: usize = 128;
pub const IDENTITY: usize = 72;

/// Of a word that says who is at work: the part that is a thread's id, and what is above every id.
const OWNER: u32 = (1 << 30) - 1;
const ABOVE_EVERY_ID: u32 = 1 << 22;
/// It is published.
const READY: u32 = 1 << 29;

/// Who opens a cell waits for its creator, a second if that is gone and ten if it isn't: few of them are to be waited for,
/// and none for a thread that does something else and happens to be named, or for somebody who might come. `choice` stands
/// in for the thread.
pub fn hurry(choice: u32, bytes: &mut [u8]) {
    if bytes.len() < HEADER {
        return;
    }
    let state = &mut bytes[IDENTITY..IDENTITY + 4];
    let word = u32::from_ne_bytes((&*state).try_into().unwrap());
    if (1..ABOVE_EVERY_ID).contains(&(word & OWNER)) {
        let instead = [0, ABOVE_EVERY_ID, OWNER][choice as usize % 3];
        state.copy_from_slice(&(word & !OWNER | instead).to_ne_bytes());
    }
    let is_published = word & OWNER == READY;
    if bytes[..8] == [0; 8] && !is_published {
        bytes[0] = 1;
    }
}

/// What opening said is an error that belongs there, and not a long one.
pub fn check(error: &Error) {
    let told = error.to_string();
    assert!(told.len() < 4000, "{} bytes of message", told.len());
    match error {
        Error::Mismatch(_) => assert!(told.contains(NAME), "{told}"),
        Error::PidNamespace { .. } | Error::Corrupted { .. } | Error::BadMemory { .. } => {}
        // Memory of no length isn't mapped; a word that names another living thread is waited for.
        Error::Unsupported { .. } | Error::Os { .. } | Error::NotReady { .. } => {}
        other => panic!("{other:?}"),
    }
}

/// What all regions of these are called.
pub const NAME: &str = "pshared-";

/// Uses what is in a cell, never waiting.
pub fn use_up<B: Backend>(ways: impl Iterator<Item = usize>, random: &Random, cell: &Everything<B>) {
    let mut kept: Keeping<'_> = Vec::new();
    for way in ways.filter(|way| !COUNTED.contains(way)) {
        use_somehow(way, Duration::ZERO, random, cell, &mut kept);
        if random.once_in(4) && !kept.is_empty() {
            drop(kept.swap_remove(random.below(kept.len())));
        }
    }
    while !kept.is_empty() {
        drop(kept.swap_remove(random.below(kept.len())));
    }
    assert_eq!(robust_head(), (None, 0), "everything was given back");
}

/// The first entry of this thread's robust list, and the pending one: what stands in its own memory.
pub fn robust_head() -> (Option<usize>, usize) {
    let (mut head, mut len) = (std::ptr::null::<[usize; 3]>(), 0_usize);
    // SAFETY: two places for the results.
    let done = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    assert_eq!((done, len), (0, size_of::<[usize; 3]>()));
    // SAFETY: libc's head, which lives as long as the thread.
    let [first, _, pending] = unsafe { head.read_volatile() };
    (Some(first & !1).filter(|first| *first != head.addr()), pending)
}

/// A file whose bytes are written past the library.
struct Written {
    path: PathBuf,
    file: File,
    whole: Vec<u8>,
}

impl Written {
    fn new() -> Written {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = PathBuf::from(format!("/dev/shm/{NAME}fuzz-{}-{number}", std::process::id()));
        drop(Shm::create_in(&region::File::new(&path).unwrap(), everything::<Futex>).unwrap());
        let whole = std::fs::read(&path).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        Written { path, file, whole }
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Opens a cell. The first byte says which: odd, the others are all its bytes; even, they are changes to a good one, each two
/// bytes for where and one for what, the first of them for how long it is.
pub fn attach(data: &[u8]) {
    thread_local! {
        static WRITTEN: Written = Written::new();
    }
    let Some((kind, data)) = data.split_first() else { return };
    WRITTEN.with(|written| {
        let mut bytes = if kind % 2 == 1 { data.to_vec() } else { written.whole.clone() };
        if kind % 2 == 0 {
            for (i, change) in data.chunks_exact(3).enumerate() {
                let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
                match bytes.len() {
                    0 => {}
                    _ if i == 0 && at > 0 => bytes.resize(at, change[2]),
                    len => bytes[at % len] = change[2],
                }
            }
        }
        hurry(data.len() as u32, &mut bytes);
        written.file.set_len(bytes.len() as u64).unwrap();
        written.file.write_all_at(&bytes, 0).unwrap();
        match Shm::<Everything<Futex>>::open_in(&region::File::new(&written.path).unwrap()) {
            Ok(cell) => use_up(UNTIMED..WAYS, &Random::from(data.len() as u64), &cell),
            Err(error) => check(&error),
        }
    });
}

/// A cell of this thread's, and its bytes when everything is well.
struct Good<B: Backend> {
    cell: Shm<Everything<B>>,
    well: Vec<u8>,
}

impl<B: Backend> Good<B> {
    fn new() -> Good<B> {
        let cell = Shm::create_in(&Anonymous::new(), everything::<B>).unwrap();
        let well = 0..size_of::<Everything<B>>();
        // SAFETY: within the value, of which nothing is written at this moment.
        let well = well.map(|at| unsafe { start(&*cell).add(at).read_volatile() }).collect();
        Good { cell, well }
    }
}

fn start<T>(of: &T) -> *mut u8 {
    std::ptr::from_ref(of).cast_mut().cast()
}

/// Where a part of a cell is, from the start.
fn part<T, P>(of: &T, part: &P) -> Range<usize> {
    let at = start(part).addr() - start(of).addr();
    at..at + size_of::<P>()
}

/// Uses what is at `range` of a cell in some of these ways, by the first eight bytes, after the rest was written there.
fn words<B: Backend>(good: &Good<B>, range: Range<usize>, ways: &[usize], data: &[u8]) {
    let Some((how, bytes)) = data.split_first_chunk::<8>() else { return };
    let write = |at: usize, byte: u8| {
        // SAFETY: within the value; atomics, or data that no guard is out for. As a peer writes, but in this thread.
        unsafe { start(&*good.cell).add(at).write_volatile(byte) };
    };
    good.well.iter().enumerate().for_each(|(at, byte)| write(at, *byte));
    range.zip(bytes).for_each(|(at, byte)| write(at, *byte));
    let random = Random::from(u64::from_le_bytes(*how));
    use_up(how.iter().map(|byte| ways[usize::from(*byte) % ways.len()]), &random, &good.cell);
}

macro_rules! targets {
    ($($(#[doc = $doc:literal])* $name:ident: $backend:ty, $($part:ident)|+, $ways:expr;)*) => { $(
        $(#[doc = $doc])*
        pub fn $name(data: &[u8]) {
            thread_local! {
                static GOOD: Good<$backend> = Good::new();
            }
            let Some((which, data)) = data.split_first() else { return };
            GOOD.with(|good| {
                let parts = [$(part(&*good.cell, &good.cell.$part)),+];
                words(good, parts[usize::from(*which) % parts.len()].clone(), &$ways, data);
            });
        }
    )* };
}

targets! {
    /// The mutex's words and links.
    mutex: Futex, mutexes, [9, 10, 11, 12, 13, 14, 28];
    /// The gate, the slots and their states.
    rwlock: Futex, rwlock, [18, 19, 20, 21, 22, 23, 24, 25, 26, 27];
    /// Semaphores, and events, which are next to them.
    semaphore: Futex, semaphores | events, [31, 32, 33, 36, 37];
    /// The sequence and the baton.
    condvar: Futex, condvar, [28, 29, 30];
    /// The slots.
    permits: Futex, permits, [34, 35];
    /// The phases and the slots of who waits.
    barrier: Futex, barrier, [38, 39];
    /// What was begun, and the value: by a number in front that [`once`] takes care of.
    once_begun: Futex, once | once_lock, [7, 8, 40];
    /// Words that name an owner for ever, and what is built on them.
    owner: Posix, mutexes | rwlock | permits | barrier | once | semaphores | events, [9, 11, 13, 14, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40];
    /// `pthread_mutex_t`s.
    pthread: Pthread, mutexes, [9, 10, 11, 12, 13, 14, 28];
}

/// What was begun, and the value. Beginning waits for whoever is at work, so nobody is.
pub fn once(data: &[u8]) {
    let rest = data.len().saturating_sub(9) % 4;
    let mut data = data[..data.len() - rest].to_vec();
    for word in data.get_mut(9..).unwrap_or_default().chunks_exact_mut(4) {
        let number = u32::from_ne_bytes((&*word).try_into().unwrap());
        if (1..ABOVE_EVERY_ID).contains(&(number & OWNER)) {
            word.copy_from_slice(&(number | ABOVE_EVERY_ID).to_ne_bytes());
        }
    }
    once_begun(&data);
}

/// What a target does with its bytes.
pub type Body = fn(&[u8]);

/// All of them, by name.
pub const ALL: [(&str, Body); 10] = [
    ("attach", attach),
    ("mutex", mutex),
    ("rwlock", rwlock),
    ("semaphore", semaphore),
    ("condvar", condvar),
    ("permits", permits),
    ("barrier", barrier),
    ("once", once),
    ("owner", owner),
    ("pthread", pthread),
];
