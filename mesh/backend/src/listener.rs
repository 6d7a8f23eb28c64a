//! Listeners beside that of gRPC: another protocol in front of the same services, or figures about them.
//!
//! They have the backend's certificates, its look at who connects and its end:
//!
//! ```text
//!   SIGTERM ─► leaving: serves on, and says that it will end ─► stopped: accepts nothing, what runs ends ─► cut
//! ```

use crate::Error;
use crate::connection::Incoming;
use crate::stack::{Metrics, Services};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use tokio::sync::watch;

/// What is done with a listener that was opened. Its end is that of the listener.
type Serve = Box<dyn FnOnce(Opened) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A listener beside that of gRPC.
pub struct Listener {
    pub(crate) name: &'static str,
    pub(crate) at: ListenAt,
    pub(crate) max_connections: usize,
    serve: Serve,
}

impl Listener {
    /// Describes a listener of HTTP/1.1, which [`crate::Backend::listener`] opens.
    ///
    /// `name` is also its flag: `--<name> ADDR` sets the address, `--<name> off` switches it off. More connections than
    /// `max_connections` wait to be accepted. `serve` should accept until [`Ending::stopped`], and return once everything
    /// has ended that was accepted; it is dropped at the drain limit.
    pub fn http<F>(
        name: &'static str,
        at: ListenAt,
        max_connections: usize,
        serve: impl FnOnce(Opened) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { name, at, max_connections, serve: Box::new(|opened| Box::pin(serve(opened))) }
    }

    pub(crate) fn serve(self, opened: Opened) -> impl Future<Output = ()> + Send + 'static {
        (self.serve)(opened)
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("name", &self.name).field("at", &self.at).finish_non_exhaustive()
    }
}

/// Where a listener listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenAt {
    /// At this port of the address that gRPC listens on; 0 takes a free one.
    Port(u16),
    /// Here.
    Addr(SocketAddr),
}

impl ListenAt {
    pub(crate) fn beside(self, grpc: IpAddr) -> SocketAddr {
        match self {
            ListenAt::Port(port) => SocketAddr::new(grpc, port),
            ListenAt::Addr(addr) => addr,
        }
    }
}

impl FromStr for ListenAt {
    type Err = Error;

    /// Reads `8080`, `:8080` or `127.0.0.1:8080`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let port = text.strip_prefix(':').unwrap_or(text).parse().map(ListenAt::Port);
        port.or_else(|_| text.parse().map(ListenAt::Addr)).map_err(|_| Error::Setting {
            setting: "address",
            value: text.to_owned(),
            expected: "a port or ip:port",
        })
    }
}

/// A listener that was opened, and what it may serve.
pub struct Opened {
    /// Connections, each with who is at its other end.
    pub incoming: Incoming,
    /// The backend's services, behind everything that calls over gRPC pass.
    pub services: Services,
    /// What the backend counts, calls through `services` included.
    pub metrics: Arc<Metrics>,
    /// When to end.
    pub ending: Ending,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened")
    }
}

/// How far a backend is on its way to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    Leaving,
    Stopped,
}

/// Tells a listener when to end. Clones tell the same.
#[derive(Debug, Clone)]
pub struct Ending(pub(crate) watch::Receiver<Phase>);

impl Ending {
    /// Whether the backend is leaving: it is out of the registry or about to be, and whoever asks should be told that it
    /// is not ready.
    pub fn is_leaving(&self) -> bool {
        *self.0.borrow() >= Phase::Leaving
    }

    /// Waits until nothing more is to be accepted. Cancel safe.
    pub async fn stopped(&self) {
        // A backend that was dropped has stopped as well.
        let _ = self.0.clone().wait_for(|phase| *phase >= Phase::Stopped).await;
    }
}

#[cfg(test)]
mod tests {
    use super::ListenAt;

    #[test]
    fn a_port_alone_is_at_the_address_of_grpc() {
        let at = |text: &str| text.parse::<ListenAt>().unwrap().beside([10, 0, 0, 7].into()).to_string();
        assert_eq!(at("8080"), "10.0.0.7:8080");
        assert_eq!(at(":0"), "10.0.0.7:0");
        assert_eq!(at("127.0.0.1:81"), "127.0.0.1:81");
        for bad in ["", "off", "localhost:80", "127.0.0.1", "99999"] {
            assert!(bad.parse::<ListenAt>().is_err(), "{bad:?}");
        }
    }
}
