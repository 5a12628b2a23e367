//! Cells that are made, used and removed, a thousand times each in a process of its own: nothing of it remains.

use std::fs;
use std::path::PathBuf;

use pshared::generic::{Once, OnceLock, Permits, ReentrantMutex};
use pshared::region::{Anonymous, File, Memfd, Posix, Region, SysV};
use pshared::{Result, Shm};

use super::*;
use crate::support::child;
use crate::support::watchdog;

/// One of each.
#[repr(C)]
#[derive(ShmSafe)]
struct Everything<B: Backend> {
    mutex: Mutex<u64, B>,
    reentrant: ReentrantMutex<(), B>,
    rwlock: RwLock<u64, B, 2>,
    condvar: Condvar<B>,
    semaphore: Semaphore<B>,
    event: Event<B>,
    permits: Permits<B, 2>,
    barrier: Barrier<B, 2>,
    once: Once<B>,
    value: OnceLock<u64, B>,
}

impl<B: Backend> Everything<B> {
    fn new() -> Result<Self> {
        Ok(Everything {
            mutex: Mutex::new(0),
            reentrant: ReentrantMutex::new(()),
            rwlock: RwLock::with_readers(0),
            condvar: Condvar::new(),
            semaphore: Semaphore::counting(0)?,
            event: Event::manual(false),
            permits: Permits::new(),
            barrier: Barrier::new(1)?,
            once: Once::new(),
            value: OnceLock::new(),
        })
    }

    fn use_all(&self) -> Result<()> {
        *self.mutex.lock()? += 1;
        drop((self.reentrant.lock()?, self.reentrant.lock()?));
        *self.rwlock.write()? += 1;
        drop(self.rwlock.read()?);
        self.condvar.notify_all();
        let brief = std::time::Duration::from_micros(1);
        assert!(self.condvar.wait_timeout(self.mutex.lock()?, brief)?.1.timed_out());
        self.semaphore.post()?;
        self.semaphore.wait()?;
        assert_eq!(self.semaphore.wait_timeout(brief), Err(Error::TimedOut));
        self.event.set()?;
        self.event.wait()?;
        drop(self.permits.acquire()?);
        assert!(self.barrier.wait()?.is_leader());
        self.once.call_once(|| ())?;
        self.value.get_or_init(|| 7).map(drop)
    }
}

/// A kind of region, and how to make another of the kind.
type Kind = (&'static str, fn() -> Box<dyn Region>);

const KINDS: [Kind; 5] = [
    ("posix", || Box::new(Posix::new(&name()).unwrap())),
    ("sysv", || Box::new(SysV::key(0x4500_0000 | std::process::id() as i32 & 0xff_ffff).unwrap())),
    ("file", || Box::new(File::new(path()).unwrap())),
    ("memfd", || Box::new(Memfd::new("endurance").unwrap())),
    ("anonymous", || Box::new(Anonymous::new())),
];

fn name() -> String {
    format!("pshared-endurance-{}", std::process::id())
}

fn path() -> PathBuf {
    std::env::temp_dir().join(name())
}

fn cycle<B: Backend>(kind: Kind) {
    let region = kind.1();
    let cell = Shm::<Everything<B>>::create_in(&*region, Everything::new).unwrap();
    cell.use_all().unwrap();
    if kind.0 != "anonymous" {
        let again = Shm::<Everything<B>>::open_in(&*region).unwrap();
        again.mutex.lock().map(drop).unwrap();
        assert_eq!(*cell.rwlock.read().unwrap(), 1);
    }
    Shm::<Everything<B>>::remove_in(&*region).unwrap();
}

/// What this process has at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Belongings {
    mappings: usize,
    descriptors: usize,
    threads: usize,
    names: usize,
    segments: usize,
    sets: usize,
}

impl Belongings {
    fn now() -> Belongings {
        let count = |path: &str| fs::read_dir(path).unwrap().count();
        let (name, pid) = (name(), std::process::id().to_string());
        let names = |path| fs::read_dir(path).unwrap().filter(|entry| is_named(entry, &name)).count();
        let segments = fs::read_to_string("/proc/sysvipc/shm").unwrap();
        let is_ours = |line: &&str| line.split_whitespace().nth(4) == Some(&pid);
        Belongings {
            mappings: fs::read_to_string("/proc/self/maps").unwrap().lines().count(),
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            names: names("/dev/shm") + names(std::env::temp_dir().to_str().unwrap()),
            segments: segments.lines().skip(1).filter(is_ours).count(),
            sets: sets_of_this_process(),
        }
    }
}

fn is_named(entry: &std::io::Result<fs::DirEntry>, name: &str) -> bool {
    entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(name))
}

/// The library's semaphore sets whose count of users this process was the last to change.
fn sets_of_this_process() -> usize {
    let list = fs::read_to_string("/proc/sysvipc/sem").unwrap();
    let rows = list.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    let of_the_library = rows.filter(|row| row[0].parse::<i32>().is_ok_and(|key| key as u32 >> 20 == 0xd5c));
    let ids = of_the_library.map(|row| row[1].parse::<i32>().unwrap());
    // SAFETY: asks for a number. A set that is gone by now is nobody's.
    ids.filter(|id| unsafe { libc::semctl(*id, 4, libc::GETPID) } == std::process::id() as i32).count()
}

/// The memory of this process, in kilobytes.
fn resident() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A leak of a few bytes a time is found by what is allocated, one of a page by what is resident.
fn a_thousand_leave_nothing<B: Backend>(kind: Kind) {
    let what = format!("{} on {}", kind.0, B::NAME);
    // The sets of locks in anonymous memory stay until the process has ended: nothing says who else has it.
    let keeps_sets = B::NAME == "sysv" && kind.0 == "anonymous";
    let (first, then) = if keeps_sets { (10, 30) } else { (100, 900) };
    (0..first).for_each(|_| cycle::<B>(kind));
    let (before, allocated, memory) = (Belongings::now(), heap::bytes(), resident());
    (0..then).for_each(|_| cycle::<B>(kind));
    let more = heap::bytes() - allocated;
    let mut now = Belongings::now();
    if keeps_sets {
        now.sets = before.sets;
    }
    assert_eq!(now, before, "{what}");
    assert!(more.abs() < 900, "{what}: {more} bytes more are allocated");
    let more = resident() - memory;
    assert!(more < 1024, "{what}: {more} kB more are resident");
}

for_every_backend! {
    #[test]
    fn a_thousand_cells_of_each_kind_leave_nothing() {
        let test = concat!(module_path!(), "::a_thousand_cells_of_each_kind_leave_nothing");
        if let Some((_, args, peer)) = child::role() {
            let kind = KINDS.into_iter().find(|kind| kind.0 == args[0]).unwrap();
            a_thousand_leave_nothing::<Backend>(kind);
            peer.say("nothing");
            return;
        }
        let (_crate, in_crate) = test.split_once("::").unwrap();
        for (kind, _) in KINDS {
            let _watchdog = watchdog::watch(test);
            let child = child::spawn(in_crate, "maker", &[kind]);
            child.peer.expect("nothing");
            child.finish();
        }
    }
}
