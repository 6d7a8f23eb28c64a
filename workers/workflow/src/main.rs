//! The process `workflow-worker`: reads flags and environment, serves until a signal or until its store fails.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use switchboard_backend::Options;
use tokio::{net::TcpListener, sync::oneshot};
use workflow_worker::worker::{Settings, Worker, local};

/// Runs durable workflows of agents, tools and workers as `workflow-worker`, a worker of the mesh.
///
/// Everything is kept in one directory, which one process at a time may use. Calls go through the router.
#[derive(Debug, Parser)]
#[command(name = "workflow-worker", version)]
struct Args {
    /// Directory in which everything is kept; made if it is not there
    #[arg(long, value_name = "DIR", env = "SWITCHBOARD_WORKFLOW_DATA", default_value = "workflow-data")]
    data: PathBuf,
    /// Router through which agents, tools and workers are called [env: SWITCHBOARD_ROUTER, or GRPC_ROUTER_HOST and
    /// GRPC_ROUTER_PORT; over TLS with SWITCHBOARD_CA, as somebody with SWITCHBOARD_CERT and SWITCHBOARD_KEY, or
    /// SWITCHBOARD_TOKEN or SWITCHBOARD_TOKEN_FILE] [default: 127.0.0.1:50051]
    #[arg(long, value_name = "URL")]
    router: Option<String>,
    /// Serve the API over HTTP as well, for this machine only: nobody is asked for credentials there
    #[arg(long, value_name = "ADDR", env = "SWITCHBOARD_WORKFLOW_HTTP", value_parser = local)]
    http: Option<SocketAddr>,
    #[command(flatten)]
    options: Options,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let get = |name: &str| match (name, &args.router) {
        ("SWITCHBOARD_ROUTER", Some(address)) => Some(address.clone()),
        _ => std::env::var(name).ok(),
    };
    let mut settings = Settings::new(&args.data, switchboard_client::router_address(get));
    settings.client = switchboard_client::Config::from_vars(get)?;
    let worker = Worker::start(settings).await.context("workflow-worker does not start")?;
    let http = match args.http {
        None => None,
        Some(address) => {
            let listener =
                TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
            let (stop, stopped) = oneshot::channel::<()>();
            let server = worker.http();
            let served = tokio::spawn(async move {
                let stopped = async { drop(stopped.await) };
                server.serve(listener, stopped).await;
            });
            Some((stop, served))
        }
    };
    let served = tokio::select! {
        served = worker.backend().options(args.options).serve() => served,
        () = worker.failed() => {
            // The log has said why. A supervisor starts it anew, and it goes on with what the disk has.
            return Ok(ExitCode::from(74));
        }
    };
    if let Some((stop, served)) = http {
        drop(stop);
        // Its panic, if it had one, was reported.
        let _ = served.await;
    }
    worker.stop().await;
    served?;
    Ok(ExitCode::SUCCESS)
}
