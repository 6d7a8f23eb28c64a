//! TLS connections that came to nothing: what is counted, told and logged.

use super::{Tls, session::Peer};
use crate::{
    observe::{Role, TlsFailure},
    plane::ConnKey,
    worker::{EventLoop, Layer, Socket},
};
use rustls::{CertificateError, Error};
use std::net::IpAddr;

/// Between two log lines of one worker about connections that failed.
const LOG_PAUSE_MS: u64 = 1_000;

impl Tls {
    /// Logs why a client's connection came to nothing; not each time, if there are many.
    pub(in crate::worker) fn note(&mut self, now_ms: u64, client: IpAddr, why: &str) {
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
    /// The socket is gone.
    pub(super) fn tls_lost(&mut self, conn: ConnKey, failure: TlsFailure, why: &str) {
        if let Some(Some(socket)) = self.sockets.get_mut(conn)
            && let Layer::Tls(session) = &mut socket.layer
            && std::mem::take(&mut session.handshaking)
        {
            self.metrics.tls.failed(session.role(), failure);
        }
        self.plane.lost(conn, why);
    }

    /// TLS broke, most often in the handshake: the peer is told, and the connection ends.
    pub(super) fn tls_failed(&mut self, conn: ConnKey, error: &Error) {
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
    pub(in crate::worker) fn note_closed(&mut self, conn: ConnKey) {
        if let Some(Some(socket)) = self.sockets.get_mut(conn)
            && let Layer::Opening(opening) = &mut socket.layer
            && opening.handshake.take().is_some()
        {
            self.metrics.tls.failed(Role::Downstream, TlsFailure::Closed);
        }
    }

    /// Counts a handshake that did not end by itself before its socket was closed.
    pub(in crate::worker) fn note_unfinished(&mut self, socket: &Socket) {
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
