//! The gRPC server: HTTP/2 limits, health and reflection around the backend's services.

use crate::Error;
use std::convert::Infallible;
use std::time::Duration;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// What a stalled call may hold; at 1 Gbit/s enough for a round trip of 8 ms.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Well above the stream's, so that a stalled call does not stall the others of its connection.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Calls of one connection; a router opens more connections beyond 100.
const MAX_CONCURRENT_STREAMS: u32 = 1024;
/// What a router may pass on of a client's metadata.
const MAX_HEADER_LIST_BYTES: u32 = 64 << 10;
/// Finds routers that vanished without a FIN, below the idle limits of NAT boxes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Streams reset before they were accepted (CVE-2023-44487): more closes the connection.
const MAX_PENDING_RESET_STREAMS: usize = 20;

/// Any service that tonic generates; an alias for its bounds.
pub trait GrpcService:
    Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible, Future: Send>
    + NamedService
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> GrpcService for S where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible, Future: Send>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Makes the server's HTTP/2 settings.
///
/// PINGs of clients are answered without counting: hyper has no strikes, and clients of the platform ping
/// every 10 s. The windows are fixed: adaptive ones would override them and have no bound.
pub(crate) fn server() -> Server {
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_adaptive_window(Some(false))
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESET_STREAMS))
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}

/// The health of each service, and of the backend as a whole under the empty name.
#[derive(Clone)]
pub(crate) struct Health {
    reporter: HealthReporter,
    services: Vec<&'static str>,
}

impl Health {
    /// Says what every service is now.
    pub(crate) async fn set(&self, status: ServingStatus) {
        for service in self.names() {
            self.reporter.set_service_status(service, status).await;
        }
    }

    /// Ends all `Watch` streams, which would else keep their connections open until the drain limit.
    pub(crate) async fn end_watches(&mut self) {
        for service in self.services.clone().into_iter().chain([""]) {
            self.reporter.clear_service_status(service).await;
        }
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.services.iter().copied().chain([""])
    }
}

/// Adds health, and reflection over `descriptor_sets` if wanted, to the routes of `services`.
pub(crate) async fn complete(
    mut routes: RoutesBuilder,
    services: Vec<&'static str>,
    descriptor_sets: Option<&[&'static [u8]]>,
) -> Result<(Routes, Health), Error> {
    let (reporter, health_service) = tonic_health::server::health_reporter();
    routes.add_service(health_service);
    if let Some(descriptor_sets) = descriptor_sets {
        let mut reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        for set in descriptor_sets {
            reflection = reflection.register_encoded_file_descriptor_set(set);
        }
        // The sets describe the whole contract; only what is served here is listed.
        for service in services.iter().copied().chain(["grpc.health.v1.Health"]) {
            reflection = reflection.with_service_name(service);
        }
        routes.add_service(reflection.build_v1()?);
    }
    let health = Health { reporter, services };
    health.set(ServingStatus::Serving).await;
    Ok((routes.routes(), health))
}
