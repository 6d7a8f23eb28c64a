//! A connection's socket: TCP, or a pair to the router's own services.

use mio::{
    Interest, Registry, Token,
    net::{TcpStream, UnixStream},
};
use socket2::{SockRef, TcpKeepalive};
use std::{
    io::{self, ErrorKind, IoSlice, Read, Write},
    net::Shutdown,
    time::Duration,
};

/// The kernel's own question to a peer that is silent. It finds a host that vanished under streams which are silent for
/// so long that no PING is sent any more (gRPC servers permit few), at no cost to either program: three unanswered
/// questions 10 s apart after 60 s of silence, long before a NAT box forgets the connection.
fn tcp_keepalive() -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10))
        .with_retries(3)
}

pub(super) enum Stream {
    Tcp(TcpStream),
    Local(UnixStream),
}

impl Stream {
    /// Sets it up and has its events reported under the token.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self {
            Stream::Tcp(tcp) => {
                // Small messages must not wait for each other; without it they do, and nothing else is wrong.
                let _ = tcp.set_nodelay(true);
                let _ = SockRef::from(&*tcp).set_tcp_keepalive(&tcp_keepalive());
                registry.register(tcp, token, interest)
            }
            Stream::Local(unix) => registry.register(unix, token, interest),
        }
    }

    pub(super) fn deregister(&mut self, registry: &Registry) {
        // It is closed next, which the kernel takes for the same.
        let _ = match self {
            Stream::Tcp(tcp) => registry.deregister(tcp),
            Stream::Local(unix) => registry.deregister(unix),
        };
    }

    /// Whether a pending connect has succeeded; `Ok(false)`: not decided yet.
    pub(super) fn connected(&self) -> io::Result<bool> {
        let Stream::Tcp(tcp) = self else { return Ok(true) };
        if let Some(error) = tcp.take_error()? {
            return Err(error);
        }
        match tcp.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Shuts the sending side.
    pub(super) fn shut(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(tcp) => tcp.shutdown(Shutdown::Write),
            Stream::Local(unix) => unix.shutdown(Shutdown::Write),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(tcp) => tcp.read(buffer),
            Stream::Local(unix) => unix.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(tcp) => tcp.write(bytes),
            Stream::Local(unix) => unix.write(bytes),
        }
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(tcp) => tcp.write_vectored(pieces),
            Stream::Local(unix) => unix.write_vectored(pieces),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
