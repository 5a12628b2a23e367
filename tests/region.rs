//! What regions promise, each claim for every region that it concerns.

mod support;

use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::stat::{Mode, umask};
use pshared::Error;
use pshared::region::{Anonymous, File, Memfd, Posix, Region, SysV, Visibility};
use support::child::{self, Peer};
use support::place::{Place, Scratch, errno, read, stage, write};

const TEBIBYTE: usize = 1 << 40;
const TEXT: &[u8] = b"what one process wrote";

fn spawn_at(test: &str, role: &str, place: &Place) -> child::Child {
    let words = place.words();
    child::spawn(test, role, &[&words[0], &words[1]])
}

#[test]
fn what_one_process_publishes_another_opens() {
    if let Some((_, words, parent)) = child::role() {
        let region = Place::from_words(&words).region(None);
        let mapping = region.open().unwrap();
        assert_eq!(mapping.len(), TEXT.len());
        assert_eq!(region.size().unwrap(), TEXT.len());
        assert_eq!(mapping.describe(), region.describe());
        assert_eq!(read(&mapping, TEXT.len()), TEXT);
        write(&mapping, b"WHAT");
        parent.say("written");
        return;
    }
    let scratch = Scratch::new();
    for place in &scratch.places {
        let region = place.region(None);
        let staged = stage(&*region, TEXT);
        staged.publish().unwrap();
        let mapping = staged.into_mapping();
        let child = spawn_at("what_one_process_publishes_another_opens", "open", place);
        child.peer.expect("written");
        child.finish();
        assert_eq!(read(&mapping, TEXT.len()), b"WHAT one process wrote", "{place:?}");

        assert!(place.exists(), "{place:?}");
        region.remove().unwrap();
        assert!(!place.exists(), "{place:?}");
        assert_eq!(read(&mapping, 4), b"WHAT", "{place:?}: a mapping outlives the name");
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    let scratch = Scratch::new();
    for place in &scratch.places {
        let region = place.region(None);
        let not_found = Error::NotFound { what: region.describe().into() };
        assert_eq!(region.open().unwrap_err(), not_found);
        assert_eq!(region.size().unwrap_err(), not_found);
        assert_eq!(region.remove().unwrap_err(), not_found);
    }
    let lost = File::new(scratch.directory.join("no/such/directory")).unwrap();
    assert!(matches!(lost.open(), Err(Error::NotFound { .. })));
    assert_eq!(errno(lost.stage(1)), Errno::ENOENT);
    for region in [&Memfd::new("label").unwrap() as &dyn Region, &Anonymous::new()] {
        assert!(matches!(region.open(), Err(Error::NotFound { .. })));
        assert!(matches!(region.size(), Err(Error::NotFound { .. })));
        assert!(matches!(region.remove(), Err(Error::NotFound { .. })));
    }
}

#[test]
fn staged_memory_is_zero_and_page_aligned() {
    let scratch = Scratch::new();
    let regions = scratch.places.iter().map(|place| place.region(None));
    let unnamed: [Box<dyn Region>; 2] = [Box::new(Memfd::new("zero").unwrap()), Box::new(Anonymous::new())];
    for region in regions.chain(unnamed) {
        let staged = region.stage(70_001).unwrap();
        assert_eq!(staged.mapping().len(), 70_001);
        assert_eq!(staged.mapping().as_slice_ptr().len(), 70_001);
        assert_eq!(staged.mapping().as_ptr().as_ptr() as usize % 4096, 0);
        assert!(read(staged.mapping(), 70_001).iter().all(|byte| *byte == 0), "{}", region.describe());
    }
}

#[test]
fn posix_refuses_names_that_shared_memory_cannot_have() {
    let long = "x".repeat(256);
    for name in ["", ".", "..", "/stats", "a/b", "a\0b", &long] {
        let error = Posix::new(name).unwrap_err();
        assert!(matches!(&error, Error::InvalidName { name: named, .. } if **named == *name), "{error}");
    }
    for name in ["...", " ", "ü", "-x", &long[..255]] {
        Posix::new(name).unwrap();
    }
}

#[test]
fn file_refuses_paths_that_no_file_can_have() {
    let long = "x".repeat(256);
    for path in ["", "/", "a/", "/tmp/", ".", "..", "a/.", "a/..", "a\0b", "a\0b/c", &long] {
        let error = File::new(path).unwrap_err();
        assert!(matches!(&error, Error::InvalidName { name: named, .. } if **named == *path), "{path:?}: {error}");
    }
    for path in ["a", "./a", "../a", "/a", "/a/b", "a/...", &long[..255]] {
        File::new(path).unwrap();
    }
}

#[test]
fn sysv_refuses_keys_that_are_private_and_files_that_are_not_there() {
    assert!(matches!(SysV::key(0), Err(Error::InvalidName { .. })));
    assert!(matches!(SysV::ftok("/", 0), Err(Error::InvalidName { .. })));
    assert!(matches!(SysV::ftok("", 1), Err(Error::InvalidName { .. })));
    assert!(matches!(SysV::ftok("a\0b", 1), Err(Error::InvalidName { .. })));
    assert_eq!(errno(SysV::ftok("/no/such/file", 1)), Errno::ENOENT);
    SysV::key(-1).unwrap();
    SysV::ftok("/", 255).unwrap();
}

#[test]
fn permissions_are_the_owners_alone_or_exactly_as_asked_under_any_umask() {
    const ASKED: [(Option<u32>, u32); 4] =
        [(None, 0o600), (Some(0o640), 0o640), (Some(0o777), 0o777), (Some(0o600), 0o600)];
    if let Some((_, words, parent)) = child::role() {
        let place = Place::from_words(&words);
        for mask in [0, 0o777, 0o026] {
            umask(Mode::from_bits_truncate(mask));
            for (asked, expected) in ASKED {
                let region = place.region(asked);
                region.stage(1).unwrap().publish().unwrap();
                assert_eq!(place.permissions(), expected, "{place:?}, umask {mask:o}");
                region.remove().unwrap();
            }
        }
        parent.say("checked");
        return;
    }
    let scratch = Scratch::new();
    for place in &scratch.places {
        let test = "permissions_are_the_owners_alone_or_exactly_as_asked_under_any_umask";
        let child = spawn_at(test, "create", place);
        child.peer.expect("checked");
        child.finish();
    }
}

#[test]
fn modes_with_more_than_permissions_are_refused() {
    for mode in [0o1000, 0o4755, 0x8000_0000] {
        assert!(matches!(Posix::new("a").unwrap().mode(mode), Err(Error::Unsupported { .. })));
        assert!(matches!(File::new("a").unwrap().mode(mode), Err(Error::Unsupported { .. })));
        assert!(matches!(SysV::key(1).unwrap().mode(mode), Err(Error::Unsupported { .. })));
    }
    assert!(matches!(SysV::key(1).unwrap().mode(0o440), Err(Error::Unsupported { .. })));
}

#[test]
fn nothing_can_be_found_before_it_is_published() {
    let scratch = Scratch::new();
    for place in scratch.hidden() {
        let region = place.region(None);
        let staged = stage(&*region, TEXT);
        assert_eq!(staged.visibility(), Visibility::WhenPublished);
        assert_eq!(scratch.leftovers(), Vec::<String>::new());
        assert!(matches!(region.open(), Err(Error::NotFound { .. })));
        staged.publish().unwrap();
        assert_eq!(read(&region.open().unwrap(), TEXT.len()), TEXT);
        region.remove().unwrap();
    }
    let memfd = Memfd::new("hidden").unwrap();
    let staged = stage(&memfd, TEXT);
    assert_eq!(staged.visibility(), Visibility::WhenPublished);
    assert!(memfd.as_fd().is_none());
    staged.publish().unwrap();
    assert_eq!(read(&memfd.open().unwrap(), TEXT.len()), TEXT);
}

#[test]
fn a_loser_of_the_race_keeps_its_memory_and_may_try_again() {
    let scratch = Scratch::new();
    for place in scratch.hidden() {
        let region = place.region(None);
        let (winner, loser) = (stage(&*region, b"winner"), stage(&*region, b"loser!"));
        winner.publish().unwrap();
        let exists = Error::AlreadyExists { what: region.describe().into() };
        assert_eq!(loser.publish(), Err(exists.clone()));
        assert_eq!(loser.publish(), Err(exists), "{place:?}: losing is no end");
        assert_eq!(read(loser.mapping(), 6), b"loser!");
        assert_eq!(read(&region.open().unwrap(), 6), b"winner");

        region.remove().unwrap();
        loser.publish().unwrap();
        assert_eq!(read(&region.open().unwrap(), 6), b"loser!");
        region.remove().unwrap();
    }
}

#[test]
fn a_loser_that_gives_up_leaves_nothing() {
    let scratch = Scratch::new();
    for place in scratch.hidden() {
        let region = place.region(None);
        stage(&*region, b"winner").publish().unwrap();
        let loser = stage(&*region, b"loser!");
        assert!(matches!(loser.publish(), Err(Error::AlreadyExists { .. })));
        drop(loser);
        assert_eq!(read(&region.open().unwrap(), 6), b"winner");
        region.remove().unwrap();
        assert_eq!(scratch.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn of_many_that_publish_at_once_one_wins() {
    let scratch = Scratch::new();
    for place in scratch.hidden() {
        let barrier = std::sync::Barrier::new(8);
        let wins = std::thread::scope(|scope| {
            let publish = |number: u8| {
                let staged = stage(&*place.region(None), &[number]);
                barrier.wait();
                staged.publish().is_ok().then_some(number)
            };
            let threads: Vec<_> = (1..=8).map(|number| scope.spawn(move || publish(number))).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(wins.len(), 1, "{place:?}");
        assert_eq!(read(&place.region(None).open().unwrap(), 1), wins);
    }
}

#[test]
fn a_segment_is_created_once_and_found_at_once() {
    let scratch = Scratch::new();
    for place in scratch.segments() {
        let region = place.region(None);
        let staged = region.stage(64).unwrap();
        assert_eq!(staged.visibility(), Visibility::Immediately);
        assert_eq!(region.stage(64).unwrap_err(), Error::AlreadyExists { what: region.describe().into() });
        let other = region.open().unwrap();
        assert_eq!(other.visibility(), Visibility::Immediately);
        write(staged.mapping(), b"unfinished");
        drop(staged);
        assert_eq!(read(&region.open().unwrap(), 10), b"unfinished", "{place:?}: the next creator takes it over");
        region.remove().unwrap();
        assert!(matches!(region.open(), Err(Error::NotFound { .. })));
        assert_eq!(read(&other, 10), b"unfinished");
    }
}

#[test]
fn a_creator_killed_before_it_publishes_leaves_nothing() {
    if let Some((_, words, parent)) = child::role() {
        let region = Place::from_words(&words).region(None);
        let _staged = stage(&*region, &[7; 100_000]);
        parent.say("staged");
        parent.hear();
        unreachable!("killed while it waits");
    }
    let scratch = Scratch::new();
    for place in scratch.hidden() {
        let child = spawn_at("a_creator_killed_before_it_publishes_leaves_nothing", "create", place);
        child.peer.expect("staged");
        child.kill();
        assert_eq!(scratch.leftovers(), Vec::<String>::new());
        let region = place.region(None);
        stage(&*region, TEXT).publish().unwrap(); // and the name is free
        region.remove().unwrap();
    }
}

#[test]
fn a_creator_killed_anywhere_leaves_all_or_nothing() {
    static CONTENTS: [u8; 20_000] = [7; 20_000];
    if let Some((_, words, parent)) = child::role() {
        let region = Place::from_words(&words).region(None);
        parent.say("at work");
        loop {
            match stage(&*region, &CONTENTS).publish() {
                Ok(()) => region.remove().unwrap(),
                Err(error) => panic!("{error}"),
            }
        }
    }
    let scratch = Scratch::new();
    for place in scratch.hidden() {
        let region = place.region(None);
        for round in 0..25 {
            let child = spawn_at("a_creator_killed_anywhere_leaves_all_or_nothing", "create", place);
            child.peer.expect("at work");
            std::thread::sleep(Duration::from_micros(137 * round % 1000)); // anywhere in its loop
            child.kill();
            match region.open() {
                Ok(mapping) => {
                    assert!(read(&mapping, CONTENTS.len()) == CONTENTS, "{place:?}: half of it");
                    region.remove().unwrap();
                }
                Err(error) => assert!(matches!(error, Error::NotFound { .. }), "{error}"),
            }
            assert_eq!(scratch.leftovers(), Vec::<String>::new());
        }
    }
}

#[test]
fn a_region_of_no_bytes_is_refused() {
    let scratch = Scratch::new();
    let regions = scratch.places.iter().map(|place| place.region(None));
    let unnamed: [Box<dyn Region>; 2] = [Box::new(Memfd::new("none").unwrap()), Box::new(Anonymous::new())];
    for region in regions.chain(unnamed) {
        assert!(matches!(region.stage(0), Err(Error::Unsupported { .. })), "{}", region.describe());
    }
}

#[test]
fn a_region_larger_than_there_is_space_is_an_error_and_leaves_nothing() {
    let scratch = Scratch::new();
    let regions = scratch.places.iter().map(|place| place.region(None));
    let unnamed: [Box<dyn Region>; 2] = [Box::new(Memfd::new("large").unwrap()), Box::new(Anonymous::new())];
    for region in regions.chain(unnamed) {
        let errno = errno(region.stage(TEBIBYTE));
        assert!(matches!(errno, Errno::ENOSPC | Errno::ENOMEM), "{}: {errno}", region.describe());
        for len in [usize::MAX, isize::MAX as usize + 1] {
            assert!(matches!(region.stage(len), Err(Error::Unsupported { .. })), "{}", region.describe());
        }
        region.stage(isize::MAX as usize).unwrap_err();
        assert!(matches!(region.open(), Err(Error::NotFound { .. })), "{}", region.describe());
    }
    assert_eq!(scratch.leftovers(), Vec::<String>::new());
}

#[test]
fn all_the_space_is_there_before_it_is_used() {
    const LEN: usize = 1 << 20;
    let scratch = Scratch::new();
    for place in scratch.hidden() {
        let region = place.region(None);
        region.stage(LEN).unwrap().publish().unwrap();
        let path = match place {
            Place::Posix(name) => Path::new("/dev/shm").join(name),
            Place::File(path) => path.clone(),
            Place::Key(_) | Place::Ftok(_) => unreachable!("these are not hidden"),
        };
        assert!(path.metadata().unwrap().blocks() * 512 >= LEN as u64, "{place:?}");
    }
    let memfd = Memfd::new("space").unwrap();
    memfd.stage(LEN).unwrap().publish().unwrap();
    let file = std::fs::File::from(memfd.as_fd().unwrap().try_clone_to_owned().unwrap());
    assert!(file.metadata().unwrap().blocks() * 512 >= LEN as u64);

    for region in [&*scratch.segments()[0].region(None), &Anonymous::new()] {
        let staged = region.stage(LEN).unwrap();
        let start = format!("{:x}-", staged.mapping().as_ptr().as_ptr() as usize);
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut here = maps.lines().skip_while(|line| !line.starts_with(&start));
        let resident = here.find_map(|line| line.strip_prefix("Rss:")).unwrap();
        assert_eq!(resident.split_whitespace().next().unwrap(), (LEN >> 10).to_string(), "{}", region.describe());
    }
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_not_a_signal() {
    use nix::sys::resource::{Resource, setrlimit};
    if let Some((_, words, parent)) = child::role() {
        setrlimit(Resource::RLIMIT_FSIZE, 8192, 8192).unwrap();
        let memfd = Memfd::new("limited").unwrap();
        for region in [&*Place::from_words(&words).region(None), &memfd] {
            assert_eq!(errno(region.stage(8193)), Errno::EFBIG);
            region.stage(8192).unwrap();
        }
        parent.say("refused");
        return;
    }
    let scratch = Scratch::new();
    for place in scratch.hidden() {
        let child = spawn_at("a_limit_on_file_sizes_is_an_error_and_not_a_signal", "create", place);
        child.peer.expect("refused");
        child.finish();
    }
}

#[test]
fn what_stands_there_but_is_no_region_is_refused() {
    let scratch = Scratch::new();
    let at = |name: &str| scratch.directory.join(name);
    std::fs::write(at("empty"), "").unwrap();
    std::fs::create_dir(at("directory")).unwrap();
    symlink(at("anchor"), at("link")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    nix::unistd::mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
    assert!(at("fifo").metadata().unwrap().file_type().is_fifo());
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    for name in ["empty", "directory", "link", "dangling", "fifo", "socket"] {
        let region = File::new(at(name)).unwrap();
        assert!(matches!(region.open(), Err(Error::Unsupported { .. })), "{name}: {:?}", region.open());
        assert!(matches!(region.size(), Err(Error::Unsupported { .. })), "{name}: {:?}", region.size());
        let published = region.stage(1).unwrap().publish();
        assert!(matches!(published, Err(Error::AlreadyExists { .. })), "{name}: {published:?}");
    }
    let empty = File::new(at("empty")).unwrap().open().unwrap_err().to_string();
    assert!(empty.contains("it is empty"), "{empty}");
    assert!(matches!(File::new(at("directory")).unwrap().remove(), Err(Error::Unsupported { .. })));
    let below_a_file = File::new(at("anchor").join("region")).unwrap();
    assert_eq!(errno(below_a_file.open()), Errno::ENOTDIR);
    assert_eq!(errno(below_a_file.stage(1)), Errno::ENOTDIR);
}

#[test]
fn a_file_system_without_unnamed_files_is_named_in_the_error() {
    let error = File::new("/proc/region").unwrap().stage(1).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`/proc`"), "{text}");
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        assert_eq!(error.errno(), Some(Errno::EOPNOTSUPP as i32), "{text}");
        assert!(text.contains("O_TMPFILE") && text.contains("tmpfs"), "{text}");
    } else {
        assert_eq!(error.errno(), Some(Errno::EACCES as i32), "{text}");
    }
}

#[test]
fn a_published_region_stays_where_it_was_staged_when_its_directory_moves() {
    let scratch = Scratch::new();
    let (before, after) = (scratch.directory.join("before"), scratch.directory.join("after"));
    std::fs::create_dir(&before).unwrap();
    let staged = stage(&File::new(before.join("region")).unwrap(), TEXT);
    std::fs::rename(&before, &after).unwrap();
    staged.publish().unwrap();
    assert_eq!(std::fs::read(after.join("region")).unwrap(), TEXT);

    let staged = stage(&File::new(after.join("late")).unwrap(), TEXT);
    std::fs::remove_dir_all(&after).unwrap();
    assert_eq!(errno(staged.publish()), Errno::ENOENT);
}

#[test]
fn a_mapping_is_gone_when_dropped_and_stays_when_kept() {
    fn is_mapped(address: usize) -> bool {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().any(|line| {
            let (from, rest) = line.split_once('-').unwrap();
            let (to, _) = rest.split_once(' ').unwrap();
            let bound = |hex| usize::from_str_radix(hex, 16).unwrap();
            (bound(from)..bound(to)).contains(&address)
        })
    }
    // In a process of its own: here other tests map memory where some was just unmapped.
    if child::role().is_some() {
        let scratch = Scratch::new();
        let regions = scratch.places.iter().map(|place| place.region(None));
        let unnamed: [Box<dyn Region>; 2] = [Box::new(Memfd::new("kept").unwrap()), Box::new(Anonymous::new())];
        for region in regions.chain(unnamed) {
            let staged = region.stage(1 << 20).unwrap();
            let address = staged.mapping().as_ptr().as_ptr() as usize;
            assert!(is_mapped(address) && is_mapped(address + (1 << 20) - 1));
            drop(staged);
            assert!(!is_mapped(address) && !is_mapped(address + (1 << 20) - 1), "{}", region.describe());

            let mapping = match region.stage(1 << 20) {
                Ok(staged) => staged.into_mapping(),
                Err(_) => region.open().unwrap(), // a segment outlives its creator
            };
            let address = mapping.as_ptr().as_ptr() as usize;
            mapping.keep();
            assert!(is_mapped(address) && is_mapped(address + (1 << 20) - 1), "{}", region.describe());
        }
        return;
    }
    child::spawn("a_mapping_is_gone_when_dropped_and_stays_when_kept", "map", &[]).finish();
}

#[test]
fn anonymous_memory_is_shared_by_fork_alone() {
    let anonymous = Anonymous::new();
    let (staged, other) = (anonymous.stage(4096).unwrap(), anonymous.stage(4096).unwrap());
    staged.publish().unwrap();
    assert!(matches!(other.publish(), Err(Error::AlreadyExists { .. })));
    assert!(matches!(anonymous.stage(1), Err(Error::AlreadyExists { .. })));
    let error = anonymous.open().unwrap_err();
    assert!(error.to_string().contains("fork"), "{error}");
    assert_eq!(anonymous.size(), Ok(4096));
    assert_eq!(anonymous.remove(), Ok(()));

    let mapping = staged.into_mapping();
    // SAFETY: mapped for as long as `mapping` lives, aligned to a page, used as this atomic only.
    let word = unsafe { mapping.as_ptr().cast::<AtomicU32>().as_ref() };
    // SAFETY: the child stores to an atomic and exits, both of which are allowed after a fork of many threads.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Child => {
            word.store(7, Ordering::Relaxed);
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(0) }
        }
        nix::unistd::ForkResult::Parent { child } => {
            nix::sys::wait::waitpid(child, None).unwrap();
            assert_eq!(word.load(Ordering::Relaxed), 7);
        }
    }
}

#[test]
fn a_segment_removed_between_two_calls_is_not_found() {
    fn creator(words: &[String], parent: &Peer) -> ! {
        let region = Place::from_words(words).region(None);
        parent.say("at work");
        loop {
            region.stage(4096).unwrap();
            region.remove().unwrap();
        }
    }
    if let Some((_, words, parent)) = child::role() {
        creator(&words, &parent);
    }
    let scratch = Scratch::new();
    let place = &scratch.segments()[0];
    let child = spawn_at("a_segment_removed_between_two_calls_is_not_found", "create", place);
    child.peer.expect("at work");
    let region = place.region(None);
    let mut found = [0; 2];
    while found.contains(&0) || found.iter().sum::<u32>() < 5000 {
        match region.open() {
            Ok(mapping) => {
                assert_eq!(mapping.len(), 4096);
                found[0] += 1;
            }
            Err(error) => {
                assert!(matches!(error, Error::NotFound { .. }), "{error}");
                found[1] += 1;
            }
        }
    }
    child.kill();
}
