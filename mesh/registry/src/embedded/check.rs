//! The probes: each runs in a task that its check owns, and reports to the tables. It decides no status.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::Registry;
use super::body::{Probe, ProbeTls};

/// Until a check has succeeded once it is tried more often than its interval: a backend that is just starting is
/// callable as soon as it serves.
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// Starts the probes of an instance that are not running yet.
pub(super) fn start(registry: &Arc<Registry>, id: &str) {
    let mut state = registry.state();
    for (check, probe) in state.idle_probes(id) {
        let task = tokio::spawn(run(Arc::downgrade(registry), id.to_owned(), check.clone(), probe));
        state.own_probe(id, &check, task.abort_handle());
    }
}

async fn run(registry: Weak<Registry>, id: String, check: String, probe: Probe) {
    let mut retry = FIRST_RETRY;
    loop {
        let (result, interval) = match &probe {
            Probe::Grpc { target, tls, interval, timeout } => {
                (bounded(*timeout, grpc(target, *tls)).await, *interval)
            }
            Probe::Tcp { target, interval, timeout } => (bounded(*timeout, tcp(target)).await, *interval),
            // Never started: the service itself reports.
            Probe::Ttl { .. } => return,
        };
        let pause = if result.is_ok() { interval } else { retry.min(interval) };
        retry = if result.is_ok() { interval } else { retry.saturating_mul(2) };
        let Some(registry) = registry.upgrade() else { return };
        registry.change(|state| state.report(&id, &check, result, Instant::now()));
        drop(registry);
        tokio::time::sleep(pause).await;
    }
}

async fn bounded(
    timeout: Duration,
    probe: impl Future<Output = Result<String, String>>,
) -> Result<String, String> {
    tokio::time::timeout(timeout, probe)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")))
}

async fn tcp(target: &str) -> Result<String, String> {
    match TcpStream::connect(target).await {
        Ok(_) => Ok(format!("TCP connect {target}: Success")),
        Err(error) => Err(format!("dial tcp {target}: {error}")),
    }
}

/// Asks `host:port` or `host:port/service`, over a connection of its own: a kept one would outlive a redeployment.
async fn grpc(target: &str, tls: ProbeTls) -> Result<String, String> {
    let (endpoint, service) = target.split_once('/').unwrap_or((target, ""));
    let channel = match tls {
        ProbeTls::Off => switchboard_transport::channel(endpoint),
        ProbeTls::Unverified => switchboard_transport::unverified_channel(endpoint),
        ProbeTls::Verified => {
            // There is no trust to verify the certificate with.
            return Err(format!("gRPC check {target}: this registry verifies nobody: set TLSSkipVerify"));
        }
    };
    let channel = channel.map_err(|error| error.to_string())?;
    let request = HealthCheckRequest { service: service.to_owned() };
    match HealthClient::new(channel).check(request).await {
        Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => {
            Ok(format!("gRPC check {target}: success"))
        }
        Ok(answer) => Err(format!("gRPC check {target}: {}", answer.get_ref().status().as_str_name())),
        Err(status) => Err(format!("gRPC check {target}: {:?}: {}", status.code(), status.message())),
    }
}
