//! A connection as an event loop drives it: socket, TLS if there is any, HTTP/2. Both ends of the bench use it.

mod outgoing;
mod tls;

pub(crate) use outgoing::{Outgoing, Sent};
pub(crate) use tls::{client_config, server_config};

use mio::{Interest, Registry, Token, event::Event, net::TcpStream};
use std::io::{self, ErrorKind, Read, Write};
use switchboard_http2 as http2;

/// Bytes read at a time (see the router's worker).
const READ_BYTES: usize = 256 << 10;
/// Bytes encrypted at a time: four records, which are one system call.
const SEAL_BYTES: usize = 64 << 10;

/// Where bytes are read to; one pair for all connections of a loop.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// What HTTP/2 reads: the rest of the last read, then the new bytes.
    pub(crate) plain: Box<[u8]>,
    /// Encrypted bytes.
    wire: Box<[u8]>,
}

impl Buffers {
    pub(crate) fn new(tls: bool) -> Self {
        let (plain, wire) = if tls { (2 * READ_BYTES, READ_BYTES) } else { (READ_BYTES, 0) };
        Buffers { plain: vec![0; plain].into(), wire: vec![0; wire].into() }
    }
}

/// What a read came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filled {
    /// Bytes in [`Buffers::plain`].
    pub(crate) bytes: usize,
    /// The socket may have more.
    pub(crate) more: bool,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    tls: Option<Box<rustls::Connection>>,
    pub(crate) http2: http2::Connection,
    /// The beginning of a frame whose rest has not come.
    partial: Vec<u8>,
    connecting: bool,
    /// The last write found the socket full; a writable event follows.
    blocked: bool,
}

/// Windows as the mesh has them, and no limit that an honest peer under load could reach.
pub(crate) fn http2_config() -> http2::Config {
    const MANY: u32 = 1_000_000_000;
    http2::Config {
        stream_window: 1 << 20,
        connection_window: 16 << 20,
        max_concurrent_streams: 100_000,
        // A streamed message is a frame, as it comes from grpc-go and grpc-java.
        join_data: false,
        resets_per_second: MANY,
        resets_burst: MANY,
        pings_per_second: MANY,
        pings_burst: MANY,
        settings_per_second: MANY,
        settings_burst: MANY,
        empty_data_burst: MANY,
        window_updates_per_second: MANY,
        window_updates_burst: MANY,
        priority_per_second: MANY,
        priority_burst: MANY,
        ..http2::Config::default()
    }
}

impl Link {
    /// A connection that was accepted, or begun (`connecting`).
    pub(crate) fn new(
        stream: TcpStream,
        tls: Option<rustls::Connection>,
        http2: http2::Connection,
        connecting: bool,
    ) -> Self {
        let tls = tls.map(Box::new);
        Link { stream, tls, http2, partial: Vec::new(), connecting, blocked: false }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if !self.connecting {
            self.stream.set_nodelay(true)?;
        }
        registry.register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Takes an event in; true if there may be something to read.
    ///
    /// # Errors
    /// The connection could not be made.
    pub(crate) fn event(&mut self, event: &Event) -> Result<bool, String> {
        if self.connecting {
            if let Some(error) = self.stream.take_error().map_err(|error| error.to_string())? {
                return Err(error.to_string());
            }
            match self.stream.peer_addr() {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
                Err(error) => return Err(error.to_string()),
            }
            self.connecting = false;
            self.stream.set_nodelay(true).map_err(|error| error.to_string())?;
        }
        if event.is_writable() {
            self.blocked = false;
        }
        Ok(event.is_readable() || event.is_read_closed() || event.is_error())
    }

    /// Reads once. `None`: the socket is empty. `closed`: the peer has sent its end, so that a short read is not the last.
    ///
    /// # Errors
    /// The connection is gone; the text says why.
    pub(crate) fn read(&mut self, buffers: &mut Buffers, closed: bool) -> Result<Option<Filled>, String> {
        let kept = self.partial.len();
        buffers.plain[..kept].copy_from_slice(&self.partial);
        let wire = match self.tls {
            Some(_) => &mut *buffers.wire,
            None => &mut buffers.plain[kept..],
        };
        let read = loop {
            match self.stream.read(wire) {
                Ok(0) => return Err("the peer closed the connection".to_owned()),
                Ok(read) => break read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        };
        let more = read == wire.len() || closed;
        let bytes = match &mut self.tls {
            Some(tls) => {
                kept + tls::unseal(tls, &buffers.wire[..read], &mut buffers.plain[kept..])
                    .map_err(|error| format!("TLS: {error}"))?
            }
            None => kept + read,
        };
        Ok(Some(Filled { bytes, more }))
    }

    /// Keeps the beginning of a frame until its rest comes.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        self.partial.clear();
        self.partial.extend_from_slice(rest);
    }

    /// Writes until there is nothing more or the socket is full. `feed` adds DATA to the output, whenever that has gone.
    ///
    /// # Errors
    /// The connection is gone; the text says why.
    pub(crate) fn flush(&mut self, mut feed: impl FnMut(&mut http2::Connection)) -> Result<(), String> {
        loop {
            if self.connecting || self.blocked {
                return Ok(());
            }
            let sealed = self.tls.as_mut().is_some_and(|tls| tls.wants_write());
            if !sealed {
                if self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
                    return Ok(());
                }
                self.http2.pump();
                feed(&mut self.http2);
                if self.http2.output().is_empty() {
                    return Ok(());
                }
            }
            let written = match &mut self.tls {
                None => self.stream.write(self.http2.output()).map(|n| self.http2.consume_output(n)),
                Some(tls) if sealed => tls.write_tls(&mut self.stream).map(|_| ()),
                Some(tls) => {
                    let output = self.http2.output();
                    let sealed = tls.writer().write(&output[..output.len().min(SEAL_BYTES)]);
                    sealed.map(|n| self.http2.consume_output(n))
                }
            };
            match written {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.blocked = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}
