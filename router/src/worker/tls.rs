//! TLS between a socket and the plane: handshakes, and what is encrypted.
//!
//! Nothing of a connection reaches the plane's HTTP/2 before its handshake is finished. ALPN must say `h2`; a peer that
//! offers none at all is taken at its word, since this port has never spoken anything else. Handshakes cost up to a
//! millisecond of a core, so those of clients are advanced after everything else in a turn, and only for
//! [`HANDSHAKE_US_PER_TURN`]: calls on connections that are established do not wait behind a flood of new ones.
//!
//! What is encrypted cannot be taken back, so no more than [`SEAL_BYTES`] are at a time, and only once the socket has taken
//! what was encrypted before: everything else waits in HTTP/2's output and streams, where it is bounded and counted.

#[cfg(test)]
mod cost;
mod failure;
mod session;

pub(super) use session::Session;

use super::{EventLoop, Layer, READ_BYTES, READS_PER_TURN};
use crate::{
    link::Certificates,
    observe::{Metrics, Role, TlsFailure},
    plane::ConnKey,
};
use rustls::{CertificateError, Error};
use std::{
    collections::VecDeque,
    io::ErrorKind,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::SystemTime,
};
use switchboard_transport::PeerIdentity;

/// Time that one turn spends on handshakes of clients, once each turn has advanced one.
const HANDSHAKE_US_PER_TURN: u64 = 1_000;
/// Bytes encrypted at a time: four records, which are one system call.
const SEAL_BYTES: usize = 64 << 10;
/// What is decrypted of one read, what was left of the one before, and the beginning of a record.
const PLAIN_BYTES: usize = 2 * READ_BYTES;

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

impl Tls {
    pub(super) fn new(certificates: Certificates) -> Self {
        Tls { certificates, waiting: VecDeque::new(), plain: Box::default(), log_at_ms: 0, unlogged: 0 }
    }

    /// Whether handshakes wait for the next turn.
    pub(super) fn is_busy(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl EventLoop {
    /// Reads from a TLS connection, or has its handshake wait for its turn. `until_short`: as in `read`.
    pub(super) fn read_tls(&mut self, conn: ConnKey, until_short: bool) {
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
            if !self.read_tls_once(conn, until_short) {
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
                if self.read_tls_once(conn, false) {
                    self.read_tls(conn, false);
                }
                self.run_commands();
            }
            if self.clock.now_us() >= until_us {
                return;
            }
        }
    }

    /// One read; true if there may be more.
    fn read_tls_once(&mut self, conn: ConnKey, until_short: bool) -> bool {
        let Some(Some(socket)) = self.sockets.get_mut(conn) else { return false };
        let Layer::Tls(session) = &mut socket.layer else { return false };
        if session.ended {
            self.plane.lost(conn, "the peer closed the connection");
            return false;
        }
        let early = session.has_early();
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
        // What was read before TLS had begun is not all that the socket has.
        let emptied = until_short && !early && read < self.buffer.len();
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
        !more && !opened.closed && !emptied
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

    /// Writes what waits for a TLS connection, which has been pumped, until there is nothing or the socket is full.
    pub(super) fn write_tls(&mut self, conn: ConnKey) {
        loop {
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
            if self.plane.output(conn).is_empty() {
                // Not before: what is left of an output moves to its front when more comes.
                self.plane.pump(conn);
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
