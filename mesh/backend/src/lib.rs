//! All that a backend needs beside its own service: listen, health, reflection, registration, drain.
//!
//! ```no_run
//! # use switchboard_backend::Backend;
//! # async fn run<S>(echo: S) -> Result<(), switchboard_backend::Error>
//! # where S: switchboard_backend::GrpcService {
//! Backend::agent("echo")
//!     .description("Repeats what it is told")
//!     .capabilities(["echo"])
//!     .add_service(echo) // for example AgentServiceServer::new(…)
//!     .serve()
//!     .await
//! # }
//! ```
//!
//! That process is callable as `echo-agent` through any router of the same registry, and leaves without
//! a failed call on SIGTERM. The modules, in the order in which a process meets them:
//!
//! | module | step |
//! |---|---|
//! | `backend` | what the backend is, and how it is to be served |
//! | `env` | flags and environment; the only reader of either |
//! | `server` | HTTP/2 limits, health, reflection |
//! | `connection` | accepts connections, and can cut them |
//! | `handshake` | TLS: who is at the other end |
//! | `listener` | listeners beside that of gRPC, with the same certificates, services and end |
//! | `stack` | what each call passes on its way to a service: who calls, whether it may, whether it may now |
//! | `rights` | what others may do in the mesh, for a backend that calls in their name |
//! | `presence` | the own entry in the registry, from the first success to deregistration |
//! | `running` | the running backend and the order of its end |
//! | [`status`] | gRPC errors with details |
//!
//! It does not route, balance or retry: that is the router's work.

mod advertise;
mod backend;
mod connection;
mod env;
mod error;
mod handshake;
mod listener;
mod presence;
mod rights;
mod running;
mod sampled;
mod server;
mod signals;
mod stack;
pub mod status;

pub use advertise::Advertise;
pub use backend::{Backend, Unhealthy};
pub use connection::{Connection, ConnectionInfo, Incoming};
pub use env::Options;
pub use error::Error;
pub use listener::{Ending, ListenAt, Listener, Opened};
pub use rights::Rights;
pub use running::Running;
pub use server::GrpcService;
pub use stack::{CallInfo, Metrics, Services, Stage};

// What a backend names in its description and in tests, so that it depends on this crate alone.
pub use switchboard_policy::{Mode, Principal, Proof, Reason, Settings as PolicySettings};
pub use switchboard_registry::{Config as RegistryConfig, Kind, Parameter};
pub use switchboard_transport::{ClientAuth, ServerTls, install_crypto};

/// Largest message that a backend should decode, in bytes; tonic's own default is 4 MiB.
///
/// The limit belongs to each generated server: `AgentServiceServer::new(…).max_decoding_message_size(…)`.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;
