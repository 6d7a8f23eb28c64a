//! Accepting connections, plain or over TLS, and streams that can be cut from outside.
//!
//! Tonic ends connections only when their calls have ended. Beyond the drain limit that is too late, and in
//! a process that goes on living (a test, `switchboard dev`) nothing else would ever end them.

use crate::handshake::{H2, HTTP1, HandshakeCounts, Handshakes, Intended, Met};
use futures_util::{Stream, StreamExt, stream};
use rustls::ServerConfig;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use switchboard_transport::{Loaded, PeerIdentity, Watched};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tracing::warn;

/// Few routers open few connections each; this bounds what a port scan or a leak of theirs can hold.
const MAX_CONNECTIONS: usize = 4096;
/// After a failed accept (no file descriptors left): long enough not to spin, short enough not to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all listeners of a backend have in common.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) tls: Option<Watched<Loaded<ServerConfig>>>,
    pub(crate) intended: Option<Intended>,
    pub(crate) counts: Arc<HandshakeCounts>,
    /// All connections end once its sender is gone.
    pub(crate) alive: watch::Receiver<()>,
}

impl Door {
    /// Accepts connections for gRPC until dropped, which closes the listener.
    pub(crate) fn grpc(self, listener: TcpListener) -> impl Stream<Item = io::Result<Connection>> + Send {
        let incoming = self.open(listener, H2, MAX_CONNECTIONS);
        stream::unfold(incoming, async |mut incoming| Some((Ok(incoming.accept().await), incoming))).boxed()
    }

    /// Accepts connections for HTTP/1.1, at most so many at once.
    pub(crate) fn http(self, listener: TcpListener, max_connections: usize) -> Incoming {
        self.open(listener, HTTP1, max_connections.clamp(1, Semaphore::MAX_PERMITS))
    }

    fn open(self, listener: TcpListener, protocol: &'static [u8], max_connections: usize) -> Incoming {
        let Self { tls, intended, counts, alive } = self;
        let slots = Arc::new(Semaphore::new(max_connections));
        let handshakes = tls.map(|tls| Handshakes::new(tls, protocol, intended, counts));
        Incoming { listener, slots, handshakes, alive }
    }
}

/// Where connections come in, and wait until they have proved themselves. Dropping it closes the listener.
pub struct Incoming {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    handshakes: Option<Handshakes>,
    alive: watch::Receiver<()>,
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Incoming {
    /// Waits for the next connection that has got through its handshake, and while there are as many as may be, for the
    /// end of one of them. Cancel safe.
    pub async fn accept(&mut self) -> Connection {
        let (io, peer, slot) = self.next().await;
        Connection::new(io, peer, self.alive.clone(), slot)
    }

    async fn next(&mut self) -> (Io, Option<Arc<PeerIdentity>>, OwnedSemaphorePermit) {
        loop {
            let Some(handshakes) = &mut self.handshakes else {
                let (tcp, _, slot) = accept_tcp(&self.listener, &self.slots).await;
                return (Io::Plain(tcp), None, slot);
            };
            tokio::select! {
                (tcp, from, slot) = accept_tcp(&self.listener, &self.slots) => {
                    handshakes.begin(tcp, from, slot);
                }
                Met { stream, peer, slot } = handshakes.next() => {
                    return (Io::Tls(Box::new(stream)), peer, slot);
                }
            }
        }
    }
}

/// Accepts one connection once there is room for it. Cancel safe: what was not returned was not accepted.
async fn accept_tcp(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let Ok(slot) = slots.clone().acquire_owned().await else {
        // Nobody closes the semaphore.
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((tcp, from)) => {
                // Without it small responses wait for the peer's delayed acknowledgement.
                let _ = tcp.set_nodelay(true);
                return (tcp, from, slot);
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What carries the bytes.
enum Io {
    Plain(TcpStream),
    /// Boxed: a session is a kilobyte, and most of it is not touched on the way.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Io {
    fn tcp(&self) -> &TcpStream {
        match self {
            Io::Plain(tcp) => tcp,
            Io::Tls(tls) => tls.get_ref().0,
        }
    }
}

/// Calls the same method of whichever stream there is.
macro_rules! forward {
    ($self:ident, $io:ident => $call:expr) => {
        match &mut $self.io {
            Io::Plain($io) => {
                let $io = Pin::new($io);
                $call
            }
            Io::Tls($io) => {
                let $io = Pin::new($io.as_mut());
                $call
            }
        }
    };
}

/// Who is at the other end of a connection: what requests carry of it, as an extension.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// Who that is, if it showed a certificate.
    pub(crate) peer: Option<Arc<PeerIdentity>>,
    pub(crate) tcp: TcpConnectInfo,
}

/// A stream, plain or over TLS, that fails with `ConnectionAborted` once it was cut.
pub struct Connection {
    io: Io,
    peer: Option<Arc<PeerIdentity>>,
    /// Completes when the sender of `alive` is gone; `None` after that.
    cut: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    fn new(
        io: Io,
        peer: Option<Arc<PeerIdentity>>,
        mut alive: watch::Receiver<()>,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        let cut = Box::pin(async move { while alive.changed().await.is_ok() {} });
        Self { io, peer, cut: Some(cut), _slot: slot }
    }

    /// Fails once cut; otherwise leaves the task registered to be woken by the cut.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.cut.as_mut().is_some_and(|cut| cut.as_mut().poll(cx).is_ready()) {
            self.cut = None;
        }
        match self.cut {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        forward!(self, io => io.poll_read(cx, buf))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        forward!(self, io => io.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        forward!(self, io => io.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(tcp) => tcp.is_write_vectored(),
            Io::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, io => io.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, io => io.poll_shutdown(cx))
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Gives who is at the other end.
impl Connected for Connection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        ConnectionInfo { peer: self.peer.clone(), tcp: self.io.tcp().connect_info() }
    }
}
