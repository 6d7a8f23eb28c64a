//! One TLS connection: bytes of the socket in and out, bytes of HTTP/2 out and in.

use super::{Handshake, SEAL_BYTES};
use crate::{link::Certificates, observe::Role};
use rustls::{ClientConnection, Connection, Error, ServerConfig, ServerConnection};
use std::{
    io::{self, Read, Write},
    net::IpAddr,
    sync::Arc,
};
use switchboard_transport::service_name;

/// A TLS connection.
pub(in crate::worker) struct Session {
    pub(super) tls: Connection,
    /// The client's address, or the service that an instance has to be of.
    pub(super) peer: Peer,
    pub(super) handshaking: bool,
    /// Counts it meanwhile.
    pub(super) handshake: Option<Handshake>,
    /// It is in [`Tls::waiting`].
    pub(super) queued: bool,
    /// What was read before TLS had begun.
    early: Vec<u8>,
    /// The end is announced to the peer.
    pub(super) closing: bool,
    /// The peer announced its end.
    pub(super) ended: bool,
}

pub(super) enum Peer {
    Client(IpAddr),
    Instance(Arc<str>),
}

/// What came of decrypting.
pub(super) struct Opened {
    pub(super) bytes: usize,
    /// The peer announced its end.
    pub(super) closed: bool,
}

impl Session {
    pub(super) fn new(tls: Connection, peer: Peer) -> Self {
        let mut session = Session {
            tls,
            peer,
            handshaking: true,
            handshake: None,
            queued: false,
            early: Vec::new(),
            closing: false,
            ended: false,
        };
        session.tls.set_buffer_limit(Some(SEAL_BYTES));
        session
    }

    /// A client's, which has sent `early`.
    pub(in crate::worker) fn server(
        config: Arc<ServerConfig>,
        handshake: Handshake,
        address: IpAddr,
        early: Vec<u8>,
    ) -> Result<Self, Error> {
        let tls = Connection::Server(ServerConnection::new(config)?);
        Ok(Session { early, handshake: Some(handshake), ..Session::new(tls, Peer::Client(address)) })
    }

    /// One to an instance of the service. The text says why there is none.
    pub(in crate::worker) fn client(certificates: &Certificates, service: &Arc<str>) -> Result<Self, String> {
        let config = certificates.client.clone().ok_or("the router has no certificate yet")?;
        let name = service_name(service).ok_or("its name cannot stand in a certificate")?;
        let tls = ClientConnection::new(config, name).map_err(|error| error.to_string())?;
        Ok(Session::new(Connection::Client(tls), Peer::Instance(service.clone())))
    }

    pub(super) fn role(&self) -> Role {
        match self.peer {
            Peer::Client(_) => Role::Downstream,
            Peer::Instance(_) => Role::Upstream,
        }
    }

    /// Whether what was read before is next.
    pub(super) fn has_early(&self) -> bool {
        !self.early.is_empty()
    }

    /// Reads from the socket, or what was read before.
    pub(super) fn read(&mut self, stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
        if self.early.is_empty() {
            return stream.read(buffer);
        }
        let early = std::mem::take(&mut self.early);
        buffer[..early.len()].copy_from_slice(&early);
        Ok(early.len())
    }

    /// Takes bytes of the socket in; what they decrypt to goes to `plain`.
    pub(super) fn unseal(&mut self, mut input: &[u8], plain: &mut [u8]) -> Result<Opened, Error> {
        let mut opened = Opened { bytes: 0, closed: false };
        while !input.is_empty() && !opened.closed {
            // A slice never fails; rustls does if a message grows beyond its bound.
            self.tls.read_tls(&mut input).map_err(|error| Error::General(error.to_string()))?;
            opened.closed = self.tls.process_new_packets()?.peer_has_closed();
            loop {
                match self.tls.reader().read(&mut plain[opened.bytes..]) {
                    Ok(0) => break,
                    Ok(read) => opened.bytes += read,
                    // Nothing more for now.
                    Err(_) => break,
                }
            }
        }
        Ok(opened)
    }

    /// Encrypts the beginning of `output`; returns how much of it.
    pub(super) fn seal(&mut self, output: &[u8]) -> io::Result<usize> {
        self.tls.writer().write(&output[..output.len().min(SEAL_BYTES)])
    }

    /// Encrypted bytes that the socket has not taken.
    pub(super) fn sealed(&mut self) -> usize {
        self.tls.process_new_packets().map_or(0, |state| state.tls_bytes_to_write())
    }
}
