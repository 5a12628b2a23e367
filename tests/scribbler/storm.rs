//! A peer scribbles over all of a region while others use what is in it: no crash, no write outside, every call returns.

use std::ptr::NonNull;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use pshared::ShmCell;
use pshared::backend::Backend;
use pshared::region::{Anonymous, Region};

use crate::bodies::robust_head;
use crate::everything::{Data, Everything, ROOM, everything};
use crate::peer::Peer;
use crate::robust::Robust;
use crate::scene::{alone, fork, until};
use crate::support::fenced::Fenced;
use crate::support::random::Random;
use crate::work::{Keeping, UNTIMED, WAYS, use_somehow};

/// How long it goes on; `PSHARED_SCRIBBLE_SECONDS` may say otherwise.
const LONG: Duration = Duration::from_millis(2500);

/// No call takes as long under a scribbler, whatever it waits for.
const HANGS: Duration = Duration::from_secs(30);

const PROCESSES: usize = 2;
const THREADS: usize = 2;
const WORKERS: usize = PROCESSES * THREADS;

/// Attaching is a way of its own.
const ATTACH: usize = WAYS;

/// What the workers tell, in memory that nobody scribbles over.
#[repr(C)]
struct Told {
    stop: AtomicU8,
    ids: [std::sync::atomic::AtomicU32; WORKERS],
    calls: [std::sync::atomic::AtomicU64; WORKERS],
    way: [std::sync::atomic::AtomicUsize; WORKERS],
}

/// Memory for forked children, all zeros, for ever.
fn told() -> &'static Told {
    let staged = Anonymous::new().stage(size_of::<Told>()).unwrap();
    staged.publish().unwrap();
    let mapping = staged.into_mapping();
    let at = mapping.as_ptr().cast::<Told>();
    mapping.keep();
    // SAFETY: long enough, page-aligned, zeros are a value of it, and it is never unmapped.
    unsafe { at.as_ref() }
}

/// One thread: takes up to six things, in any way, and gives them back in any order.
fn work<B: Backend>(random: &Random, number: usize, told: &Told, fenced: &Fenced, cell: &Everything<B>) {
    let mut robust = Robust::new();
    let call = |way: usize, f: &mut dyn FnMut()| {
        told.way[number].store(way, SeqCst);
        f();
        told.calls[number].fetch_add(1, SeqCst);
    };
    while told.stop.load(SeqCst) == 0 {
        let mut kept: Keeping<'_> = Vec::new();
        if random.once_in(200) {
            // SAFETY: mapped for ever; whatever is there is what this is about.
            call(ATTACH, &mut || drop(unsafe { ShmCell::<Everything<B>>::attach(fenced.memory()) }));
        }
        for _ in 0..random.below(10) {
            if kept.len() == 6 || !kept.is_empty() && random.once_in(3) {
                let at = random.below(kept.len());
                call(WAYS, &mut || drop(kept.swap_remove(at)));
                continue;
            }
            let way = random.below(WAYS);
            if way >= UNTIMED || kept.is_empty() && random.once_in(3) {
                let soon = Duration::from_micros(random.next() % 2500);
                call(way, &mut || use_somehow(way, soon, random, cell, &mut kept));
            }
        }
        if random.once_in(4) {
            robust.use_up();
        }
        while !kept.is_empty() {
            let at = random.below(kept.len());
            call(WAYS, &mut || drop(kept.swap_remove(at)));
        }
        // A lock that counts its guards stays there if its count was scribbled over, and what its link says is anything.
        let (first, pending) = robust_head();
        assert_eq!(pending, 0, "nothing is announced any more");
        let start = std::ptr::from_ref(&cell.reentrant).addr();
        let counted = start..start + size_of_val(&cell.reentrant);
        assert!(first.is_none_or(|first| counted.contains(&first)), "everything was given back");
        robust.use_up();
    }
}

/// Where glibc's semaphores and mutexes have what kind they are, of which the words alone tell: libc reads it again while it
/// waits, and ends the process if it isn't any. The library looks at it before each call, which other tests show.
fn kinds(well: &[u8]) -> Vec<usize> {
    const SHARED_SEMAPHORE: u64 = 128;
    const ROBUST_SHARED_MUTEX: u64 = 16 + 128 + 2;
    let words = well.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap()));
    let is_kind = |word: u64| [SHARED_SEMAPHORE, ROBUST_SHARED_MUTEX].contains(&word);
    words.enumerate().filter(|(_, word)| is_kind(*word)).map(|(at, _)| at * 8).collect()
}

/// Put right, everything is as good as new.
fn works<B: Backend>(cell: &Everything<B>) {
    for lock in &cell.mutexes {
        lock.lock().unwrap().change(1);
    }
    drop(cell.reentrant.lock().unwrap());
    drop((cell.rwlock.read().unwrap(), cell.rwlock.try_read().unwrap()));
    cell.rwlock.write().unwrap().change(1);
    drop([0; ROOM].map(|_| cell.permits.try_acquire().unwrap()));
    cell.semaphores.iter().for_each(|semaphore| semaphore.try_wait().unwrap());
    cell.events[1].wait().unwrap();
    cell.once.call_once(|| ()).unwrap();
    cell.once_lock.get_or_init(Data::new).unwrap().look();
}

/// All of it, on one backend.
pub fn storm<B: Backend>() {
    alone(|| {
        let told = told();
        let fenced = &Fenced::new(ShmCell::<Everything<B>>::size());
        // SAFETY: zeros, mapped for ever.
        let cell: &ShmCell<Everything<B>> = unsafe { ShmCell::init(fenced.memory(), everything) }.unwrap();
        let memory: NonNull<[u8]> = fenced.memory();
        // SAFETY: shared memory, where everybody writes atomically or doesn't mind.
        let bytes: &[AtomicU8] = unsafe { &*(memory.as_ptr() as *const [AtomicU8]) };
        let bytes = &bytes[..ShmCell::<Everything<B>>::size()];
        let well: Vec<u8> = bytes.iter().map(|byte| byte.load(SeqCst)).collect();
        let seeds = Random::new();

        let workers: Vec<_> = (0..PROCESSES)
            .map(|process| {
                let seed = seeds.next();
                fork(|| {
                    let heap = vec![0x5a_u8; 1 << 16];
                    thread::scope(|scope| {
                        for thread in 0..THREADS {
                            scope.spawn(move || {
                                let number = process * THREADS + thread;
                                told.ids[number].store(nix::unistd::gettid().as_raw() as u32, SeqCst);
                                let random = Random::from(seed.wrapping_mul(2 * thread as u64 + 1));
                                work::<B>(&random, number, told, fenced, cell);
                            });
                        }
                    });
                    assert!(heap.iter().all(|byte| *byte == 0x5a), "private memory was written to");
                    assert_eq!(fenced.written(&[]), vec![], "outside of the region");
                })
            })
            .collect();
        until("all are at work", || told.calls.iter().all(|calls| calls.load(SeqCst) > 0));

        let ids = told.ids.iter().map(|id| id.load(SeqCst)).chain([1, 4_000_000]).collect();
        let start = memory.addr().get();
        let inside = (0..bytes.len()).step_by(8).map(|at| start + at);
        let private = [fenced.word(100).addr(), fenced.word(900).addr() + 1, told.ids.as_ptr().addr()];
        let nowhere = [0, 1, 0x1000, usize::MAX, fenced.word(0).addr() - 64];
        let pointers = inside.chain(private).chain(nowhere).collect();
        let seed = seeds.next();
        let peer = fork(|| {
            let ids = Vec::into_iter(ids).chain([nix::unistd::gettid().as_raw() as u32]).collect();
            Peer { random: Random::from(seed), bytes, well: &well, spared: kinds(&well), ids, pointers }.run()
        });

        let long = std::env::var("PSHARED_SCRIBBLE_SECONDS").map(|s| Duration::from_secs(s.parse().unwrap()));
        let (started, long) = (Instant::now(), long.unwrap_or(LONG));
        let mut last = [(0, started); WORKERS];
        let mut hang = None;
        let is_over = || workers.iter().all(|worker| worker.has_ended());
        // Scribbling goes on to the end: what names a living thread is rightly waited for until it names another.
        while hang.is_none() && !is_over() {
            if started.elapsed() >= long {
                told.stop.store(1, SeqCst);
            }
            thread::sleep(Duration::from_millis(5));
            for (number, (calls, since)) in last.iter_mut().enumerate() {
                let now = told.calls[number].load(SeqCst);
                if now != *calls {
                    (*calls, *since) = (now, Instant::now());
                } else if told.stop.load(SeqCst) == 0 && since.elapsed() > HANGS {
                    hang = Some(number);
                }
            }
            if started.elapsed() > long + HANGS {
                hang = hang.or(Some(WORKERS));
            }
        }
        let ways: Vec<_> = told.way.iter().map(|way| way.load(SeqCst)).collect();
        eprintln!("{:?} calls, the last of them in ways {ways:?}", last.map(|(calls, _)| calls));
        assert_eq!(hang, None, "a worker hangs; {WORKERS}: at the end");
        workers.into_iter().for_each(|worker| worker.finish());
        peer.kill();
        assert_eq!(fenced.written(&[]), vec![], "outside of the region");
        assert!(last.iter().all(|(calls, _)| *calls > 100));

        bytes.iter().zip(&well).for_each(|(byte, was)| byte.store(*was, SeqCst));
        works(cell);
    });
    let _ = pshared::sysv::sweep();
}
