//! Client connections: accepted by the first worker, handed to all in turn, counted by source.

use super::{EventLoop, opening::Opening, sources::Source, stream::Stream, tls::Handshake};
use crate::{
    link::{Update, WorkerLink},
    plane::ConnKey,
};
use mio::net::{TcpListener, TcpStream};
use std::{io::ErrorKind, net::IpAddr, sync::atomic::Ordering::Relaxed};

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;
/// Pause after an accept that failed for want of file descriptors.
const ACCEPT_PAUSE_MS: u64 = 100;

/// The listener and whose turn it is.
pub(super) struct Acceptor {
    listener: TcpListener,
    links: Vec<WorkerLink>,
    turn: usize,
    pub(super) retry_at_ms: Option<u64>,
}

/// What is known of a connection when it is accepted.
#[derive(Debug)]
pub struct Arrival {
    /// The address at the other end.
    address: IpAddr,
    /// Counts it for its source; `None` where a load balancer may yet say whose it is.
    source: Option<Source>,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener, links: Vec<WorkerLink>) -> Self {
        Acceptor { listener, links, turn: 0, retry_at_ms: None }
    }
}

impl EventLoop {
    pub(super) fn accept(&mut self) {
        let Some(acceptor) = &mut self.acceptor else { return };
        acceptor.retry_at_ms = None;
        let mut mine = Vec::new();
        for _ in 0..ACCEPTS_PER_TURN {
            match acceptor.listener.accept() {
                Ok((stream, address)) => {
                    let address = address.ip().to_canonical();
                    let source = match is_trusted(&self.plane.config.proxy_protocol, address) {
                        true => None,
                        // A source with too many connections is told at once: the socket is dropped.
                        false => match self.sources.admit(address) {
                            None => {
                                self.metrics.downstream_connections_refused_total.fetch_add(1, Relaxed);
                                continue;
                            }
                            admitted => admitted,
                        },
                    };
                    let arrival = Arrival { address, source };
                    let turn = acceptor.turn % acceptor.links.len();
                    acceptor.turn = acceptor.turn.wrapping_add(1);
                    if turn == self.index {
                        mine.push((stream, arrival));
                    } else {
                        acceptor.links[turn].send(Update::Connection(stream.into(), arrival));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return self.take_connections(mine);
                }
                // The client gave up while it waited; the next one may be well.
                Err(error)
                    if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                Err(error) => {
                    tracing::warn!(%error, "accept failed, trying again shortly");
                    acceptor.retry_at_ms = Some(self.plane.now_ms + ACCEPT_PAUSE_MS);
                    return self.take_connections(mine);
                }
            }
        }
        // The event is edge-triggered: what is left must be asked for again.
        acceptor.retry_at_ms = Some(0);
        self.take_connections(mine);
    }

    pub(super) fn retry_accept(&mut self) {
        let due = |acceptor: &Acceptor| acceptor.retry_at_ms.is_some_and(|at| self.plane.now_ms >= at);
        if self.acceptor.as_ref().is_some_and(due) {
            self.accept();
        }
    }

    fn take_connections(&mut self, arrived: Vec<(TcpStream, Arrival)>) {
        for (stream, arrival) in arrived {
            self.take_connection(stream, arrival);
        }
    }

    /// Past a limit the socket is dropped, which tells the client at once.
    pub(super) fn take_connection(&mut self, stream: TcpStream, arrival: Arrival) {
        let config = self.plane.config.clone();
        let handshake = match config.serves_tls() {
            false => None,
            true => match Handshake::begin(&self.metrics, config.max_tls_handshakes) {
                None => return,
                begun => begun,
            },
        };
        let Some(conn) = self.plane.accept(arrival.address) else { return };
        let opening = Opening { address: arrival.address, proxy: arrival.source.is_none(), handshake };
        self.adopt(conn, Stream::Tcp(stream), super::Layer::Opening(opening));
        if let Some(Some(socket)) = self.sockets.get_mut(conn) {
            socket.source = arrival.source;
        }
        self.run_commands();
    }

    /// Counts the connection for the client that a load balancer passes on, or for its own address; false if that has
    /// too many.
    pub(super) fn count_source(&mut self, conn: ConnKey, address: IpAddr) -> bool {
        let Some(Some(socket)) = self.sockets.get_mut(conn) else { return false };
        if socket.source.is_none() {
            socket.source = self.sources.admit(address);
        }
        socket.source.is_some()
    }
}

/// Whether a PROXY header is believed from the address.
fn is_trusted(networks: &[crate::config::Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}
