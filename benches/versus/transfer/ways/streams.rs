//! A pipe and a Unix socket: the sender writes from its own memory, the receiver reads into its own.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

use zerocopy::IntoBytes;

use super::{Address, Own, Way, own};

/// A pipe, as large as the system makes it.
pub struct Pipe {
    file: File,
    own: Own,
}

impl Way for Pipe {
    const NAME: &'static str = "pipe";

    fn create(name: &str, length: usize) -> io::Result<Self> {
        let (from, _to) = io::pipe()?;
        let file = File::from(OwnedFd::from(from));
        Address::of(&file).publish(name)?;
        Ok(Pipe { file, own: own(length) })
    }

    fn open(name: &str, length: usize) -> io::Result<Self> {
        // For both directions, which Linux has for a pipe's descriptor that is opened again.
        Ok(Pipe { file: Address::find(name)?.open()?, own: own(length) })
    }

    fn send(&self, fill: impl FnOnce(&mut [u64])) -> io::Result<()> {
        let own = &mut *self.own.borrow_mut();
        fill(own);
        (&self.file).write_all(own.as_bytes())
    }

    fn receive<R>(&self, look: impl FnOnce(&[u64]) -> R) -> io::Result<R> {
        let own = &mut *self.own.borrow_mut();
        (&self.file).read_exact(own.as_mut_bytes())?;
        Ok(look(own))
    }
}

/// A Unix socket of the kind that is a stream. Its name is abstract: it goes with the sender.
pub struct Socket {
    address: SocketAddr,
    stream: OnceCell<UnixStream>,
    own: Own,
}

impl Socket {
    /// The stream, made by `connect` when it is first needed.
    fn stream(&self, connect: impl FnOnce() -> io::Result<UnixStream>) -> io::Result<&UnixStream> {
        if self.stream.get().is_none() {
            let stream = connect()?;
            return Ok(self.stream.get_or_init(|| stream));
        }
        Ok(self.stream.get().expect("just seen"))
    }

    fn accept(&self) -> io::Result<UnixStream> {
        UnixListener::bind_addr(&self.address)?.accept().map(|(stream, _)| stream)
    }

    /// Connects when the sender listens.
    fn connect(&self) -> io::Result<UnixStream> {
        loop {
            match UnixStream::connect_addr(&self.address) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                result => return result,
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

impl Way for Socket {
    const NAME: &'static str = "Unix socket, stream";

    fn create(name: &str, length: usize) -> io::Result<Self> {
        Self::open(name, length)
    }

    fn open(name: &str, length: usize) -> io::Result<Self> {
        Ok(Socket { address: SocketAddr::from_abstract_name(name)?, stream: OnceCell::new(), own: own(length) })
    }

    fn send(&self, fill: impl FnOnce(&mut [u64])) -> io::Result<()> {
        let own = &mut *self.own.borrow_mut();
        fill(own);
        self.stream(|| self.accept())?.write_all(own.as_bytes())
    }

    fn receive<R>(&self, look: impl FnOnce(&[u64]) -> R) -> io::Result<R> {
        let own = &mut *self.own.borrow_mut();
        self.stream(|| self.connect())?.read_exact(own.as_mut_bytes())?;
        Ok(look(own))
    }
}
