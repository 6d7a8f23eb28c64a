//! Accepting connections, and a TCP stream that can be cut from outside.
//!
//! Tonic ends connections only when their calls have ended. Beyond the drain limit that is too late, and in
//! a process that goes on living (a test, `switchboard dev`) nothing else would ever end them.

use futures_util::{Stream, StreamExt, stream};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tonic::transport::server::{Connected, TcpConnectInfo};
use tracing::warn;

/// Few routers open few connections each; this bounds what a port scan or a leak of theirs can hold.
const MAX_CONNECTIONS: usize = 4096;
/// After a failed accept (no file descriptors left): long enough not to spin, short enough not to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until dropped, which closes the listener. All of them end once `alive`'s sender is gone.
pub(crate) fn accept(
    listener: TcpListener,
    alive: watch::Receiver<()>,
) -> impl Stream<Item = io::Result<Connection>> + Send {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    stream::unfold((listener, slots, alive), async |(listener, slots, alive)| {
        // Nobody closes the semaphore.
        let slot = slots.clone().acquire_owned().await.ok()?;
        let tcp = loop {
            match listener.accept().await {
                Ok((tcp, _)) => break tcp,
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        };
        // Without it small responses wait for the peer's delayed acknowledgement.
        let _ = tcp.set_nodelay(true);
        let connection = Connection::new(tcp, alive.clone(), slot);
        Some((Ok(connection), (listener, slots, alive)))
    })
    .boxed()
}

/// A TCP stream that fails with `ConnectionAborted` once it was cut.
pub(crate) struct Connection {
    tcp: TcpStream,
    /// Completes when the sender of `alive` is gone; `None` after that.
    cut: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    fn new(tcp: TcpStream, mut alive: watch::Receiver<()>, slot: OwnedSemaphorePermit) -> Self {
        let cut = Box::pin(async move { while alive.changed().await.is_ok() {} });
        Self { tcp, cut: Some(cut), _slot: slot }
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
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.tcp.connect_info()
    }
}
