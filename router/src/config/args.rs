//! The command line of `switchboard-router`.
//!
//! Flags are text here: [`super::load`] gives them to the same readers as file and environment.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// A router for gRPC agents, tools and workers: one address, routed by the ID in the first message.
///
/// Settings come from flags, SWITCHBOARD_* variables and a TOML file, in that order of precedence;
/// `switchboard-router config` prints all of them with their values.
#[derive(Debug, Parser)]
#[command(name = "switchboard-router", version)]
pub(super) struct Args {
    /// Address of the gRPC port [default: 0.0.0.0:50051] [env: SWITCHBOARD_GRPC; port: MCP_ROUTER_PORT]
    #[arg(long, value_name = "ADDR", global = true)]
    pub(super) grpc: Option<String>,
    /// Address of the admin HTTP port [default: 127.0.0.1:9901] [env: SWITCHBOARD_ADMIN]
    #[arg(long, value_name = "ADDR", global = true)]
    pub(super) admin: Option<String>,
    /// The registry's HTTP API [default: the CONSUL_* variables, then http://127.0.0.1:8500]
    /// [env: SWITCHBOARD_REGISTRY]
    #[arg(long, value_name = "URL", global = true)]
    pub(super) registry: Option<String>,
    /// Address to register: auto, IP or IP:PORT [default: auto] [env: SWITCHBOARD_ADVERTISE]
    #[arg(long, value_name = "ADDR", global = true)]
    pub(super) advertise: Option<String>,
    /// Worker threads; 0 = one per core [default: 0] [env: SWITCHBOARD_WORKERS]
    #[arg(long, value_name = "N", global = true)]
    pub(super) workers: Option<String>,
    /// Serve gRPC reflection of the router's services: on or off [default: off] [env: SWITCHBOARD_REFLECTION]
    #[arg(long, value_name = "SWITCH", global = true)]
    pub(super) reflection: Option<String>,
    /// Format of the log: text or json [default: text] [env: SWITCHBOARD_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT", global = true)]
    pub(super) log_format: Option<String>,
    /// TOML file with settings [env: SWITCHBOARD_CONFIG]
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) config: Option<PathBuf>,
    /// Print the effective configuration and exit (as the subcommand `config`)
    #[arg(long)]
    pub(super) print_config: bool,
    #[command(subcommand)]
    pub(super) command: Option<Sub>,
}

/// What to do instead of routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(super) enum Sub {
    /// Ask a running router's /readyz on the admin port; exit code 0 if it is ready
    Healthcheck,
    /// Print the effective configuration, secrets redacted
    Config,
}

impl Args {
    /// The flags that were given, as settings.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("grpc", &self.grpc),
            ("admin", &self.admin),
            ("registry", &self.registry),
            ("advertise", &self.advertise),
            ("workers", &self.workers),
            ("reflection", &self.reflection),
            ("log_format", &self.log_format),
        ]
        .into_iter()
        .filter_map(|(key, value)| value.as_deref().map(|value| (key, value)))
    }
}
