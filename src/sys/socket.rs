//! Descriptors that travel over a Unix socket.

use std::io::IoSlice;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags};

/// What one `recvmsg` brought.
pub(crate) struct Message {
    /// The byte, or `None` when the peer has closed its end.
    pub(crate) byte: Option<u8>,
    /// Every descriptor that came with it.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// More was sent than this process could take.
    pub(crate) truncated: bool,
}

/// `sendmsg(SCM_RIGHTS)`: one byte and one descriptor.
pub(crate) fn send(socket: BorrowedFd<'_>, byte: u8, descriptor: BorrowedFd<'_>) -> Result<(), Errno> {
    let (bytes, descriptors) = ([byte], [descriptor.as_raw_fd()]);
    let (bytes, rights) = ([IoSlice::new(&bytes)], [ControlMessage::ScmRights(&descriptors)]);
    loop {
        match nix::sys::socket::sendmsg::<()>(socket.as_raw_fd(), &bytes, &rights, MsgFlags::MSG_NOSIGNAL, None) {
            Err(Errno::EINTR) => {}
            sent => return sent.map(drop),
        }
    }
}

/// Room for the most descriptors that one message carries (253, unix(7)) and for credentials and labels that the
/// socket's owner may have asked for, aligned as a `cmsghdr` must be.
type Ancillary = [u64; 256];

/// `recvmsg(MSG_CMSG_CLOEXEC)`: one byte and the descriptors that came with it.
///
/// By libc, because nix's `cmsgs` gives up on a truncated message and so leaks the descriptors that did come.
pub(crate) fn receive(socket: BorrowedFd<'_>) -> Result<Message, Errno> {
    let mut byte = 0u8;
    let mut bytes = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let mut ancillary: Ancillary = [0; 256];
    // SAFETY: a msghdr is integers and pointers; zero is valid for all of them.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = &raw mut bytes;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut ancillary).cast();
    let count = loop {
        header.msg_controllen = size_of::<Ancillary>() as _;
        // SAFETY: the header points to the byte and to the buffer, with their lengths; both outlive the call.
        match Errno::result(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) }) {
            Err(Errno::EINTR) => {}
            done => break done?,
        }
    };
    // SAFETY: recvmsg filled the header and the buffer, which nobody has touched since.
    let descriptors = unsafe { take_descriptors(&header) };
    Ok(Message { byte: (count > 0).then_some(byte), descriptors, truncated: header.msg_flags & libc::MSG_CTRUNC != 0 })
}

/// Owns every descriptor of a received message.
///
/// # Safety
/// - A successful `recvmsg` filled `header` and the live buffer that its `msg_control` points to.
/// - This is the only call for that message.
unsafe fn take_descriptors(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: the buffer holds what the kernel wrote, msg_controllen long.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return null or a whole, aligned header in the buffer.
    while let Some(control) = unsafe { next.as_ref() } {
        if (control.cmsg_level, control.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: takes a number only; the length of an empty control message.
            let empty = unsafe { libc::CMSG_LEN(0) } as usize;
            #[allow(clippy::unnecessary_cast, reason = "u32 in musl")]
            let count = (control.cmsg_len as usize).saturating_sub(empty) / size_of::<RawFd>();
            // SAFETY: the data follow the header in the buffer.
            let data = unsafe { libc::CMSG_DATA(next) }.cast::<RawFd>();
            for at in 0..count {
                // SAFETY: cmsg_len says that `count` descriptors are there; the kernel made them for this message and
                // nobody else knows them.
                descriptors.push(unsafe { OwnedFd::from_raw_fd(data.add(at).read_unaligned()) });
            }
        }
        // SAFETY: as CMSG_FIRSTHDR; `next` came from one of the two.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
    descriptors
}
