//! TLS handshakes of callers: bounded in time and number, beside each other, in nobody's way.
//!
//! When all places are taken the oldest handshake gives way. A caller that means it is through within milliseconds, so
//! it is one of those who hold their connections open and say nothing.

use crate::sampled::Sampled;
use rustls::ServerConfig;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use switchboard_registry::Intentions;
use switchboard_transport::{Loaded, PeerIdentity, TlsFailure, Watched};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::server::TlsStream;
use tracing::warn;

/// A caller on another continent needs a tenth of it.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// At a millisecond of computing each, what a core does in a quarter of a second.
const MAX_HANDSHAKES: usize = 256;

/// A caller that hears of its refusal closes by itself, a round trip later.
const LINGER: Duration = Duration::from_secs(1);
/// The preface and first requests of an HTTP/2 client.
const MAX_LINGER_BYTES: u64 = 64 << 10;

/// What is spoken on a port, in the words of ALPN.
pub(crate) const H2: &[u8] = b"h2";
pub(crate) const HTTP1: &[u8] = b"http/1.1";

/// A connection whose caller has proved who it is, if it showed a certificate.
pub(crate) struct Met {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) peer: Option<Arc<PeerIdentity>>,
    pub(crate) slot: OwnedSemaphorePermit,
}

/// What became of handshakes, since the start.
#[derive(Debug, Default)]
pub(crate) struct HandshakeCounts {
    pub(crate) done: AtomicU64,
    /// The caller failed: no TLS, an untrusted certificate, too slow.
    pub(crate) failed: AtomicU64,
    /// Gave way to later ones.
    pub(crate) displaced: AtomicU64,
    failures: Sampled,
}

/// Whom the intentions of Consul Connect let in.
#[derive(Clone)]
pub(crate) struct Intended {
    intentions: Intentions,
    service: Arc<str>,
}

impl Intended {
    pub(crate) fn new(intentions: Intentions, service: String) -> Self {
        Self { intentions, service: service.into() }
    }

    /// Asks once per connection. Who shows no certificate is nobody's intention: the policy of calls refuses all but
    /// health checks.
    async fn admit(&self, peer: Option<&PeerIdentity>) -> Result<(), String> {
        let Some(peer) = peer else { return Ok(()) };
        let answer = self.intentions.authorize(&self.service, peer).await;
        match answer.authorized {
            true => Ok(()),
            false => Err(format!(
                "{} may not connect to {}: {} (consul intention create)",
                peer.name().unwrap_or("somebody without a name"),
                self.service,
                answer.reason
            )),
        }
    }
}

/// The handshakes in progress.
pub(crate) struct Handshakes {
    tls: Watched<Loaded<ServerConfig>>,
    protocol: &'static [u8],
    /// The newest certificates, and what is made of them for the protocol.
    config: Option<(Arc<ServerConfig>, Arc<ServerConfig>)>,
    intended: Option<Intended>,
    running: JoinSet<Option<Met>>,
    /// In the order of their beginning; some have ended.
    oldest: VecDeque<AbortHandle>,
    counts: Arc<HandshakeCounts>,
}

impl Handshakes {
    pub(crate) fn new(
        tls: Watched<Loaded<ServerConfig>>,
        protocol: &'static [u8],
        intended: Option<Intended>,
        counts: Arc<HandshakeCounts>,
    ) -> Self {
        let (running, oldest) = (JoinSet::new(), VecDeque::new());
        Self { tls, protocol, config: None, intended, running, oldest, counts }
    }

    /// Begins one with the newest certificates.
    pub(crate) fn begin(&mut self, tcp: TcpStream, from: SocketAddr, slot: OwnedSemaphorePermit) {
        if self.oldest.len() >= MAX_HANDSHAKES {
            self.oldest.retain(|handshake| !handshake.is_finished());
        }
        if self.oldest.len() >= MAX_HANDSHAKES
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.counts.displaced.fetch_add(1, Ordering::Relaxed);
            oldest.abort();
        }
        let config = self.newest();
        let handshake = meet(tcp, from, config, self.intended.clone(), self.counts.clone(), slot);
        self.oldest.push_back(self.running.spawn(handshake));
    }

    /// The newest certificates, with the protocol of this port. Those of Consul Connect and of files speak of h2.
    fn newest(&mut self) -> Arc<ServerConfig> {
        let newest = self.tls.newest().config.clone();
        match &self.config {
            Some((known, made)) if Arc::ptr_eq(known, &newest) => made.clone(),
            _ => {
                let mut made = ServerConfig::clone(&newest);
                made.alpn_protocols = vec![self.protocol.to_vec()];
                let made = Arc::new(made);
                self.config = Some((newest, made.clone()));
                made
            }
        }
    }

    /// Waits for the next one that ends well; for ever while none runs. Cancel safe.
    pub(crate) async fn next(&mut self) -> Met {
        loop {
            match self.running.join_next().await {
                Some(Ok(Some(met))) => return met,
                // Failed, which was told, or displaced.
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}

async fn meet(
    tcp: TcpStream,
    from: SocketAddr,
    config: Arc<ServerConfig>,
    intended: Option<Intended>,
    counts: Arc<HandshakeCounts>,
    slot: OwnedSemaphorePermit,
) -> Option<Met> {
    let accepting = tokio_rustls::TlsAcceptor::from(config).accept(tcp).into_fallible();
    let meeting = async {
        let stream = match accepting.await {
            Ok(stream) => stream,
            Err((error, tcp)) => {
                linger(tcp).await;
                return Err(in_words(&error));
            }
        };
        let peer = identify(&stream)?;
        if let Some(intended) = &intended {
            intended.admit(peer.as_deref()).await?;
        }
        Ok::<_, String>((stream, peer))
    };
    let problem = match tokio::time::timeout(TIME_LIMIT, meeting).await {
        Ok(Ok((stream, peer))) => {
            counts.done.fetch_add(1, Ordering::Relaxed);
            return Some(Met { stream, peer, slot });
        }
        Ok(Err(problem)) => problem,
        Err(_) => format!("not done within {TIME_LIMIT:?}"),
    };
    counts.failed.fetch_add(1, Ordering::Relaxed);
    if let Some(hidden) = counts.failures.admit() {
        warn!(peer = %from, hidden, "a caller is not let in: {problem}");
    }
    None
}

/// Reads what a refused caller still sends, for a moment: closing at once would reset the connection, and the reset
/// overtake the alert that says why.
async fn linger(mut tcp: TcpStream) {
    let _ = tcp.shutdown().await;
    let mut rest = tcp.take(MAX_LINGER_BYTES);
    let _ = tokio::time::timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
}

/// Says who the caller is: nobody without a certificate.
fn identify(stream: &TlsStream<TcpStream>) -> Result<Option<Arc<PeerIdentity>>, &'static str> {
    let Some([certificate, ..]) = stream.get_ref().1.peer_certificates() else { return Ok(None) };
    let peer = PeerIdentity::of(certificate).ok_or("its certificate cannot be read")?;
    if peer.has_ended(SystemTime::now()) {
        return Err("its certificate has ended since its session began");
    }
    Ok(Some(Arc::new(peer)))
}

fn in_words(error: &io::Error) -> String {
    match TlsFailure::of(error) {
        Some(TlsFailure::NotTls) => "it speaks no TLS, and this port takes nothing else".to_owned(),
        Some(TlsFailure::UnknownAuthority) => {
            "its certificate was signed by no authority of SWITCHBOARD_TLS_CLIENT_CA".to_owned()
        }
        Some(TlsFailure::Expired) => "its certificate has ended".to_owned(),
        Some(TlsFailure::CertificateRefused) => format!("it does not trust our certificate ({error})"),
        _ => error.to_string(),
    }
}
