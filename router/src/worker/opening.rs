//! The first bytes of a client's connection: a PROXY header, TLS, or HTTP/2 in clear.

use super::{
    EventLoop, Layer,
    proxy::{self, Start},
    tls::{Handshake, Session},
};
use crate::{
    observe::{Role, TlsFailure},
    plane::ConnKey,
};
use std::{io::Write, net::IpAddr, sync::atomic::Ordering::Relaxed};
use switchboard_http2::{ErrorCode, frame};

/// Bytes read at a time while it is not known what they are: more than the longest PROXY header.
pub(super) const OPENING_BYTES: usize = 8 << 10;
/// What every TLS connection begins with: a record of a handshake.
const TLS_HANDSHAKE: u8 = 22;
/// What a program that speaks no TLS is told.
const SPEAK_TLS: &str = "this port speaks TLS only; the client connected in clear";

/// A connection of which nothing was read yet, or only a part of a PROXY header.
pub(super) struct Opening {
    /// The address at the other end.
    pub(super) address: IpAddr,
    /// Whether a PROXY header may come.
    pub(super) proxy: bool,
    /// Where TLS must come: counts it as a handshake under way.
    pub(super) handshake: Option<Handshake>,
}

impl EventLoop {
    /// Looks at the first `filled` bytes in the buffer. Returns how many of them are not HTTP/2's; `None` if nothing is
    /// for HTTP/2 now: more has to come, or TLS has begun, or the connection is refused.
    pub(super) fn open(&mut self, conn: ConnKey, filled: usize) -> Option<usize> {
        let socket = self.sockets.get_mut(conn)?.as_mut()?;
        let Layer::Opening(opening) = &mut socket.layer else { return None };
        let mut address = opening.address;
        let input = &self.buffer[..filled];
        let mut skip = 0;
        if opening.proxy {
            match proxy::read(input) {
                Start::Partial => {
                    socket.partial = input.to_vec();
                    return None;
                }
                Start::Refused(why) => {
                    self.refuse_header(conn, address, why);
                    return None;
                }
                Start::Absent => {}
                Start::Header { length, source } => {
                    self.metrics.tls.proxied.fetch_add(1, Relaxed);
                    skip = length;
                    address = source.unwrap_or(address);
                    (opening.address, opening.proxy) = (address, false);
                    self.plane.comes_from(conn, address);
                }
            }
            if !self.count_source(conn, address) {
                self.metrics.downstream_connections_refused_total.fetch_add(1, Relaxed);
                self.plane.lost(conn, "its source has too many connections");
                return None;
            }
        }
        if proxy::is_header(&self.buffer[skip..filled]) {
            let why = "it is the second, or its sender is in none of the networks of proxy_protocol";
            self.refuse_header(conn, address, why);
            return None;
        }
        let socket = self.sockets.get_mut(conn)?.as_mut()?;
        let Layer::Opening(opening) = &mut socket.layer else { return None };
        opening.proxy = false;
        socket.partial = Vec::new();
        let rest = &self.buffer[skip..filled];
        let first = *rest.first()?;
        match (opening.handshake.take(), first) {
            (Some(handshake), TLS_HANDSHAKE) => {
                let session = self
                    .tls
                    .certificates
                    .server
                    .clone()
                    .map(|config| Session::server(config, handshake, address, rest.to_vec()));
                match session {
                    Some(Ok(session)) => {
                        socket.layer = Layer::Tls(Box::new(session));
                    }
                    None | Some(Err(_)) => {
                        self.metrics.tls.failed(Role::Downstream, TlsFailure::NotReady);
                        self.tls.note(
                            self.plane.now_ms,
                            address,
                            "there is no certificate to serve with yet",
                        );
                        self.plane.lost(conn, "there is no certificate yet");
                    }
                }
                None
            }
            (Some(_ended), _) => {
                self.metrics.tls.failed(Role::Downstream, TlsFailure::Plaintext);
                self.tls.note(self.plane.now_ms, address, SPEAK_TLS);
                let answer = plaintext_answer(rest);
                // What the socket does not take at once is not worth waiting for.
                let _ = socket.stream.write(&answer);
                self.turn_away(conn);
                None
            }
            (None, first) => {
                if first == TLS_HANDSHAKE {
                    self.metrics.tls.unexpected.fetch_add(1, Relaxed);
                    let why = "the client speaks TLS and this port does not: set tls_cert and tls_key, or connect in clear";
                    self.tls.note(self.plane.now_ms, address, why);
                }
                socket.layer = Layer::Clear;
                Some(skip)
            }
        }
    }

    fn refuse_header(&mut self, conn: ConnKey, address: IpAddr, why: &str) {
        self.metrics.tls.proxy_refused.fetch_add(1, Relaxed);
        self.tls.note(self.plane.now_ms, address, &format!("a PROXY header is not followed: {why}"));
        self.turn_away(conn);
    }

    /// Closes a connection that has not come as far as HTTP/2, so that the peer can still read what it was told.
    pub(super) fn turn_away(&mut self, conn: ConnKey) {
        let Some(Some(socket)) = self.sockets.get_mut(conn) else { return };
        // Whatever comes now is thrown away by the plane.
        socket.layer = Layer::Clear;
        socket.partial = Vec::new();
        socket.shut = true;
        let _ = socket.stream.shut();
        self.plane.linger(conn);
    }
}

/// Something that a client in clear can show: GOAWAY with the reason for HTTP/2, a page for HTTP/1.
fn plaintext_answer(input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if input.starts_with(b"PRI ") {
        frame::write_settings(&mut out, &[]);
        frame::write_goaway(&mut out, 0, ErrorCode::INADEQUATE_SECURITY.0, SPEAK_TLS.as_bytes());
    } else if input.first().is_some_and(u8::is_ascii_uppercase) {
        let length = SPEAK_TLS.len() + 1;
        // A vector takes everything.
        let _ = write!(
            out,
            "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{SPEAK_TLS}\n"
        );
    }
    out
}
