//! The process `workflow-worker`: reads flags and environment, serves until a signal or until its store fails.

use std::{path::PathBuf, process::ExitCode, str::FromStr};

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use switchboard_backend::{Backend, ListenAt, Options};
use workflow_worker::{
    http,
    worker::{GRPC_PORT, HTTP_PORT, METRICS_PORT, Settings, Worker},
};

/// Runs durable workflows of agents, tools and workers as `workflow-worker`, a worker of the mesh.
///
/// Everything is kept in one directory, which one process at a time may use. Calls go through the router.
#[derive(Debug, Parser)]
#[command(name = "workflow-worker", version, after_help = PORTS)]
struct Args {
    /// Directory in which everything is kept; made if it is not there
    #[arg(long, value_name = "DIR", env = "SWITCHBOARD_WORKFLOW_DATA", default_value = "workflow-data")]
    data: PathBuf,
    /// Router through which agents, tools and workers are called [env: SWITCHBOARD_ROUTER, or GRPC_ROUTER_HOST and
    /// GRPC_ROUTER_PORT; over TLS with SWITCHBOARD_CA, as somebody with SWITCHBOARD_CERT and SWITCHBOARD_KEY, or
    /// SWITCHBOARD_TOKEN or SWITCHBOARD_TOKEN_FILE] [default: 127.0.0.1:50051]
    #[arg(long, value_name = "URL")]
    router: Option<String>,
    /// Serve the API over HTTP here: a port (at the address of --listen), ip:port, or off
    #[arg(long, value_name = "ADDR", env = "SWITCHBOARD_WORKFLOW_HTTP", default_value_t = At(Some(ListenAt::Port(HTTP_PORT))))]
    http: At,
    /// Name with dots by which clients call the API over HTTP; may be repeated. Without credentials, names are refused
    /// that nobody gave: a web page could have chosen them
    #[arg(long, value_name = "NAME", env = "SWITCHBOARD_WORKFLOW_HTTP_HOST", value_delimiter = ',')]
    http_host: Vec<String>,
    /// Serve figures for Prometheus at /metrics here, to everybody: as --http
    #[arg(long, value_name = "ADDR", env = "SWITCHBOARD_WORKFLOW_METRICS", default_value_t = At(Some(ListenAt::Port(METRICS_PORT))))]
    metrics: At,
    /// Serve gRPC at --listen and register; without it there is HTTP alone, and no router finds the engine
    #[arg(long, value_name = "WHEN", env = "SWITCHBOARD_WORKFLOW_GRPC", default_value = "on")]
    grpc: Switch,
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do instead of running workflows.
#[derive(Clone, Copy, Debug, Subcommand)]
enum Command {
    /// Ask the process at --listen of this machine whether it serves; exit code 0 if it does
    Healthcheck,
}

const PORTS: &str = "\
gRPC, HTTP and figures share certificates, and gRPC and HTTP share credentials, policy and limits.

Examples:
  workflow-worker                                        gRPC at 9090, HTTP at 8080, figures at 9091
  workflow-worker --listen 127.0.0.1:9090                the same, for this machine alone
  workflow-worker --http 127.0.0.1:8081 --metrics off
  workflow-worker --grpc off                             HTTP alone, as before there was gRPC";

/// An address, or none.
#[derive(Clone, Copy, Debug)]
struct At(Option<ListenAt>);

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            address => {
                let wrong = |_| "expected a port, ip:port or off, for example 127.0.0.1:8080".to_owned();
                address.parse().map(|at| Self(Some(at))).map_err(wrong)
            }
        }
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            None => f.write_str("off"),
            Some(ListenAt::Port(port)) => write!(f, "{port}"),
            Some(ListenAt::Addr(addr)) => write!(f, "{addr}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(Command::Healthcheck) = args.command {
        Backend::worker("workflow").default_port(GRPC_PORT).options(args.options).healthcheck().await?;
        return Ok(ExitCode::SUCCESS);
    }
    let get = |name: &str| match (name, &args.router) {
        ("SWITCHBOARD_ROUTER", Some(address)) => Some(address.clone()),
        _ => std::env::var(name).ok(),
    };
    anyhow::ensure!(
        args.grpc == Switch::On || args.http.0.is_some(),
        "--grpc off and --http off leave nothing that could be called"
    );
    let mut settings = Settings::new(&args.data, switchboard_client::router_address(get));
    settings.client = switchboard_client::Config::from_vars(get)?;
    let worker = Worker::start(settings).await.context("workflow-worker does not start")?;
    let mut backend = worker.backend().options(args.options).grpc(args.grpc == Switch::On);
    if let Some(at) = args.http.0 {
        let settings = http::Settings { hosts: args.http_host, ..http::Settings::default() };
        backend = backend.listener(worker.http(at, settings));
    }
    if let Some(at) = args.metrics.0 {
        backend = backend.listener(worker.metrics(at));
    }
    let served = tokio::select! {
        served = backend.serve() => served,
        () = worker.failed() => {
            // The log has said why. A supervisor starts it anew, and it goes on with what the disk has.
            return Ok(ExitCode::from(74));
        }
    };
    worker.stop().await;
    served?;
    Ok(ExitCode::SUCCESS)
}
