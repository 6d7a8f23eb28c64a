//! Asking a backend on this machine whether it serves, as a container's health check does.

use super::Backend;
use crate::{Error, env};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// A check that takes longer counts as failed; whoever has it made waits no longer either.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Why a backend does not count as healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// Where it listens cannot be told.
    #[error(transparent)]
    Settings(#[from] Error),
    /// There is no way to its address.
    #[error(transparent)]
    Address(#[from] switchboard_transport::Error),
    /// It, or nobody, answered so.
    #[error("{addr} does not answer: {}", .status.message())]
    Status {
        /// Who was asked.
        addr: SocketAddr,
        /// The answer.
        status: Box<tonic::Status>,
    },
    /// It is about to end, for example.
    #[error("{addr} says {state}")]
    NotServing {
        /// Who was asked.
        addr: SocketAddr,
        /// What it said.
        state: &'static str,
    },
    /// It said nothing.
    #[error("{addr} did not answer within {TIMEOUT:?}")]
    Silent {
        /// Who was asked.
        addr: SocketAddr,
    },
}

impl Backend {
    /// Asks the process that serves with the same settings on this machine for its health (`grpc.health.v1`).
    ///
    /// Over TLS it shows no certificate and verifies none: it proves that somebody serves there, not who. So it does not
    /// work where callers must show one (`tls_client_auth` `required`), as Consul's checks do not.
    ///
    /// # Errors
    /// [`Unhealthy`] says what is in the way.
    pub async fn healthcheck(self) -> Result<(), Unhealthy> {
        let listen = self.listen.map_or_else(|| env::listen(self.kind, self.default_port), Ok)?;
        let addr = SocketAddr::new(reachable(listen.ip()), listen.port());
        let tls = self.tls.is_some()
            || self.tls_source.is_some()
            || env::connect(&self.flags, self.connect)?.is_some()
            || env::tls(&self.flags)?.is_some();
        let channel = match tls {
            true => switchboard_transport::unverified_channel(&addr.to_string())?,
            false => switchboard_transport::channel(&addr.to_string())?,
        };
        let mut health = HealthClient::new(channel);
        let asked = tokio::time::timeout(TIMEOUT, health.check(HealthCheckRequest::default())).await;
        let answer = asked.map_err(|_| Unhealthy::Silent { addr })?;
        let answer = answer.map_err(|status| Unhealthy::Status { addr, status: Box::new(status) })?;
        match answer.into_inner().status() {
            ServingStatus::Serving => Ok(()),
            state => Err(Unhealthy::NotServing { addr, state: state.as_str_name() }),
        }
    }
}

/// All addresses means also loopback, which can be called.
fn reachable(listen: IpAddr) -> IpAddr {
    match listen {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}
