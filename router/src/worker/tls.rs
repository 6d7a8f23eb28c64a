//! TLS between a socket and the plane: handshakes, and what is encrypted.
//!
//! Nothing of a connection reaches the plane's HTTP/2 before its handshake is finished. ALPN must say `h2`; a peer that
//! offers none at all is taken at its word, since this port has never spoken anything else. Handshakes cost up to a
//! millisecond of a core, so those of clients are advanced after everything else in a turn, and only for
//! [`HANDSHAKE_US_PER_TURN`]: calls on connections that are established do not wait behind a flood of new ones.
//!
//! What is encrypted cannot be taken back, so no more than [`SEAL_BYTES`] are at a time, and only once the socket has taken
//! what was encrypted before: everything else waits in HTTP/2's output and streams, where it is bounded and counted.

use super::{EventLoop, Layer, READ_BYTES, READS_PER_TURN, Socket};
use crate::{
    link::Certificates,
    observe::{Metrics, Role, TlsFailure},
    plane::ConnKey,
};
use rustls::{CertificateError, ClientConnection, Connection, Error, ServerConfig, ServerConnection};
use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    net::IpAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::SystemTime,
};
use switchboard_transport::{PeerIdentity, service_name};

/// Time that one turn spends on handshakes of clients, once each turn has advanced one.
const HANDSHAKE_US_PER_TURN: u64 = 1_000;
/// Bytes encrypted at a time: four records, which are one system call.
const SEAL_BYTES: usize = 64 << 10;
/// What is decrypted of one read, what was left of the one before, and the beginning of a record.
const PLAIN_BYTES: usize = 2 * READ_BYTES;
/// Between two log lines of one worker about connections that failed.
const LOG_PAUSE_MS: u64 = 1_000;

/// One worker's part of TLS.
#[derive(Debug)]
pub(super) struct Tls {
    /// What the next connections begin with.
    pub(super) certificates: Certificates,
    /// Clients' handshakes that can go on, oldest first.
    waiting: VecDeque<ConnKey>,
    /// Decrypted bytes of one connection; made when there is the first.
    plain: Box<[u8]>,
    log_at_ms: u64,
    /// Lines that were left out since the last.
    unlogged: u64,
}

/// Counts a client's handshake as under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Handshake(Arc<Metrics>);

impl Handshake {
    /// `None` if as many as may be are under way.
    pub(super) fn begin(metrics: &Arc<Metrics>, most: usize) -> Option<Self> {
        let handshake = Handshake(metrics.clone());
        if metrics.tls.in_progress.fetch_add(1, Relaxed) >= most as u64 {
            metrics.tls.refused.fetch_add(1, Relaxed);
            return None;
        }
        Some(handshake)
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.tls.in_progress.fetch_sub(1, Relaxed);
    }
}

/// A TLS connection.
pub(super) struct Session {
    tls: Connection,
    /// The client's address, or the service that an instance has to be of.
    peer: Peer,
    handshaking: bool,
    /// Counts it meanwhile.
    handshake: Option<Handshake>,
    /// It is in [`Tls::waiting`].
    queued: bool,
    /// What was read before TLS had begun.
    early: Vec<u8>,
    /// The end is announced to the peer.
    closing: bool,
    /// The peer announced its end.
    ended: bool,
}

enum Peer {
    Client(IpAddr),
    Instance(Arc<str>),
}

/// What came of decrypting.
struct Opened {
    bytes: usize,
    /// The peer announced its end.
    closed: bool,
}

impl Session {
    fn new(tls: Connection, peer: Peer) -> Self {
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
    pub(super) fn server(
        config: Arc<ServerConfig>,
        handshake: Handshake,
        address: IpAddr,
        early: Vec<u8>,
    ) -> Result<Self, Error> {
        let tls = Connection::Server(ServerConnection::new(config)?);
        Ok(Session { early, handshake: Some(handshake), ..Session::new(tls, Peer::Client(address)) })
    }

    /// One to an instance of the service. The text says why there is none.
    pub(super) fn client(certificates: &Certificates, service: &Arc<str>) -> Result<Self, String> {
        let config = certificates.client.clone().ok_or("the router has no certificate yet")?;
        let name = service_name(service).ok_or("its name cannot stand in a certificate")?;
        let tls = ClientConnection::new(config, name).map_err(|error| error.to_string())?;
        Ok(Session::new(Connection::Client(tls), Peer::Instance(service.clone())))
    }

    fn role(&self) -> Role {
        match self.peer {
            Peer::Client(_) => Role::Downstream,
            Peer::Instance(_) => Role::Upstream,
        }
    }

    /// Reads from the socket, or what was read before.
    fn read(&mut self, stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
        if self.early.is_empty() {
            return stream.read(buffer);
        }
        let early = std::mem::take(&mut self.early);
        buffer[..early.len()].copy_from_slice(&early);
        Ok(early.len())
    }

    /// Takes bytes of the socket in; what they decrypt to goes to `plain`.
    fn unseal(&mut self, mut input: &[u8], plain: &mut [u8]) -> Result<Opened, Error> {
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
    fn seal(&mut self, output: &[u8]) -> io::Result<usize> {
        self.tls.writer().write(&output[..output.len().min(SEAL_BYTES)])
    }

    /// Encrypted bytes that the socket has not taken.
    fn sealed(&mut self) -> usize {
        self.tls.process_new_packets().map_or(0, |state| state.tls_bytes_to_write())
    }
}

impl Tls {
    pub(super) fn new(certificates: Certificates) -> Self {
        Tls { certificates, waiting: VecDeque::new(), plain: Box::default(), log_at_ms: 0, unlogged: 0 }
    }

    /// Whether handshakes wait for the next turn.
    pub(super) fn is_busy(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Logs why a client's connection came to nothing; not each time, if there are many.
    pub(super) fn note(&mut self, now_ms: u64, client: IpAddr, why: &str) {
        if now_ms < self.log_at_ms {
            self.unlogged += 1;
            return;
        }
        self.log_at_ms = now_ms + LOG_PAUSE_MS;
        let others = std::mem::take(&mut self.unlogged);
        tracing::warn!(%client, others, "connection refused: {why}");
    }
}

impl EventLoop {
    /// Reads from a TLS connection, or has its handshake wait for its turn.
    pub(super) fn read_tls(&mut self, conn: ConnKey) {
        for _ in 0..READS_PER_TURN {
            let Some(Some(socket)) = self.sockets.get_mut(conn) else { return };
            let Layer::Tls(session) = &mut socket.layer else { return };
            if session.handshaking && session.role() == Role::Downstream {
                if !std::mem::replace(&mut session.queued, true) {
                    self.tls.waiting.push_back(conn);
                }
                return;
            }
            if !self.plane.wants_read(conn) {
                socket.paused = true;
                return;
            }
            if !self.read_tls_once(conn) {
                return;
            }
        }
        self.read_again(conn);
    }

    /// Advances clients' handshakes, oldest first.
    pub(super) fn advance_handshakes(&mut self) {
        if self.tls.waiting.is_empty() {
            return;
        }
        let until_us = self.clock.now_us() + HANDSHAKE_US_PER_TURN;
        while let Some(conn) = self.tls.waiting.pop_front() {
            if let Some(Some(socket)) = self.sockets.get_mut(conn)
                && let Layer::Tls(session) = &mut socket.layer
            {
                session.queued = false;
                if self.read_tls_once(conn) {
                    self.read_tls(conn);
                }
                self.run_commands();
            }
            if self.clock.now_us() >= until_us {
                return;
            }
        }
    }

    /// One read; true if there may be more.
    fn read_tls_once(&mut self, conn: ConnKey) -> bool {
        let Some(Some(socket)) = self.sockets.get_mut(conn) else { return false };
        let Layer::Tls(session) = &mut socket.layer else { return false };
        if session.ended {
            self.plane.lost(conn, "the peer closed the connection");
            return false;
        }
        let read = match session.read(&mut socket.stream, &mut self.buffer) {
            Ok(0) => {
                let why = match session.handshaking {
                    true => "the peer closed the connection during the TLS handshake",
                    false => "the peer closed the connection",
                };
                self.tls_lost(conn, TlsFailure::Closed, why);
                return false;
            }
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == ErrorKind::Interrupted => return true,
            Err(error) => {
                self.tls_lost(conn, TlsFailure::Closed, &error.to_string());
                return false;
            }
        };
        if self.tls.plain.is_empty() {
            self.tls.plain = vec![0; PLAIN_BYTES].into_boxed_slice();
        }
        let kept = socket.partial.len();
        self.tls.plain[..kept].copy_from_slice(&socket.partial);
        let opened = match session.unseal(&self.buffer[..read], &mut self.tls.plain[kept..]) {
            Ok(opened) => opened,
            Err(error) => {
                self.tls_failed(conn, &error);
                return false;
            }
        };
        session.ended = opened.closed;
        if session.tls.wants_write() {
            self.plane.mark(conn);
        }
        if session.handshaking && !session.tls.is_handshaking() && !self.secured(conn) {
            return false;
        }
        let mut more = false;
        if opened.bytes > 0 {
            let filled = kept + opened.bytes;
            let taken = self.plane.received(conn, &self.tls.plain[..filled]);
            if let Some(Some(socket)) = self.sockets.get_mut(conn) {
                socket.keep(&self.tls.plain[taken.bytes..filled]);
                socket.more = taken.more;
            }
            more = taken.more;
        }
        self.plane.count_read(conn, read);
        if more {
            self.read_again(conn);
        } else if opened.closed {
            self.plane.lost(conn, "the peer closed the connection");
        }
        !more && !opened.closed
    }

    /// The handshake is finished; false if the connection is refused all the same.
    fn secured(&mut self, conn: ConnKey) -> bool {
        let Some(Some(socket)) = self.sockets.get_mut(conn) else { return false };
        let Layer::Tls(session) = &mut socket.layer else { return false };
        let resumed = session.tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        let peer = session.tls.peer_certificates().and_then(|chain| PeerIdentity::of(chain.first()?));
        if peer.as_ref().is_some_and(|peer| peer.has_ended(SystemTime::now())) {
            self.tls_failed(conn, &Error::InvalidCertificate(CertificateError::Expired));
            return false;
        }
        session.handshaking = false;
        session.handshake = None;
        let counts = self.metrics.tls.of(session.role());
        counts.handshakes.fetch_add(1, Relaxed);
        counts.resumed.fetch_add(u64::from(resumed), Relaxed);
        self.plane.secured(conn, peer.map(Arc::new));
        true
    }

    /// The socket is gone.
    fn tls_lost(&mut self, conn: ConnKey, failure: TlsFailure, why: &str) {
        if let Some(Some(socket)) = self.sockets.get_mut(conn)
            && let Layer::Tls(session) = &mut socket.layer
            && std::mem::take(&mut session.handshaking)
        {
            self.metrics.tls.failed(session.role(), failure);
        }
        self.plane.lost(conn, why);
    }

    /// TLS broke, most often in the handshake: the peer is told, and the connection ends.
    fn tls_failed(&mut self, conn: ConnKey, error: &Error) {
        let Some(Some(socket)) = self.sockets.get_mut(conn) else { return };
        let Layer::Tls(session) = &mut socket.layer else { return };
        // The alert; what the socket does not take at once is not worth waiting for.
        if !socket.connecting && session.tls.wants_write() {
            let _ = session.tls.write_tls(&mut socket.stream);
        }
        let (failure, why) = explain(error, &session.peer);
        self.metrics.tls.failed(session.role(), failure);
        let handshaking = std::mem::take(&mut session.handshaking);
        match (&session.peer, failure) {
            (Peer::Instance(_), TlsFailure::Certificate) => self.plane.unverified(conn, &why),
            (Peer::Instance(_), _) => self.plane.lost(conn, &why),
            (Peer::Client(address), _) if handshaking => {
                self.tls.note(self.plane.now_ms, *address, &why);
                self.turn_away(conn);
            }
            (Peer::Client(_), _) => self.plane.lost(conn, &why),
        }
    }

    /// Counts a client that went away before it had said anything.
    pub(super) fn note_closed(&mut self, conn: ConnKey) {
        if let Some(Some(socket)) = self.sockets.get_mut(conn)
            && let Layer::Opening(opening) = &mut socket.layer
            && opening.handshake.take().is_some()
        {
            self.metrics.tls.failed(Role::Downstream, TlsFailure::Closed);
        }
    }

    /// Counts a handshake that did not end by itself before its socket was closed.
    pub(super) fn note_unfinished(&mut self, socket: &Socket) {
        let (role, address) = match &socket.layer {
            Layer::Tls(_) if socket.connecting => return,
            Layer::Tls(session) if session.handshaking => match session.peer {
                Peer::Client(address) => (Role::Downstream, Some(address)),
                Peer::Instance(_) => (Role::Upstream, None),
            },
            Layer::Opening(opening) if opening.handshake.is_some() => {
                (Role::Downstream, Some(opening.address))
            }
            _ => return,
        };
        self.metrics.tls.failed(role, TlsFailure::Timeout);
        if let Some(address) = address {
            self.tls.note(
                self.plane.now_ms,
                address,
                "its TLS handshake took longer than tls_handshake_timeout",
            );
        }
    }

    /// Writes what waits for a TLS connection until there is nothing or the socket is full.
    pub(super) fn write_tls(&mut self, conn: ConnKey) {
        loop {
            self.plane.pump(conn);
            let Some(Some(socket)) = self.sockets.get_mut(conn) else { return };
            let Layer::Tls(session) = &mut socket.layer else { return };
            if socket.connecting || socket.blocked {
                return;
            }
            if session.tls.wants_write() {
                match session.tls.write_tls(&mut socket.stream) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        socket.blocked = true;
                        let sealed = session.sealed();
                        return self.plane.sealed(conn, sealed);
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return self.tls_lost(conn, TlsFailure::Closed, &error.to_string()),
                }
                continue;
            }
            self.plane.sealed(conn, 0);
            if session.handshaking {
                return;
            }
            let output = self.plane.output(conn);
            if output.is_empty() || session.closing {
                break;
            }
            match session.seal(output) {
                Ok(taken) => self.plane.written(conn, taken),
                Err(error) => return self.plane.lost(conn, &error.to_string()),
            }
            if socket.paused && self.plane.wants_read(conn) {
                socket.paused = false;
                self.read_again(conn);
            }
        }
        if !self.plane.is_done(conn) {
            return;
        }
        let Some(Some(socket)) = self.sockets.get_mut(conn) else { return };
        let Layer::Tls(session) = &mut socket.layer else { return };
        if !std::mem::replace(&mut session.closing, true) {
            session.tls.send_close_notify();
            return self.write_tls(conn);
        }
        if !std::mem::replace(&mut socket.shut, true) {
            let _ = socket.stream.shut();
            self.plane.linger(conn);
        }
    }
}

/// What went wrong, for the log, and for the client whose call was to go there.
fn explain(error: &Error, peer: &Peer) -> (TlsFailure, String) {
    let text = |failure, why: &str| (failure, why.to_owned());
    match (error, peer) {
        (Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType), _) => {
            text(TlsFailure::Plaintext, "it does not speak TLS")
        }
        (Error::InvalidCertificate(problem), _) => {
            let why = match problem {
                CertificateError::NotValidForNameContext { presented, .. } => {
                    let names = if presented.is_empty() { "nobody".to_owned() } else { presented.join(", ") };
                    match peer {
                        Peer::Instance(service) => format!("its certificate names {names}, not {service}"),
                        Peer::Client(_) => format!("its certificate names {names}"),
                    }
                }
                // An authority of the same name with another key, too.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    "its certificate is of no known authority".to_owned()
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "its certificate has expired".to_owned()
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "its certificate is not valid yet".to_owned()
                }
                other => format!("its certificate is refused: {other}"),
            };
            (TlsFailure::Certificate, why)
        }
        (Error::NoCertificatesPresented, _) => {
            text(TlsFailure::Certificate, "it shows no certificate and tls_client_auth requires one")
        }
        (Error::AlertReceived(alert), _) => {
            (TlsFailure::Alert, format!("it ended the TLS handshake with the alert {alert:?}"))
        }
        (Error::NoApplicationProtocol, _) => {
            text(TlsFailure::Incompatible, "it offers protocols by ALPN, but not h2, which gRPC needs")
        }
        (Error::PeerIncompatible(what), _) => {
            (TlsFailure::Incompatible, format!("no TLS version or cipher in common: {what:?}"))
        }
        (other, _) => (TlsFailure::Protocol, format!("it broke TLS: {other}")),
    }
}
