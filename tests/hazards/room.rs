//! M1, M2: memory that isn't there, or that somebody takes away.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::WaitStatus;
use pshared::region::{Anonymous, File, Memfd, Posix, Region};
use pshared::{Error, Mutex, Shm, ShmSafe};

use crate::scene::{Locks, alone, create, die, fork, is_marked, locks, open, recover, use_up};
use crate::support::place::Scratch;

#[repr(C)]
#[derive(ShmSafe)]
struct With<const N: usize> {
    lock: Mutex<u64>,
    bulk: [std::sync::atomic::AtomicU8; N],
}

const TEBIBYTE: usize = 1 << 40;
const KIBIBYTE: usize = 1 << 10;

fn assert_no_room(error: Error) {
    let errno = Errno::from_raw(error.errno().unwrap_or_else(|| panic!("no system error: {error}")));
    let none = [Errno::ENOSPC, Errno::ENOMEM, Errno::EFBIG, Errno::EINVAL];
    assert!(none.contains(&errno), "{error}");
    // Only shmget(2) says so, for more than SHMMAX.
    assert!(errno != Errno::EINVAL || error.to_string().contains("shmget"), "{error}");
}

#[test]
fn m1_what_no_machine_has_is_an_error_and_leaves_nothing() {
    let scratch = Scratch::new();
    for place in &scratch.places {
        assert_no_room(Shm::<With<TEBIBYTE>>::create_zeroed_in(&*place.region(None)).unwrap_err_plain());
        assert!(!place.exists(), "{place:?}");
    }
    for region in [&Memfd::new("m1").unwrap() as &dyn Region, &Anonymous::new()] {
        assert_no_room(Shm::<With<TEBIBYTE>>::create_zeroed_in(region).unwrap_err_plain());
    }
    assert_eq!(scratch.leftovers(), Vec::<String>::new());
    // The names are free for what there is room for.
    for place in &scratch.places {
        use_up(&create(&*place.region(None)).locks[0]);
    }
}

/// `unwrap_err` for what has no `Debug`.
trait UnwrapErr {
    fn unwrap_err_plain(self) -> Error;
}

impl<T: ShmSafe> UnwrapErr for pshared::Result<Shm<T>> {
    fn unwrap_err_plain(self) -> Error {
        self.err().expect("there is no room for that")
    }
}

/// Mounts a file system of 64 KiB over `at`, seen by this process and its children only; false without the right to.
fn mount_small(at: &Path) -> bool {
    let path = CString::new(at.as_os_str().as_bytes()).unwrap();
    let null = std::ptr::null();
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: terminated strings, or nothing; nobody else is in this mount namespace.
    unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(null, c"/".as_ptr(), null, private, null.cast()) == 0
            && libc::mount(c"none".as_ptr(), path.as_ptr(), c"tmpfs".as_ptr(), 0, c"size=64k".as_ptr().cast()) == 0
    }
}

/// Creates in `region`, whose file system holds 64 KiB in `directory`.
fn in_a_small_one(region: &dyn Region, another: &dyn Region, directory: &Path) {
    let entries = || std::fs::read_dir(directory).unwrap().count();
    assert_eq!(entries(), 0);
    let too_much = Shm::<With<{ 128 * KIBIBYTE }>>::create_zeroed_in(region).unwrap_err_plain();
    assert_eq!(too_much.errno(), Some(Errno::ENOSPC as i32), "{too_much}");
    assert_eq!(entries(), 0);

    let shm = Shm::<With<{ 40 * KIBIBYTE }>>::create_zeroed_in(region).unwrap();
    let no_more = Shm::<With<{ 40 * KIBIBYTE }>>::create_zeroed_in(another).unwrap_err_plain();
    assert_eq!(no_more.errno(), Some(Errno::ENOSPC as i32), "{no_more}");
    assert_eq!(entries(), 1);

    // What was created is all there, though others fill what is left.
    std::fs::write(directory.join("filler"), [7; 64 * KIBIBYTE]).unwrap_err();
    for byte in &shm.bulk {
        byte.store(1, std::sync::atomic::Ordering::Relaxed);
    }
    use_up(&shm.lock);
}

fn with_a_small_file_system_at(directory: impl Fn(&Scratch) -> std::path::PathBuf, scene: impl Fn(&Path, &Scratch)) {
    alone(|| {
        let scratch = Scratch::new();
        let directory = directory(&scratch);
        fork(|| {
            if mount_small(&directory) {
                scene(&directory, &scratch);
            } else {
                eprintln!("skipped: this user may not mount");
            }
        })
        .finish();
    });
}

#[test]
fn m1_a_full_file_system_is_an_error_at_creation_and_no_sigbus_later() {
    let mounted = |scratch: &Scratch| scratch.directory.clone();
    with_a_small_file_system_at(mounted, |directory, _| {
        let file = |name| File::new(directory.join(name)).unwrap();
        in_a_small_one(&file("region"), &file("another"), directory);
    });
}

#[test]
fn m1_so_is_a_full_dev_shm() {
    with_a_small_file_system_at(
        |_| "/dev/shm".into(),
        |directory, _| in_a_small_one(&Posix::new("region").unwrap(), &Posix::new("another").unwrap(), directory),
    );
}

#[test]
fn m2_a_cell_in_a_memfd_can_not_be_shortened_by_who_received_it() {
    alone(|| {
        let memfd = Memfd::new("m2").unwrap();
        let shm = Shm::create_in(&memfd, locks).unwrap();
        let guard = shm.locks[0].lock().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let receiver = fork(|| {
            let memfd = Memfd::receive(&theirs).unwrap();
            let fd = memfd.as_fd().unwrap();
            for len in [0, 1, 64, 4095] {
                assert_eq!(nix::unistd::ftruncate(fd.as_fd(), len), Err(Errno::EPERM), "to {len} bytes");
            }
            let shm = open(&memfd);
            assert!(shm.locks[0].is_locked());
            let _held = shm.locks[1].lock().unwrap();
            die()
        });
        memfd.send(&ours).unwrap();
        receiver.killed();
        assert!(is_marked(&shm.locks[1]));
        recover(&shm.locks[1]);
        drop(guard);
        shm.locks.iter().for_each(use_up);
    });
}

/// The limit that `File` documents.
#[test]
fn m2_who_uses_a_file_that_was_shortened_gets_sigbus() {
    alone(|| {
        let scratch = Scratch::new();
        let region = scratch.file().region(None);
        let shm = create(&*region);
        let user = fork(|| {
            // Without this the test binary's own handler says something about it.
            // SAFETY: the default action.
            unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
            let [_, path] = scratch.file().words();
            std::fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap();
            use_up(&shm.locks[0]);
            raise(Signal::SIGKILL).unwrap();
        });
        let pid = nix::unistd::Pid::from_raw(user.pid() as i32);
        let end = user.wait();
        assert!(matches!(end, WaitStatus::Signaled(who, Signal::SIGBUS, _) if who == pid), "{end:?}");
        std::mem::forget(shm); // looking for owners would touch it
    });
}

#[test]
fn m2_a_file_shortened_to_any_length_is_refused_at_attach() {
    let scratch = Scratch::new();
    let region = scratch.file().region(None);
    drop(create(&*region));
    let [_, path] = scratch.file().words();
    let whole = std::fs::read(&path).unwrap();
    let value_ends = 128 + size_of::<Locks>();
    assert!(std::fs::metadata(&path).unwrap().size() as usize > value_ends);
    for len in (0..value_ends).rev() {
        std::fs::write(&path, &whole[..len]).unwrap();
        let refused = Shm::<Locks>::open_in(&*region).unwrap_err_plain();
        let expected = [
            matches!(refused, Error::Mismatch(_)),
            matches!(refused, Error::BadMemory { .. }),
            matches!(refused, Error::Unsupported { .. }) && len == 0,
        ];
        assert!(expected.contains(&true), "{len}: {refused}");
    }
    std::fs::write(&path, &whole).unwrap();
    open(&*region).locks.iter().for_each(use_up);
}
