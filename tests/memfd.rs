//! What memfds promise beyond other regions: handing over and sealing.

mod support;

use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use pshared::Error;
use pshared::region::{Memfd, Region};
use support::child;
use support::place::{Scratch, errno, read, stage, write};

const TEXT: &[u8] = b"what one process wrote";

#[test]
fn memfd_refuses_labels_that_the_kernel_does() {
    assert!(matches!(Memfd::new("a\0b"), Err(Error::InvalidName { .. })));
    assert!(matches!(Memfd::new(&"x".repeat(250)), Err(Error::InvalidName { .. })));
    for label in ["", "a/b", &"x".repeat(249)] {
        Memfd::new(label).unwrap().stage(1).unwrap();
    }
}

#[test]
fn a_memfd_travels_to_another_process_and_nobody_can_shrink_it() {
    if let Some((_, _, parent)) = child::role() {
        let memfd = Memfd::receive(parent.socket()).unwrap();
        let mapping = memfd.open().unwrap();
        assert_eq!(read(&mapping, TEXT.len()), TEXT);
        write(&mapping, b"WHAT");
        let fd = memfd.as_fd().unwrap();
        for len in [0, 1, TEXT.len() as i64 + 1] {
            assert_eq!(nix::unistd::ftruncate(fd, len), Err(Errno::EPERM), "to {len} bytes");
        }
        let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFD).unwrap();
        assert_eq!(flags, libc::FD_CLOEXEC);
        parent.say("written");
        return;
    }
    let memfd = Memfd::new("travels").unwrap();
    let staged = stage(&memfd, TEXT);
    let child = child::spawn("a_memfd_travels_to_another_process_and_nobody_can_shrink_it", "receive", &[]);
    assert!(matches!(memfd.send(child.peer.socket()), Err(Error::NotFound { .. })));
    staged.publish().unwrap();
    memfd.send(child.peer.socket()).unwrap();
    child.peer.expect("written");
    child.finish();
    assert_eq!(read(staged.mapping(), TEXT.len()), b"WHAT one process wrote");
    assert_eq!(memfd.remove(), Ok(()));
}

#[test]
fn a_memfd_is_one_piece_of_memory() {
    let memfd = Memfd::new("one").unwrap();
    let (winner, loser) = (stage(&memfd, b"winner"), stage(&memfd, b"loser!"));
    winner.publish().unwrap();
    assert!(matches!(loser.publish(), Err(Error::AlreadyExists { .. })));
    assert!(matches!(memfd.stage(6), Err(Error::AlreadyExists { .. })));
    assert_eq!(read(&memfd.clone().open().unwrap(), 6), b"winner");
    assert_eq!(read(loser.mapping(), 6), b"loser!");
    assert_eq!(memfd.size(), Ok(6));
}

#[test]
fn descriptors_that_are_not_sealed_memfds_are_refused() {
    let name = c"unsealed";
    let unsealed = nix::sys::memfd::memfd_create(name, nix::sys::memfd::MFdFlags::MFD_ALLOW_SEALING).unwrap();
    let error = Memfd::from_fd(unsealed).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains("F_SEAL_SHRINK"), "{error}");

    let scratch = Scratch::new();
    let on_disk = std::fs::File::open(scratch.directory.join("anchor")).unwrap();
    let in_memory =
        std::fs::File::options().read(true).write(true).custom_flags(libc::O_TMPFILE).open("/dev/shm").unwrap();
    for file in [OwnedFd::from(on_disk), in_memory.into(), UnixStream::pair().unwrap().0.into()] {
        assert!(matches!(Memfd::from_fd(file), Err(Error::Unsupported { .. })));
    }
}

/// Sends a message as `Memfd::send` doesn't.
fn send_raw(socket: &UnixStream, byte: u8, files: &[OwnedFd]) {
    let raw: Vec<_> = files.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [nix::sys::socket::ControlMessage::ScmRights(&raw)];
    let rights = if raw.is_empty() { &rights[..0] } else { &rights[..] };
    let bytes = [std::io::IoSlice::new(std::slice::from_ref(&byte))];
    let flags = nix::sys::socket::MsgFlags::empty();
    nix::sys::socket::sendmsg::<()>(socket.as_raw_fd(), &bytes, rights, flags, None).unwrap();
}

#[test]
fn a_wrong_message_is_an_error_and_leaks_no_descriptor() {
    // In a process of its own, where nobody else opens descriptors.
    if child::role().is_some() {
        let open_descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let sealed = Memfd::new("sealed").unwrap();
        sealed.stage(1).unwrap().publish().unwrap();
        let sealed = || sealed.as_fd().unwrap().try_clone_to_owned().unwrap();
        let unsealed = || std::fs::File::open("/dev/null").unwrap().into();
        let (ours, theirs) = UnixStream::pair().unwrap();
        type Make<'a> = Box<dyn Fn() -> Vec<OwnedFd> + 'a>;
        let wrong: [(u8, Make); 6] = [
            (b'M', Box::new(Vec::new)),
            (b'?', Box::new(|| vec![sealed()])),
            (b'M', Box::new(|| vec![unsealed()])),
            (b'M', Box::new(|| vec![sealed(), sealed()])),
            (b'M', Box::new(|| (0..253).map(|_| sealed()).collect())),
            (b'?', Box::new(Vec::new)),
        ];
        for (byte, make) in &wrong {
            let before = open_descriptors();
            send_raw(&ours, *byte, &make());
            let error = Memfd::receive(&theirs).unwrap_err();
            assert!(matches!(error, Error::Unsupported { .. }), "{error}");
            assert_eq!(open_descriptors(), before, "{error}");
        }

        // Room for one more descriptor, and two come; for none, and one comes.
        let before = open_descriptors();
        let limit = |more: usize| {
            let highest = std::fs::File::open("/dev/null").unwrap().as_raw_fd() as u64; // the lowest free number
            setrlimit(Resource::RLIMIT_NOFILE, highest + more as u64, 4096).unwrap();
        };
        send_raw(&ours, b'M', &[sealed(), sealed()]);
        limit(1);
        let error = Memfd::receive(&theirs).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        setrlimit(Resource::RLIMIT_NOFILE, 1024, 4096).unwrap();
        assert_eq!(open_descriptors(), before, "{error}");
        send_raw(&ours, b'M', &[sealed()]);
        limit(0);
        assert_eq!(errno(Memfd::receive(&theirs)), Errno::EMFILE);
        setrlimit(Resource::RLIMIT_NOFILE, 1024, 4096).unwrap();

        // After all of that the stream still works.
        send_raw(&ours, b'M', &[sealed()]);
        Memfd::receive(&theirs).unwrap();
        return;
    }
    child::spawn("a_wrong_message_is_an_error_and_leaks_no_descriptor", "receive", &[]).finish();
}

#[test]
fn a_closed_or_silent_socket_is_an_error() {
    let memfd = Memfd::new("socket").unwrap();
    memfd.stage(1).unwrap().publish().unwrap();

    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    assert_eq!(errno(Memfd::receive(&ours)), Errno::EAGAIN);
    // Not only dropped: a child that another test is just starting may still have a copy.
    theirs.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(matches!(Memfd::receive(&ours), Err(Error::Unsupported { .. })));
    assert_eq!(errno(memfd.send(&ours)), Errno::EPIPE);

    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let filled = std::iter::from_fn(|| (&ours).write(&[0; 4096]).ok()).count();
    assert!(filled > 0);
    assert_eq!(errno(memfd.send(&ours)), Errno::EAGAIN);
    drop(theirs);
}

#[test]
fn a_closed_socket_raises_no_signal() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    if child::role().is_some() {
        // SAFETY: the default action, which Rust's runtime had replaced; other programs leave it.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.unwrap();
        let memfd = Memfd::new("closed").unwrap();
        memfd.stage(1).unwrap().publish().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert_eq!(errno(memfd.send(&ours)), Errno::EPIPE);
        return;
    }
    child::spawn("a_closed_socket_raises_no_signal", "send", &[]).finish();
}
